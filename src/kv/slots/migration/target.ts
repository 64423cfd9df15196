import { isLater, stillOpen, type ExpectedRange } from "../slot-map.ts";
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

/** What the target must know after a crash. What an attempt has staged counts only if it is `confirmed`. */
export interface TargetRecord {
  readonly move: Move;
  readonly attempt: number;
  readonly phase: "staging" | "confirmed" | "finished" | "dropped";
  readonly expected: readonly ExpectedRange[];
}

export type TargetState =
  | { readonly kind: "accepting"; readonly deadlineMs: number; readonly record: number }
  | { readonly kind: "staging"; readonly deadlineMs: number }
  | { readonly kind: "syncing"; readonly deadlineMs: number; readonly record: number; readonly fence: number }
  /** May be its owner's any moment, or already. */
  | { readonly kind: "confirmed"; readonly deadlineMs: number; readonly call: number; readonly giveUpMs: number; readonly fence: number }
  | { readonly kind: "refusing"; readonly deadlineMs: number; readonly call: number }
  | { readonly kind: "promoting"; readonly deadlineMs: number; readonly record: number }
  | { readonly kind: "finished" | "dropped" };

export interface TargetJob {
  readonly move: Move;
  readonly attempt: number;
  readonly expected: readonly ExpectedRange[];
  readonly state: TargetState;
  /** The last data frame that was applied. */
  readonly seq: number;
  readonly keys: number;
  readonly bytes: number;
  readonly pingAtMs: number;
  readonly numbers: number;
  readonly cancelled: boolean;
  readonly lastError: string | undefined;
}

export type TargetEffect =
  | CommonEffect<TargetRecord>
  | { readonly do: "openStaging" | "dropStaging"; readonly attempt: number }
  | { readonly do: "apply"; readonly attempt: number; readonly seq: number; readonly payload: unknown }
  /** What is staged, and then the record: both on disk, in this order or at once. Answered as `persist`. */
  | { readonly do: "syncStaging"; readonly attempt: number; readonly record: number; readonly value: TargetRecord }
  /** What is staged becomes the node's, and then the record, on disk, before anybody is served; ordered again while it is being done, nothing more. Answered as `persist`. */
  | { readonly do: "promote"; readonly attempt: number; readonly record: number; readonly value: TargetRecord };

export interface TargetStep {
  readonly next: TargetJob;
  readonly effects: readonly TargetEffect[];
}

export type InitFrame = Frame & { readonly kind: "init" };

/** A source begins an attempt of a job that is not known here, or of one that has ended. */
export function startTarget(init: InitFrame, self: string, nowMs: number, limits: MigrationLimits): TargetStep {
  const { job, attempt, from, expected } = init;
  const move: Move = { job, from, to: self, ranges: expected.map(({ start, end }) => ({ start, end })) };
  const record = 1;
  const target: TargetJob = {
    move,
    attempt,
    expected,
    seq: 0,
    keys: 0,
    bytes: 0,
    numbers: record,
    cancelled: false,
    lastError: undefined,
    state: { kind: "accepting", record, deadlineMs: nowMs + limits.answerMs },
    pingAtMs: nowMs + limits.heartbeatMs,
  };
  const effects: TargetEffect[] = [
    { do: "openStaging", attempt },
    { do: "persist", record, value: recordOf(target, "staging") },
  ];
  return { next: target, effects };
}

/** After a crash: what was not confirmed has no owner and goes; what was may be the node's. */
export function restoreTarget(record: TargetRecord, nowMs: number, limits: MigrationLimits): TargetStep {
  const { move, attempt, expected, phase } = record;
  const job: TargetJob = {
    move,
    attempt,
    expected,
    seq: 0,
    keys: 0,
    bytes: 0,
    numbers: 0,
    pingAtMs: nowMs,
    cancelled: false,
    lastError: "restarted",
    state: { kind: phase === "finished" ? "finished" : "dropped" },
  };
  if (phase === "confirmed") return ask({ ...job, state: confirmed(NO_FENCE, nowMs, limits) }, nowMs, limits);
  return { next: job, effects: phase === "staging" ? [{ do: "dropStaging", attempt }] : [] };
}

export function stepTarget(job: TargetJob, event: CommonEvent, nowMs: number, limits: MigrationLimits): TargetStep {
  const { state } = job;
  switch (event.kind) {
    case "cancel":
      return cancel(job, nowMs, limits);
    case "tick":
      return tick(job, nowMs, limits);
    case "frame":
      return received(job, event.frame, nowMs, limits);
    case "disconnected":
      return event.attempt === job.attempt && maySimplyDrop(state) ? drop(job, event.reason) : same(job);
    case "persistFailed":
      if (!("record" in state) || event.record !== state.record) return same(job);
      if (state.kind === "promoting") return same({ ...job, lastError: event.reason }); // again at the deadline: it is the owner
      return drop(job, event.reason);
    case "persisted":
      return persisted(job, event.record, nowMs, limits);
    case "ownership":
      return state.kind === "confirmed" || state.kind === "refusing" ? learned(job, state, event, nowMs, limits) : same(job);
    case "registerFailed":
      return state.kind === "confirmed" || state.kind === "refusing" ? same({ ...job, lastError: event.reason }) : same(job);
  }
}

/** Before it has confirmed, the source cannot have proposed. */
const maySimplyDrop = (state: TargetState): boolean => state.kind === "accepting" || state.kind === "staging" || state.kind === "syncing";

const same = (next: TargetJob): TargetStep => ({ next, effects: [] });

const recordOf = ({ move, attempt, expected }: TargetJob, phase: TargetRecord["phase"]): TargetRecord => ({
  move,
  attempt,
  expected,
  phase,
});

function received(job: TargetJob, frame: Frame, nowMs: number, limits: MigrationLimits): TargetStep {
  if (frame.job !== job.move.job) return same(job);
  if (frame.kind === "init") return again(job, frame, nowMs, limits);
  if (frame.attempt !== job.attempt) return same(job);
  const { state } = job;
  switch (frame.kind) {
    case "data":
      return data(job, frame, nowMs, limits);
    case "fence":
      if (state.kind !== "staging") return same(job);
      return frame.seq === job.seq ? sync(job, frame.fence, nowMs, limits) : drop(job, "frames are missing before the fence");
    case "unfence":
      if ((state.kind !== "syncing" && state.kind !== "confirmed") || frame.fence !== state.fence) return same(job); // late: of an earlier fence
      return same({ ...job, state: { kind: "staging", deadlineMs: nowMs + limits.silenceMs } });
    case "look":
      return state.kind === "confirmed" ? ask(job, nowMs, limits) : same(job);
    case "cancel":
      return maySimplyDrop(state) ? drop(job, frame.reason) : same(job);
    case "ping":
      return state.kind === "staging" ? same({ ...job, state: { ...state, deadlineMs: nowMs + limits.silenceMs } }) : same(job);
    case "accept":
    case "refuse":
    case "applied":
    case "confirm":
      return same(job); // a target's own
  }
}

/**
 * An attempt begins only when the one before can never succeed any more: what that one has staged goes. One that had succeeded may be followed by another, where the source has
 * got the slots back from whoever took this node's over.
 */
function again(job: TargetJob, init: InitFrame, nowMs: number, limits: MigrationLimits): TargetStep {
  if (init.attempt <= job.attempt || job.state.kind === "promoting") return same(job);
  const started = startTarget(init, job.move.to, nowMs, limits);
  const record = job.numbers + 1; // numbers of the old attempt's records may still be answered
  const next: TargetJob = { ...started.next, numbers: record, state: { kind: "accepting", record, deadlineMs: nowMs + limits.answerMs } };
  return {
    next,
    effects: [
      { do: "dropStaging", attempt: job.attempt },
      { do: "disconnect", attempt: job.attempt },
      { do: "openStaging", attempt: init.attempt },
      { do: "persist", record, value: recordOf(next, "staging") },
    ],
  };
}

function data(job: TargetJob, frame: Frame & { kind: "data" }, nowMs: number, limits: MigrationLimits): TargetStep {
  const { state } = job;
  if (state.kind !== "staging" || frame.seq <= job.seq) return same(job); // once more the same
  if (frame.seq > job.seq + 1) return drop(job, "a frame is missing");
  const { attempt } = job;
  const { seq, payload, keys, bytes } = frame;
  return {
    next: {
      ...job,
      seq,
      keys: job.keys + keys,
      bytes: job.bytes + bytes,
      state: { kind: "staging", deadlineMs: nowMs + limits.silenceMs },
    },
    effects: [{ do: "apply", attempt, seq, payload }, send(job, { kind: "applied", seq })],
  };
}

function sync(job: TargetJob, fence: number, nowMs: number, limits: MigrationLimits): TargetStep {
  const record = job.numbers + 1;
  return {
    next: { ...job, numbers: record, state: { kind: "syncing", record, fence, deadlineMs: nowMs + limits.answerMs } },
    effects: [{ do: "syncStaging", attempt: job.attempt, record, value: recordOf(job, "confirmed") }],
  };
}

function persisted(job: TargetJob, record: number, nowMs: number, limits: MigrationLimits): TargetStep {
  const { state } = job;
  if (!("record" in state) || record !== state.record) return same(job);
  if (state.kind === "accepting")
    return { next: { ...job, state: { kind: "staging", deadlineMs: nowMs + limits.silenceMs } }, effects: [send(job, { kind: "accept" })] };
  if (state.kind === "promoting")
    return { next: { ...job, state: { kind: "finished" } }, effects: [{ do: "disconnect", attempt: job.attempt }] };
  return {
    next: { ...job, state: confirmed(state.fence, nowMs, limits) },
    effects: [send(job, { kind: "confirm", fence: state.fence, seq: job.seq })],
  };
}

/** After a start, when the source's connection is gone. */
const NO_FENCE = -1;

const confirmed = (fence: number, nowMs: number, limits: MigrationLimits): TargetState & { kind: "confirmed" } => ({
  kind: "confirmed",
  fence,
  call: 0,
  deadlineMs: nowMs + limits.pollMs,
  giveUpMs: nowMs + 2 * limits.decideMs,
});

function ask(job: TargetJob, nowMs: number, limits: MigrationLimits): TargetStep {
  const call = job.numbers + 1;
  const { state } = job;
  if (state.kind !== "confirmed") return same(job);
  return {
    next: { ...job, numbers: call, state: { ...state, call, deadlineMs: nowMs + limits.pollMs } },
    effects: [{ do: "readOwnership", call, ranges: job.move.ranges }],
  };
}

function refuse(job: TargetJob, nowMs: number, limits: MigrationLimits): TargetStep {
  const call = job.numbers + 1;
  return {
    next: { ...job, numbers: call, state: { kind: "refusing", call, deadlineMs: nowMs + limits.answerMs } },
    effects: [{ do: "claim", call, claim: claimOf(job.move, job.attempt, "refuse", job.expected) }],
  };
}

/** What the register has said once, it does not take back, whichever question it answers; but the answer to an older one may be from before this attempt. */
function learned(
  job: TargetJob,
  state: TargetState & { kind: "confirmed" | "refusing" },
  { call, pieces }: CommonEvent & { kind: "ownership" },
  nowMs: number,
  limits: MigrationLimits,
): TargetStep {
  if (stillOpen(pieces, job.expected) || (call !== state.call && !isLater(pieces, job.expected))) return same(job);
  const { move, attempt } = job;
  const ours = pieces.every(({ owner, by }) => owner === move.to && by === moveName(move, attempt));
  return ours ? promote(job, nowMs, limits) : drop(job, "the register decided otherwise");
}

/** Once more with the same number: whichever order is answered, it is done. */
function promote(job: TargetJob, nowMs: number, limits: MigrationLimits): TargetStep {
  const record = job.state.kind === "promoting" ? job.state.record : job.numbers + 1;
  return {
    next: { ...job, numbers: record, state: { kind: "promoting", record, deadlineMs: nowMs + limits.answerMs } },
    effects: [{ do: "promote", attempt: job.attempt, record, value: recordOf(job, "finished") }],
  };
}

function tick(job: TargetJob, nowMs: number, limits: MigrationLimits): TargetStep {
  const { state } = job;
  if (!("deadlineMs" in state)) return same(job);
  if (nowMs >= state.deadlineMs) {
    if (state.kind === "confirmed") return nowMs >= state.giveUpMs ? refuse(job, nowMs, limits) : ask(job, nowMs, limits);
    if (state.kind === "refusing") return refuse(job, nowMs, limits);
    if (state.kind === "promoting") return promote(job, nowMs, limits);
    return drop(job, `nothing came in time while ${state.kind}`);
  }
  if (nowMs < job.pingAtMs || state.kind === "promoting") return same(job);
  return { next: { ...job, pingAtMs: nowMs + limits.heartbeatMs }, effects: [send(job, { kind: "ping" })] };
}

function cancel(job: TargetJob, nowMs: number, limits: MigrationLimits): TargetStep {
  const { state } = job;
  const next = { ...job, cancelled: true };
  if (state.kind === "confirmed") return refuse(next, nowMs, limits);
  return maySimplyDrop(state) ? drop(next, "cancelled") : same(job); // too late, or under way
}

/** No trace: the reference goes, and the record says that nothing is to be looked for. */
function drop(job: TargetJob, reason: string): TargetStep {
  const record = job.numbers + 1;
  const { attempt } = job;
  return {
    next: { ...job, numbers: record, lastError: reason, state: { kind: "dropped" } },
    effects: [
      { do: "dropStaging", attempt },
      { do: "persist", record, value: recordOf(job, "dropped") },
      send(job, { kind: job.cancelled ? "cancel" : "refuse", reason }),
      { do: "disconnect", attempt },
    ],
  };
}

type FrameBody = Frame extends infer F ? (F extends Frame ? Omit<F, "job" | "attempt"> : never) : never;

const send = (job: TargetJob, body: FrameBody): TargetEffect => ({
  do: "send",
  attempt: job.attempt,
  frame: { ...body, job: job.move.job, attempt: job.attempt } as Frame, // the body is one of a frame's
});

const WAITING: Readonly<Record<TargetState["kind"], string | undefined>> = {
  accepting: "the disk, for the attempt's record",
  staging: "the source",
  syncing: "the disk, for what is staged",
  confirmed: "the register, for who owns the slots",
  refusing: "the register, for its refusal of the slots",
  promoting: "the disk, for the slots that are now its own",
  finished: undefined,
  dropped: undefined,
};

export function targetStatus(job: TargetJob, nowMs: number): MigrationStatus {
  const { move, state, attempt, keys, bytes, lastError } = job;
  return {
    job: move.job,
    role: "target",
    peer: move.from,
    ranges: move.ranges,
    phase: state.kind,
    attempt,
    keys,
    bytes,
    lastError,
    lagBytes: 0,
    pausedMs: 0,
    fences: 0,
    deadlineInMs: "deadlineMs" in state ? state.deadlineMs - nowMs : undefined,
    waitingFor: WAITING[state.kind],
  };
}
