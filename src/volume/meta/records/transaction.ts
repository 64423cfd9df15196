import { randomBytes } from "node:crypto";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { pause } from "../pause.ts";
import type { CommitRequest, Fetched, FetchRequest, RecordStore } from "./record-store.ts";
import { Miss, type View } from "./view.ts";

/** How often records may be missing before a verb has all of them: a path may be 4,096 directories deep. */
const ROUNDS_MAX = 10_000;
/** How often others may be quicker. */
const CONFLICTS_MAX = 64;
const PAUSE_MS_MAX = 32;

/** What a transaction asks of whoever runs it. */
export type Step =
  | { readonly kind: "fetch"; readonly request: FetchRequest }
  | { readonly kind: "commit"; readonly request: CommitRequest }
  | { readonly kind: "pause"; readonly ms: number };

export interface Transaction<T> {
  readonly view: View;
  readonly clock: Clock;
  /** Looked at when it changes nothing: what was checked then or later counts as current. Default: nothing is. */
  readonly trustedMs?: number;
  /** Before each run. */
  readonly begin: () => void;
  readonly work: () => T;
  /** After the run of one that has changed something; may change more. */
  readonly finish: () => void;
  /** Before the commit of a run with that result; `begin` follows where it was not made. */
  readonly onCommit?: (stamp: string, result: T) => void;
  /** A group that only this client's commits touch, so that the fate of one can be told. */
  readonly marker?: string;
}

/**
 * Runs `work` until it has had all the records that it reads and they were still so when its changes were made, all at once. Optimistic: nothing is locked, others'
 * changes make it run again. So `work` must do nothing but read and change records. The one machine for threads that wait and those that may not: `runHere`, `run`.
 */
export function* transactionOf<T>({
  view,
  clock,
  trustedMs,
  begin,
  work,
  finish,
  onCommit,
  marker,
}: Transaction<T>): Generator<Step, T, unknown> {
  view.begin(clock.nowMs(), trustedMs ?? Number.POSITIVE_INFINITY);
  let rounds = 0;
  for (let conflicts = 0; conflicts < CONFLICTS_MAX;) {
    const attempt = attemptOf(view, marker, begin, work, finish);
    if (attempt.kind === "missing") {
      if (++rounds > ROUNDS_MAX) throw new AnaxError("volume.unreachable", { reason: "a call wants too many records" });
      const request = view.request(attempt.wants);
      view.take(request, (yield { kind: "fetch", request }) as Fetched, clock.nowMs());
      continue;
    }
    if (attempt.kind === "thrown" || !view.isChanged) {
      if (view.isCurrent) {
        if (attempt.kind === "thrown") throw attempt.reason;
        return attempt.result;
      }
      const request = view.request([]);
      view.take(request, (yield { kind: "fetch", request }) as Fetched, clock.nowMs());
      continue; // costs little where nothing has changed, and is right where something has
    }
    const request = view.commit(randomBytes(9).toString("base64"), marker === undefined ? [] : [marker]);
    onCommit?.(request.stamp, attempt.result);
    if ((yield { kind: "commit", request }) as boolean) {
      view.committed(request, clock.nowMs());
      return attempt.result;
    }
    conflicts++;
    if (conflicts > 1) yield { kind: "pause", ms: Math.random() * Math.min(PAUSE_MS_MAX, 2 ** conflicts) };
    const again = view.request([]);
    view.take(again, (yield { kind: "fetch", request: again }) as Fetched, clock.nowMs());
  }
  throw new AnaxError("volume.unreachable", { reason: `others changed the same ${CONFLICTS_MAX} times meanwhile` });
}

type Attempt<T> =
  | { readonly kind: "done"; readonly result: T }
  | { readonly kind: "thrown"; readonly reason: unknown }
  | { readonly kind: "missing"; readonly wants: Miss["wants"] };

function attemptOf<T>(view: View, marker: string | undefined, begin: () => void, work: () => T, finish: () => void): Attempt<T> {
  view.restart();
  begin();
  try {
    const result = work();
    if (view.isChanged) {
      finish();
      if (marker !== undefined) view.expect([{ group: marker, key: "" }]); // so that its version is compared
    }
    return { kind: "done", result };
  } catch (thrown) {
    return thrown instanceof Miss ? { kind: "missing", wants: thrown.wants } : { kind: "thrown", reason: thrown };
  }
}

/** What answers within the thread that asks. */
export interface SyncRecordStore {
  fetch(request: FetchRequest): Fetched;
  commit(request: CommitRequest): boolean;
}

/** Runs it to its end and blocks this thread meanwhile. */
export function runHere<T>(steps: Generator<Step, T, unknown>, store: SyncRecordStore): T {
  for (let next = steps.next(); ;) {
    if (next.done === true) return next.value;
    const step = next.value;
    if (step.kind === "pause") pause(step.ms);
    next = steps.next(step.kind === "fetch" ? store.fetch(step.request) : step.kind === "commit" ? store.commit(step.request) : undefined);
  }
}

export async function run<T>(steps: Generator<Step, T, unknown>, store: RecordStore, clock: Clock): Promise<T> {
  for (let next = steps.next(); ;) {
    if (next.done === true) return next.value;
    const step = next.value;
    if (step.kind === "pause") await clock.sleep(step.ms);
    next = steps.next(
      step.kind === "fetch" ? await store.fetch(step.request) : step.kind === "commit" ? await store.commit(step.request) : undefined,
    );
  }
}
