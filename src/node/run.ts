import { once } from "node:events";
import { realClock } from "../base/clock.ts";
import { errorOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";

export interface Listener {
  /** `scheduler`, `upload`, `transfer`, `proxy`, `socket`, `status`. */
  readonly name: string;
  readonly address: string;
}

/** Roles that serve. Disposing drains and stops them in the reverse order of their start. */
export interface Running extends AsyncDisposable {
  readonly listeners: readonly Listener[];
  /** Aborts, with the reason, when it cannot go on and a new process would help. */
  readonly broken: AbortSignal;
  /** Asked upon a signal: false, it cannot end now and goes on. Undefined: it ends whenever it is told. */
  readonly mayEnd?: ((signal: NodeJS.Signals) => Promise<boolean>) | undefined;
}

/** A process that is broken ends by itself only after that time: probes should see it first, and say why. */
const BROKEN_GRACE_MS = 60_000;

/**
 * Serves until SIGTERM or SIGINT, then drains; a second signal meanwhile ends the process at once. `onReady` is told what listens where.
 * One that breaks for good drains, too, after a while in which its probes tell; that throws the reason.
 * A start that fails has released everything when this throws.
 */
export async function runUntilSignal(log: Log, start: () => Promise<Running>, onReady: (running: Running) => void): Promise<void> {
  const { promise: told, resolve: stop } = Promise.withResolvers<NodeJS.Signals>();
  let signals = 0;
  let mayEnd: Running["mayEnd"];
  const stopOrGoOn = async (signal: NodeJS.Signals): Promise<void> => {
    if (mayEnd === undefined || (await mayEnd(signal))) return stop(signal);
    log.warn("node.goes-on", { signal });
    signals = 0;
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (++signals > 1) {
      log.warn("node.killed", { signal, reason: "second signal" });
      process.exit(1);
    }
    void stopOrGoOn(signal);
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  const over = new AbortController();
  try {
    await using running = await start();
    mayEnd = running.mayEnd;
    onReady(running);
    await Promise.race([told.then((signal) => log.info("node.stopping", { signal })), brokenForLong(running.broken, log, over.signal)]);
  } finally {
    over.abort();
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
  log.info("node.stopped");
}

/** Rejects with the reason when it has been broken for long enough. */
async function brokenForLong(broken: AbortSignal, log: Log, over: AbortSignal): Promise<void> {
  if (!broken.aborted) await once(broken, "abort");
  log.error("node.broken", { reason: errorOf(broken.reason).message, endsAfterMs: BROKEN_GRACE_MS });
  await realClock.sleep(BROKEN_GRACE_MS, over);
  throw errorOf(broken.reason);
}
