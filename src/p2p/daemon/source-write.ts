import { AnaxError } from "../../base/errors.ts";
import type { Clock } from "../../base/clock.ts";
import { pieceRangeOf } from "../model/piece.ts";
import { blockBytesFor, inBlocks } from "./blocks.ts";
import type { PieceWriter, StoredTask } from "../pieces/types.ts";
import type { SourceBody } from "../source/types.ts";
import type { DownloadedPiece } from "./types.ts";

interface OpenPiece {
  readonly index: number;
  readonly startedMs: number;
  /** Undefined: the piece is held already, its bytes only pass by. */
  readonly writer: PieceWriter | undefined;
  leftBytes: number;
}

/** Decides how fast a body is read. */
export interface SourcePace {
  /** Bytes to be read at once. */
  readonly blockBytes: number;
  /** Resolves when as many bytes may pass. */
  pay(bytes: number): Promise<void>;
}

/**
 * Cuts a body that begins with piece `from` into `count` pieces, and writes them as the bytes come: never is a whole piece in memory.
 * Throws `source.truncated` when the body ends early; the pieces finished by then stay.
 */
export async function writePieces(options: {
  readonly stored: StoredTask;
  readonly body: SourceBody;
  readonly pace: SourcePace;
  readonly from: number;
  readonly count: number;
  /** Whether a piece is still to be read here when its turn comes; the first that is not ends the reading. */
  readonly isOurs: (index: number) => boolean;
  readonly clock: Clock;
  readonly onPiece: (piece: DownloadedPiece, costMs: number) => void;
}): Promise<void> {
  const { stored, body, pace, from, count, isOurs, clock } = options;
  const end = from + count;
  // A piece goes on to others once it is complete: nothing of it waits for bytes of the next.
  const blockBytes = Math.min(pace.blockBytes, blockBytesFor(bytesOf(stored.meta, from, count)), stored.meta.pieceLength);
  let index = from;
  let open: OpenPiece | undefined;
  try {
    for await (const chunk of inBlocks(body.chunks, blockBytes)) {
      await pace.pay(chunk.length);
      for (let at = 0; at < chunk.length;) {
        if (index === end) throw new AnaxError("source.bad-status", { reason: "more bytes than announced", url: stored.meta.url });
        if (open === undefined && !isOurs(index)) return;
        open ??= openPiece(stored, index, clock.nowMs());
        const bytes = Math.min(open.leftBytes, chunk.length - at);
        await open.writer?.write(chunk.subarray(at, at + bytes));
        open.leftBytes -= bytes;
        at += bytes;
        if (open.leftBytes > 0) continue;
        const finished = open;
        open = undefined;
        await finish(stored, finished, options);
        index++;
      }
      if (index === end) break;
    }
  } finally {
    open?.writer?.abort();
  }
  if (index < end) throw new AnaxError("source.truncated", { url: stored.meta.url, pieceIndex: index });
}

function bytesOf(layout: StoredTask["meta"], from: number, count: number): number {
  if (count === 0) return 0;
  const last = pieceRangeOf(layout, from + count - 1);
  return last.start + last.length - from * layout.pieceLength;
}

function openPiece(stored: StoredTask, index: number, nowMs: number): OpenPiece {
  const { length } = pieceRangeOf(stored.meta, index);
  const writer = stored.finished.has(index) ? undefined : stored.writePiece({ index, traffic: "back-to-source", parentId: "" });
  return { index, startedMs: nowMs, writer, leftBytes: length };
}

async function finish(
  stored: StoredTask,
  { writer, index, startedMs }: OpenPiece,
  { clock, onPiece }: { readonly clock: Clock; readonly onPiece: (piece: DownloadedPiece, costMs: number) => void },
): Promise<void> {
  if (writer === undefined || (await writer.finish()) === "duplicate") return;
  const piece = stored.piece(index);
  if (piece !== undefined) onPiece(piece, clock.nowMs() - startedMs);
}
