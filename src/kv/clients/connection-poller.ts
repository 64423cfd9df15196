import type { RequestBatch } from "../../wire/resp/request-parser.ts";
import type { Connection } from "./connection.ts";

const READ_BYTES = 64 * 1024;

/**
 * Looks after all connections while a command of one of them has this thread to itself. The requests under way are that one's, and the buffer that they lie in
 * as well: others use their own.
 */
export function connectionPoller(connections: ReadonlySet<Connection>, shared: RequestBatch): () => void {
  let buffer: Buffer | undefined;
  return () => {
    buffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    shared.lend(() => {
      for (const connection of Array.from(connections)) connection.poll(buffer!); // it was made above
    });
  };
}
