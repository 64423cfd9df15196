import type { Client } from "../clients/client.ts";

/** Clients that wait until others, or the disk, have what they wrote. */
export class Waits {
  readonly #waiting = new Map<Client, () => boolean>();

  /** `answered` replies and says true once there is enough; `timedOut` replies with what there is. `timeoutMs` 0: it waits for ever. */
  add(client: Client, timeoutMs: number, answered: () => boolean, timedOut: () => void): void {
    const { blocked, clock } = client.store;
    this.#waiting.set(client, answered);
    const timer =
      timeoutMs === 0
        ? undefined
        : clock.timer(timeoutMs, () => {
            timedOut();
            blocked.release(client);
          });
    const dispose = (): void => {
      this.#waiting.delete(client);
      timer?.[Symbol.dispose]();
    };
    blocked.add(client, {
      db: client.db,
      keys: [],
      serve: () => false,
      timedOut,
      reason: "replicas",
      timer: { [Symbol.dispose]: dispose },
    });
  }

  get any(): boolean {
    return this.#waiting.size > 0;
  }

  /** Somebody has come further. */
  serve(): void {
    for (const [client, answered] of Array.from(this.#waiting)) if (answered()) client.store.blocked.release(client);
  }
}
