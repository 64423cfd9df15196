import { stat } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { closeDescriptor, openDescriptor, readFully } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import type { Loading } from "../store.ts";

/** Read at once, and decoded while everything else waits. */
const PIECE_BYTES = 128 * 1024;

/** A file from its start to its end; between the pieces others have their turn. A piece is valid until the next one. Throws `disk.io`. */
export async function* piecesOf(path: string, loading: Loading | undefined): AsyncGenerator<Buffer, void> {
  try {
    const { size } = await stat(path);
    if (loading !== undefined) loading.totalBytes += size;
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
    const fd = await openDescriptor(path, "r");
    try {
      for (let at = 0; ;) {
        const count = await readFully(fd, piece, at);
        if (count === 0) return;
        yield piece.subarray(0, count);
        at += count;
        if (loading !== undefined) loading.loadedBytes += count;
        await nextTurn();
      }
    } finally {
      await closeDescriptor(fd);
    }
  } catch (thrown) {
    throw thrown instanceof Error && "code" in thrown ? diskErrorOf(thrown, { path }) : thrown;
  }
}
