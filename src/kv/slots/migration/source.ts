import { isLater, stillOpen, type ExpectedRange, type OwnedRange } from "../slot-map.ts";
import {
  claimOf,
  moveName,
  type CommonEffect,
  type CommonEvent,
  type Frame,
  type MigrationLimits,
  type MigrationStatus,
  type Move,
} from "./types.ts";
import { NOTHING_UNAPPLIED, oldestOf, takenFrom, withEntry, type UnappliedQueue } from "./unapplied.ts";

/** What the source must know after a crash. `fenced`: a claim may have been sent. */
export interface SourceRecord {
  readonly move: Move;
  readonly attempt: number;
  readonly phase: "open" | "fenced" | "finished" | "cancelled" | "failed";
  readonly expected: readonly ExpectedRange[];
}

/** A stream of entries to the target, all of one attempt. */
interface Stream {
  readonly expected: readonly ExpectedRange[];
  /** Entries sent, entries applied, and the bytes between them. */
  readonly sent: number;
  readonly applied: number;
  readonly unapplied: UnappliedQueue;
  readonly lagBytes: number;
  /** How long entries were on their way until they were applied: the longest of late, older ones counting half as much with each answer. */
  readonly drainMs: number;
  readonly walking: boolean;
  readonly heardMs: number;
  readonly pingAtMs: number;
  readonly fenceFromMs: number;
}

export type SourceState =
  | { readonly kind: "preparing"; readonly deadlineMs: number; readonly call: number }
  | { readonly kind: "recording"; readonly deadlineMs: number; readonly record: number; readonly expected: readonly ExpectedRange[] }
  | { readonly kind: "connecting"; readonly deadlineMs: number; readonly expected: readonly ExpectedRange[] }
  | { readonly kind: "copying" | "following"; readonly deadlineMs: number; readonly stream: Stream }
  | { readonly kind: "fencing"; readonly deadlineMs: number; readonly stream: Stream; readonly fencedMs: number; readonly record: number }
  | { readonly kind: "confirming"; readonly deadlineMs: number; readonly stream: Stream; readonly fencedMs: number }
  | Deciding
  | { readonly kind: "resting"; readonly deadlineMs: number }
  | { readonly kind: "finished" | "cancelled" | "failed" };

interface Deciding {
  readonly kind: "deciding";
  readonly want: "move" | "keep";
  readonly of: number;
  readonly expected: readonly ExpectedRange[];
  readonly call: number;
  readonly deadlineMs: number;
  readonly giveUpMs: number;
  readonly fencedMs: number;
  readonly refusing: boolean;
}

export interface SourceJob {
  readonly move: Move;
  /** Grows with every try, and with every stop. */
  readonly attempt: number;
  readonly state: SourceState;
  readonly tries: number;
  readonly keys: number;
  readonly bytes: number;
  readonly pausedMs: number;
  readonly fences: number;
  /** The last number given to a call or a record. */
  readonly numbers: number;
  readonly cancelled: boolean;
  readonly lastError: string | undefined;
}

export type SourceEvent =
  | CommonEvent
  /** Of the walk, or what a write did to a key that was walked. */
  | { readonly kind: "entry"; readonly attempt: number; readonly bytes: number; readonly keys: number; readonly payload: unknown }
  | { readonly kind: "walked"; readonly attempt: number };

export type SourceEffect =
  | CommonEffect<SourceRecord>
  | { readonly do: "connect"; readonly attempt: number; readonly to: string }
  | { readonly do: "startCopy" | "stopCopy"; readonly attempt: number }
  | { readonly do: "walk"; readonly attempt: number; readonly bytes: number }
  | { readonly do: "fence" | "unfence" }
  /** Writes that wait get TRYAGAIN, and so do those that come. */
  | { readonly do: "refuseWaiting" }
  /** The slots are another's: what was here of them goes. */
  | { readonly do: "release"; readonly pieces: readonly OwnedRange[] };

export interface SourceStep {
  readonly next: SourceJob;
  readonly effects: readonly SourceEffect[];
}

const NOTHING_YET = { tries: 0, keys: 0, bytes: 0, pausedMs: 0, fences: 0, numbers: 0, cancelled: false } as const;

export function startSource(move: Move, nowMs: number, limits: MigrationLimits): SourceStep {
  return prepare(
    {
      move,
      attempt: 0,
      state: { kind: "resting", deadlineMs: nowMs },
      ...NOTHING_YET,
      lastError: undefined,
    },
    nowMs,
    limits,
  );
}

/** After a crash. To be done before the node serves anybody: slots whose fence was durable are fenced until the register has answered. */
export function restoreSource(record: SourceRecord, nowMs: number, limits: MigrationLimits): SourceStep {
  const { move, attempt, phase, expected } = record;
  const job: SourceJob = {
    move,
    attempt: attempt + 1, // what the old one may still have under way is of a lower number
    state: phase === "open" || phase === "fenced" ? { kind: "resting", deadlineMs: nowMs + limits.restMs } : { kind: phase },
    ...NOTHING_YET,
    lastError: "restarted",
  };
  if (phase !== "fenced") return { next: job, effects: [] };
  const step = decide(job, { want: "keep", of: attempt, expected, fencedMs: nowMs }, nowMs, limits);
  return { next: step.next, effects: [{ do: "fence" }, ...step.effects] };
}

export function stepSource(job: SourceJob, event: SourceEvent, nowMs: number, limits: MigrationLimits): SourceStep {
  const { state } = job;
  switch (event.kind) {
    case "cancel":
      return cancel(job, nowMs, limits);
    case "tick":
      return tick(job, nowMs, limits);
    case "ownership":
      if (state.kind === "preparing" && event.call === state.call) return recordAttempt(job, event.pieces, nowMs, limits);
      return state.kind === "deciding" ? decided(job, state, event, nowMs, limits) : same(job);
    case "registerFailed":
      if (state.kind === "preparing" && event.call === state.call) return endAttempt(job, event.reason, nowMs, limits);
      return state.kind === "deciding" ? same({ ...job, lastError: event.reason }) : same(job); // asked again at the deadline
    case "persisted":
      if (state.kind === "recording" && event.record === state.record) return connect(job, state.expected, nowMs, limits);
      if (state.kind === "fencing" && event.record === state.record) return askConfirm(job, state, limits);
      return same(job);
    case "persistFailed":
      if ((state.kind === "recording" || state.kind === "fencing") && event.record === state.record)
        return endAttempt(job, event.reason, nowMs, limits);
      return same(job);
    case "disconnected":
      if (event.attempt !== job.attempt || !isOpen(state)) return same(job);
      return endAttempt(job, event.reason, nowMs, limits);
    case "entry":
      return event.attempt === job.attempt ? entry(job, event, nowMs, limits) : same(job);
    case "walked":
      return event.attempt === job.attempt && state.kind === "copying"
        ? handOverWhenNear({ ...job, state: { ...state, kind: "following", stream: { ...state.stream, walking: false } } }, nowMs, limits)
        : same(job);
    case "frame":
      return event.frame.job === job.move.job && event.frame.attempt === job.attempt
        ? received(job, event.frame, nowMs, limits)
        : same(job);
  }
}

/** A stream to the target exists, or is being made, and nothing was proposed. */
const isOpen = (state: SourceState): boolean => state.kind === "connecting" || streamOf(state) !== undefined;

function streamOf(state: SourceState): Stream | undefined {
  return state.kind === "copying" || state.kind === "following" || state.kind === "fencing" || state.kind === "confirming"
    ? state.stream
    : undefined;
}

const same = (next: SourceJob): SourceStep => ({ next, effects: [] });

function prepare(job: SourceJob, nowMs: number, limits: MigrationLimits): SourceStep {
  const numbers = job.numbers + 1;
  const next: SourceJob = {
    ...job,
    attempt: job.attempt + 1,
    tries: job.tries + 1,
    keys: 0,
    bytes: 0,
    numbers,
    state: { kind: "preparing", call: numbers, deadlineMs: nowMs + limits.answerMs },
  };
  return { next, effects: [{ do: "readOwnership", call: numbers, ranges: job.move.ranges }] };
}

function recordAttempt(job: SourceJob, pieces: readonly OwnedRange[], nowMs: number, limits: MigrationLimits): SourceStep {
  if (pieces.some(({ owner }) => owner !== job.move.from)) return ended(job, "failed", "the slots belong to another node");
  const expected = pieces.map(({ start, end, epoch }) => ({ start, end, epoch }));
  const record = job.numbers + 1;
  return {
    next: { ...job, numbers: record, state: { kind: "recording", record, expected, deadlineMs: nowMs + limits.answerMs } },
    effects: [{ do: "persist", record, value: { move: job.move, attempt: job.attempt, phase: "open", expected } }],
  };
}

function connect(job: SourceJob, expected: readonly ExpectedRange[], nowMs: number, limits: MigrationLimits): SourceStep {
  const { attempt, move } = job;
  return {
    next: { ...job, state: { kind: "connecting", expected, deadlineMs: nowMs + limits.answerMs } },
    effects: [{ do: "connect", attempt, to: move.to }, send(job, { kind: "init", from: move.from, expected })],
  };
}

type FrameBody = Frame extends infer F ? (F extends Frame ? Omit<F, "job" | "attempt"> : never) : never;

const send = (job: SourceJob, body: FrameBody): SourceEffect => ({
  do: "send",
  attempt: job.attempt,
  frame: { ...body, job: job.move.job, attempt: job.attempt } as Frame, // the body is one of a frame's
});

function received(job: SourceJob, frame: Frame, nowMs: number, limits: MigrationLimits): SourceStep {
  const { state } = job;
  if (frame.kind === "refuse" || frame.kind === "cancel") {
    if (!isOpen(state)) return same(job); // after the claim only the register has a say
    if (frame.kind === "cancel") return cancel({ ...job, lastError: frame.reason }, nowMs, limits);
    return endAttempt(job, frame.reason, nowMs, limits);
  }
  if (state.kind === "connecting") {
    if (frame.kind !== "accept") return same(job);
    const stream: Stream = {
      expected: state.expected,
      sent: 0,
      applied: 0,
      unapplied: NOTHING_UNAPPLIED,
      lagBytes: 0,
      drainMs: Infinity,
      walking: true,
      heardMs: nowMs,
      fenceFromMs: nowMs,
      pingAtMs: nowMs + limits.heartbeatMs,
    };
    const { attempt } = job;
    return {
      next: { ...job, state: { kind: "copying", stream, deadlineMs: nowMs + limits.silenceMs } },
      effects: [
        { do: "startCopy", attempt },
        { do: "walk", attempt, bytes: limits.windowBytes },
      ],
    };
  }
  const stream = streamOf(state);
  if (stream === undefined) return same(job);
  const heard = withStream(job, { ...stream, heardMs: nowMs }, limits);
  if (frame.kind === "applied") return applied(heard, frame.seq, nowMs, limits);
  if (frame.kind === "confirm" && state.kind === "confirming" && frame.fence === job.fences && frame.seq === stream.sent)
    return decide(heard, { want: "move", of: job.attempt, expected: stream.expected, fencedMs: state.fencedMs }, nowMs, limits);
  return same(heard);
}

/** A stream's state waits for a sign of life; those of a fence have their own, shorter one. */
function withStream(job: SourceJob, stream: Stream, limits: MigrationLimits): SourceJob {
  const { state } = job;
  if (state.kind === "copying" || state.kind === "following")
    return { ...job, state: { ...state, stream, deadlineMs: stream.heardMs + limits.silenceMs } };
  if (state.kind === "fencing" || state.kind === "confirming") return { ...job, state: { ...state, stream } };
  return job;
}

function applied(job: SourceJob, seq: number, nowMs: number, limits: MigrationLimits): SourceStep {
  const stream = streamOf(job.state);
  if (stream === undefined || seq <= stream.applied) return same(job);
  if (seq > stream.sent) return endAttempt(job, "the target has applied what was not sent", nowMs, limits);
  const { left, bytes } = takenFrom(stream.unapplied, seq - stream.applied);
  const lagBytes = stream.lagBytes - bytes;
  const tookMs = nowMs - oldestOf(stream.unapplied)!.sentMs; // there is one: `seq` is between what was applied and what was sent
  const drainMs = Number.isFinite(stream.drainMs) ? Math.max(tookMs, stream.drainMs / 2) : tookMs;
  const next = withStream(job, { ...stream, applied: seq, unapplied: left, lagBytes, drainMs }, limits);
  if (stream.walking && lagBytes < limits.windowBytes)
    return { next, effects: [{ do: "walk", attempt: job.attempt, bytes: limits.windowBytes - lagBytes }] };
  return handOverWhenNear(next, nowMs, limits);
}

function entry(job: SourceJob, event: SourceEvent & { kind: "entry" }, nowMs: number, limits: MigrationLimits): SourceStep {
  const stream = streamOf(job.state);
  if (stream === undefined) return same(job);
  const { bytes, keys, payload } = event;
  const lagBytes = stream.lagBytes + bytes;
  if (lagBytes > limits.backlogBytesMax) return endAttempt(job, "the target falls behind (backlogBytesMax)", nowMs, limits);
  const seq = stream.sent + 1;
  const next = withStream(
    job,
    { ...stream, sent: seq, lagBytes, unapplied: withEntry(stream.unapplied, { bytes, sentMs: nowMs }) },
    limits,
  );
  return {
    next: { ...next, keys: job.keys + keys, bytes: job.bytes + bytes },
    effects: [send(job, { kind: "data", seq, bytes, keys, payload })],
  };
}

/** Of a pause, what may be spent on what is still on its way to the target; the rest is for disks and the register. */
const DRAIN_SHARE = 1 / 4;

/** Little is left; or, while clients write so much that this never is, it will be applied soon. */
function isNear({ lagBytes, drainMs, unapplied }: Stream, nowMs: number, { handoverLagBytes, pauseMs }: MigrationLimits): boolean {
  const drainMsMax = pauseMs * DRAIN_SHARE;
  return lagBytes <= handoverLagBytes || (drainMs <= drainMsMax && nowMs - oldestOf(unapplied)!.sentMs <= drainMsMax); // lag is of unapplied ones
}

/** Only the moving slots. */
function handOverWhenNear(job: SourceJob, nowMs: number, limits: MigrationLimits): SourceStep {
  const { state } = job;
  if (state.kind !== "following" || nowMs < state.stream.fenceFromMs || !isNear(state.stream, nowMs, limits)) return same(job);
  if (job.fences >= limits.fencesMax) return endAttempt({ ...job, fences: 0 }, "no hand-over within pauseMs (fencesMax)", nowMs, limits);
  const record = job.numbers + 1;
  const { stream } = state;
  return {
    next: {
      ...job,
      numbers: record,
      fences: job.fences + 1,
      state: { kind: "fencing", stream, record, fencedMs: nowMs, deadlineMs: nowMs + limits.pauseMs },
    },
    effects: [
      { do: "fence" },
      { do: "persist", record, value: { move: job.move, attempt: job.attempt, phase: "fenced", expected: stream.expected } },
    ],
  };
}

function askConfirm(job: SourceJob, state: SourceState & { kind: "fencing" }, limits: MigrationLimits): SourceStep {
  const { stream, fencedMs } = state;
  return {
    next: { ...job, state: { kind: "confirming", stream, fencedMs, deadlineMs: fencedMs + limits.pauseMs } },
    effects: [send(job, { kind: "fence", fence: job.fences, seq: stream.sent })],
  };
}

interface Decision {
  readonly want: "move" | "keep";
  readonly of: number;
  readonly expected: readonly ExpectedRange[];
  readonly fencedMs: number;
}

/** From here the fence stays until the register has answered. */
function decide(job: SourceJob, decision: Decision, nowMs: number, limits: MigrationLimits): SourceStep {
  const call = job.numbers + 1;
  const { want, of, expected, fencedMs } = decision;
  return {
    next: {
      ...job,
      numbers: call,
      state: {
        kind: "deciding",
        ...decision,
        call,
        refusing: false,
        giveUpMs: nowMs + limits.decideMs,
        deadlineMs: Math.min(nowMs + limits.answerMs, Math.max(nowMs, fencedMs + limits.pauseMs)),
      },
    },
    effects: [{ do: "claim", call, claim: claimOf(job.move, of, want, expected) }],
  };
}

/** What the register has said once, it does not take back, whatever call it answers; but the answer to an older one may be from before this attempt. */
function decided(
  job: SourceJob,
  state: Deciding,
  { call, pieces }: CommonEvent & { kind: "ownership" },
  nowMs: number,
  limits: MigrationLimits,
): SourceStep {
  if (stillOpen(pieces, state.expected) || (call !== state.call && !isLater(pieces, state.expected))) return same(job);
  const { move } = job;
  const paused = { ...job, pausedMs: job.pausedMs + nowMs - state.fencedMs };
  const look = state.of === job.attempt ? [send(job, { kind: "look" })] : [];
  const close: SourceEffect = { do: "disconnect", attempt: job.attempt };
  if (pieces.every(({ owner }) => owner === move.from)) {
    const step = job.cancelled ? ended(paused, "cancelled", undefined) : rest(paused, "the register kept the slots here", nowMs, limits);
    return { next: step.next, effects: [...look, { do: "stopCopy", attempt: job.attempt }, close, { do: "unfence" }, ...step.effects] };
  }
  const moved = pieces.every(({ owner, by }) => owner === move.to && by === moveName(move, state.of));
  const step = moved ? ended(paused, "finished", undefined) : ended(paused, "failed", "the slots went to another node");
  return {
    next: step.next,
    effects: [...look, { do: "stopCopy", attempt: job.attempt }, close, { do: "release", pieces }, { do: "unfence" }, ...step.effects],
  };
}

function tick(job: SourceJob, nowMs: number, limits: MigrationLimits): SourceStep {
  const { state } = job;
  if (!("deadlineMs" in state)) return same(job);
  const stream = streamOf(state);
  if (nowMs >= state.deadlineMs) {
    if (state.kind === "resting") return prepare(job, nowMs, limits);
    if (state.kind === "deciding") return askAgain(job, state, nowMs, limits);
    if (state.kind === "fencing" || state.kind === "confirming") return unfence(job, state, nowMs, limits);
    return endAttempt(job, `no answer in time while ${state.kind}`, nowMs, limits);
  }
  if (stream === undefined) return same(job);
  const pings = nowMs >= stream.pingAtMs;
  const next = pings ? withStream(job, { ...stream, pingAtMs: nowMs + limits.heartbeatMs }, limits) : job;
  const step = handOverWhenNear(next, nowMs, limits);
  return pings ? { next: step.next, effects: [send(job, { kind: "ping" }), ...step.effects] } : step;
}

/** Allowed by the clock, since nothing was proposed and only this side can. */
function unfence(
  job: SourceJob,
  state: SourceState & { kind: "fencing" | "confirming" },
  nowMs: number,
  limits: MigrationLimits,
): SourceStep {
  const stream = { ...state.stream, fenceFromMs: nowMs + limits.pauseMs };
  return {
    next: {
      ...job,
      pausedMs: job.pausedMs + nowMs - state.fencedMs,
      lastError: "no hand-over within pauseMs",
      state: { kind: "following", stream, deadlineMs: Math.max(nowMs, stream.heardMs) + limits.silenceMs },
    },
    effects: [{ do: "unfence" }, send(job, { kind: "unfence", fence: job.fences })],
  };
}

function askAgain(job: SourceJob, state: Deciding, nowMs: number, limits: MigrationLimits): SourceStep {
  const pauseEndMs = state.fencedMs + limits.pauseMs;
  const refusing = nowMs >= pauseEndMs;
  const refuses: readonly SourceEffect[] = refusing && !state.refusing ? [{ do: "refuseWaiting" }] : [];
  const want = nowMs >= state.giveUpMs ? "keep" : state.want;
  const call = job.numbers + 1;
  const deadlineMs = refusing ? nowMs + limits.answerMs : Math.min(nowMs + limits.answerMs, pauseEndMs);
  return {
    next: { ...job, numbers: call, state: { ...state, want, call, refusing, deadlineMs } },
    effects: [...refuses, { do: "claim", call, claim: claimOf(job.move, state.of, want, state.expected) }],
  };
}

function cancel(job: SourceJob, nowMs: number, limits: MigrationLimits): SourceStep {
  const { state } = job;
  if (!("deadlineMs" in state)) return same(job);
  if (state.kind === "deciding") {
    if (job.cancelled && state.want === "keep") return same(job);
    return askAgain({ ...job, cancelled: true }, { ...state, want: "keep" }, nowMs, limits);
  }
  const stopped = stop(job, nowMs, "cancelled");
  const step = ended(stopped.next, "cancelled", job.lastError);
  return { next: step.next, effects: [...stopped.effects, ...step.effects] };
}

function endAttempt(job: SourceJob, reason: string, nowMs: number, limits: MigrationLimits): SourceStep {
  const stopped = stop(job, nowMs, reason);
  const step = rest(stopped.next, reason, nowMs, limits);
  return { next: step.next, effects: [...stopped.effects, ...step.effects] };
}

/** One turn, nothing to wait for: whatever comes of this attempt later carries an older number. Never while a claim is under way. */
function stop(job: SourceJob, nowMs: number, reason: string): SourceStep {
  const { state, attempt } = job;
  const fenced = state.kind === "fencing" || state.kind === "confirming";
  const open = isOpen(state);
  return {
    next: { ...job, attempt: attempt + 1, pausedMs: job.pausedMs + (fenced ? nowMs - state.fencedMs : 0) },
    effects: [
      ...(streamOf(state) === undefined ? [] : [{ do: "stopCopy", attempt } as const]),
      ...(fenced ? [{ do: "unfence" } as const] : []),
      ...(open ? [send(job, { kind: "cancel", reason }), { do: "disconnect", attempt } as const] : []),
    ],
  };
}

function rest(job: SourceJob, reason: string, nowMs: number, limits: MigrationLimits): SourceStep {
  if (job.tries >= limits.attemptsMax) return ended(job, "failed", reason);
  return same({ ...job, lastError: reason, state: { kind: "resting", deadlineMs: nowMs + limits.restMs } });
}

function ended(job: SourceJob, kind: "finished" | "cancelled" | "failed", lastError: string | undefined): SourceStep {
  const record = job.numbers + 1;
  return {
    next: { ...job, lastError, numbers: record, state: { kind } },
    effects: [{ do: "persist", record, value: { move: job.move, attempt: job.attempt, phase: kind, expected: [] } }],
  };
}

const WAITING: Readonly<Record<SourceState["kind"], string | undefined>> = {
  preparing: "the register, for the slots' epochs",
  recording: "the disk, for the attempt's record",
  connecting: "the target's accept",
  copying: "the target, while the slots are walked",
  following: "the target, to come near enough",
  fencing: "the disk, for the fence",
  confirming: "the target, to have all on its disk",
  deciding: "the register, for who owns the slots",
  resting: "the next attempt",
  finished: undefined,
  cancelled: undefined,
  failed: undefined,
};

export function sourceStatus(job: SourceJob, nowMs: number): MigrationStatus {
  const { move, state, attempt, keys, bytes, pausedMs, fences, lastError } = job;
  const fencedNow = "fencedMs" in state ? nowMs - state.fencedMs : 0;
  return {
    job: move.job,
    role: "source",
    peer: move.to,
    ranges: move.ranges,
    phase: state.kind,
    attempt,
    keys,
    bytes,
    fences,
    lastError,
    lagBytes: streamOf(state)?.lagBytes ?? 0,
    pausedMs: pausedMs + fencedNow,
    deadlineInMs: "deadlineMs" in state ? state.deadlineMs - nowMs : undefined,
    waitingFor: WAITING[state.kind],
  };
}
