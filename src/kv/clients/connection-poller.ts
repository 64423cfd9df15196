import type { Request } from "../../wire/resp/request.ts";
import type { Connection } from "./connection.ts";

const READ_BYTES = 64 * 1024;

/**
 * Looks after all connections while a command of one of them has this thread to itself. The request under way is that one's, and the buffer that it lies in
 * as well: others use their own.
 */
export function connectionPoller(connections: ReadonlySet<Connection>, shared: Request): () => void {
  let buffer: Buffer | undefined;
  return () => {
    buffer ??= Buffer.allocUnsafeSlow(READ_BYTES);
    const { bytes, count, offsets, lengths } = shared;
    shared.offsets = new Int32Array(offsets.length);
    shared.lengths = new Int32Array(lengths.length);
    for (const connection of Array.from(connections)) connection.poll(buffer);
    Object.assign(shared, { bytes, count, offsets, lengths });
  };
}
