import type { Log } from "../base/log.ts";

export interface Listener {
  /** `scheduler`, `upload`, `transfer`, `proxy`, `socket`, `status`. */
  readonly name: string;
  readonly address: string;
}

/** Roles that serve. Disposing drains and stops them in the reverse order of their start. */
export interface Running extends AsyncDisposable {
  readonly listeners: readonly Listener[];
}

/**
 * Serves until SIGTERM or SIGINT, then drains; a second signal ends the process at once. `onReady` is told what listens where.
 * A start that fails has released everything when this throws.
 */
export async function runUntilSignal(log: Log, start: () => Promise<Running>, onReady: (running: Running) => void): Promise<void> {
  const { promise: told, resolve: stop } = Promise.withResolvers<NodeJS.Signals>();
  let signals = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (++signals > 1) {
      log.warn("node.killed", { signal, reason: "second signal" });
      process.exit(1);
    }
    stop(signal);
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  try {
    await using running = await start();
    onReady(running);
    const signal = await told;
    log.info("node.stopping", { signal });
  } finally {
    process.off("SIGTERM", onSignal).off("SIGINT", onSignal);
  }
  log.info("node.stopped");
}
