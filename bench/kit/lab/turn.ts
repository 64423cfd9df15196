import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface TurnOptions {
  readonly signal: AbortSignal;
  readonly onWait: () => void;
  readonly name?: string;
}

/** A name that one process of a machine can hold; the kernel frees it when that process ends, however it does. */
const NAME = "\0anax-lab";
const PAUSE_MS = 500;
const WAIT_MS_MAX = 20 * 60_000;

/** Two labs at once would measure each other: waits until no other process has one. Disposing lets the next one begin. */
export async function takeTurn({ signal, onWait, name = NAME }: TurnOptions): Promise<AsyncDisposable> {
  const untilMs = performance.now() + WAIT_MS_MAX;
  for (let waited = false; ; waited = true) {
    const held = createServer().listen(name);
    try {
      await once(held, "listening");
      return held;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      if (performance.now() > untilMs) throw new Error("another benchmark holds the lab and does not end", { cause: error });
      if (!waited) onWait();
      await sleep(PAUSE_MS, undefined, { signal });
    }
  }
}
