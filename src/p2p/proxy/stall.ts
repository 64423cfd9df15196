import type { ServerResponse } from "node:http";
import type { Clock } from "../../base/clock.ts";

export interface StallGuard extends Disposable {
  /** Says that the client has taken bytes that Node's own counter does not see (sendfile). */
  progress(): void;
}

/**
 * Drops a client that takes nothing for `stallMs` although bytes wait for it: it would hold a connection, buffers and a lease on the content
 * for ever. Waiting on our side (pieces that are still on their way) is no stall.
 */
export function guardStall(response: ServerResponse, clock: Clock, stallMs: number): StallGuard {
  let progressed = true;
  let seen = -1;
  let timer = arm();
  function arm(): Disposable {
    return clock.timer(stallMs, () => {
      const written = response.socket?.bytesWritten ?? 0;
      const waits = response.writableLength > 0 || (response.socket?.writableLength ?? 0) > 0;
      if (waits && !progressed && written === seen) return void response.destroy();
      progressed = false;
      seen = written;
      timer = arm();
    });
  }
  return {
    progress: () => {
      progressed = true;
    },
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}
