import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { formatDuration } from "../../base/units.ts";
import type { LocalDaemon } from "../connect.ts";

/** Pauses between attempts to reach a daemon that is gone. */
const FIRST_PAUSE_MS = 100;
const PAUSE_MAX_MS = 1000;

/** A daemon that dies so often without another byte dies of this download. */
const LOSSES_MAX = 5;

export interface Surviving {
  readonly daemon: LocalDaemon;
  /** How long to wait for a daemon that is gone; 0: not at all. */
  readonly waitMs: number;
  readonly signal: AbortSignal;
  /** Answers so far: with another one there was a daemon again. */
  readonly heard: () => number;
  readonly doneBytes: () => number;
  readonly onWaiting: () => void;
}

/**
 * Goes on after `thrown` ended a call to the daemon: when that was because the daemon died or stops, `again` is tried until one answers it to its
 * end. Throws `thrown` when it was something else, and `daemon.unreachable` when none comes back in time.
 */
export async function goOn<T>(thrown: unknown, again: () => Promise<T>, surviving: Surviving): Promise<T> {
  let lost = mustBeLoss(thrown, surviving);
  let doneBytes = -1;
  for (let losses = 0; losses < LOSSES_MAX; losses++) {
    if (surviving.doneBytes() > doneBytes) losses = 0;
    doneBytes = surviving.doneBytes();
    const next = await afterLoss(lost, again, surviving);
    if ("result" in next) return next.result;
    lost = next.lost;
  }
  throw lost;
}

/** The result, or another loss once a daemon had come back. */
async function afterLoss<T>(
  lost: AnaxError,
  again: () => Promise<T>,
  { daemon, waitMs, signal, heard, onWaiting, ...more }: Surviving,
): Promise<{ readonly result: T } | { readonly lost: AnaxError }> {
  const sinceMs = realClock.nowMs();
  const before = heard();
  for (let pauseMs = FIRST_PAUSE_MS; realClock.nowMs() - sinceMs < waitMs; pauseMs = Math.min(PAUSE_MAX_MS, pauseMs * 2)) {
    onWaiting();
    await realClock.sleep(pauseMs, signal);
    try {
      return { result: await again() };
    } catch (thrown) {
      lost = mustBeLoss(thrown, { daemon, waitMs, signal, heard, onWaiting, ...more });
    }
    if (heard() > before) return { lost };
  }
  const hint = "start one with: anax up, or: anax daemon";
  throw new AnaxError("daemon.unreachable", { socket: daemon.socketPath, waited: formatDuration(waitMs), hint }, { cause: lost });
}

function mustBeLoss(thrown: unknown, { daemon, waitMs, signal }: Surviving): AnaxError {
  signal.throwIfAborted();
  const error = errorOf(thrown);
  const isLoss = error.code === "daemon.stopping" || (error.code === "rpc.unavailable" && daemon.reached);
  if (!isLoss || waitMs === 0) throw thrown;
  return error;
}
