import type { Download as WireDownload } from "../../wire/grpc/gen/common/v2/common.ts";
import type { DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { piecesOfRange, pieceRangeOf } from "../model/piece.ts";
import type { ByteRange } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import { rangeWithin, wirePieceOf } from "./api.ts";
import { orAborted } from "./linked-signal.ts";
import { sendingBytesOf } from "./memory/amounts.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import type { Download } from "./types.ts";

type Wanted = Pick<WireDownload, "range" | "needPieceContent">;

/**
 * The answers to a `DownloadTask` call: first what the content is, then a message for each piece. With `need_piece_content` pieces
 * come in order and with their bytes, cut to the range where one was asked for: `offset` and `length` say which bytes these are.
 * Without it they come as they arrive. Ends after the last piece, when everything is verified and durable.
 */
export async function* answerDownload(
  download: Download,
  wanted: Wanted,
  { hostId, memory, signal }: { readonly hostId: string; readonly memory: MemoryBudget; readonly signal: AbortSignal },
): AsyncGenerator<DownloadTaskResponse> {
  const ids = { hostId, taskId: download.taskId, peerId: download.peerId };
  const stored = await orAborted(download.stored, signal);
  const { meta } = stored;
  const range = rangeWithin(wanted.range, meta.contentLength);
  const before = heldOf(stored);
  yield {
    ...ids,
    response: {
      $case: "downloadTaskStartedResponse",
      value: {
        contentLength: meta.contentLength,
        range,
        responseHeader: { ...meta.responseHeader },
        pieces: wanted.needPieceContent ? [] : before.map((piece) => wirePieceOf(piece)),
        isFinished: stored.state === "finished",
      },
    },
  };
  if (wanted.needPieceContent)
    yield* withContent(download, stored, range ?? { start: 0, length: meta.contentLength }, { ids, memory, signal });
  else {
    const told = new Set(before.map(({ index }) => index));
    for await (const piece of download.pieces(signal)) if (!told.has(piece.index)) yield finished(ids, wirePieceOf(piece));
  }
  await orAborted(download.done, signal);
}

interface Answering {
  readonly ids: { readonly hostId: string; readonly taskId: string; readonly peerId: string };
  readonly memory: MemoryBudget;
  readonly signal: AbortSignal;
}

/** One piece in memory at a time; the next is read when the caller took the last. */
async function* withContent(
  download: Download,
  stored: StoredTask,
  range: ByteRange,
  { ids, memory, signal }: Answering,
): AsyncGenerator<DownloadTaskResponse> {
  const { meta } = stored;
  const { first, count } = piecesOfRange(meta, range);
  using _memory = await memory.reserve(sendingBytesOf(Math.min(meta.pieceLength, range.length)), signal);
  for (let index = first; index < first + count; index++) {
    const whole = pieceRangeOf(meta, index);
    const start = Math.max(whole.start, range.start);
    const end = Math.min(whole.start + whole.length, range.start + range.length);
    await orAborted(stored.waitForPiece(index, signal), signal);
    const last = index === first + count - 1;
    // The last piece is held back until the whole is verified: a client that has all bytes must have the right ones.
    if (last) await orAborted(download.done, signal);
    const content = Buffer.allocUnsafe(end - start);
    await stored.read({ offsetBytes: start, into: content });
    const piece = stored.piece(index);
    if (piece !== undefined) yield finished(ids, { ...wirePieceOf(piece, { content }), offset: start, length: end - start });
  }
}

function heldOf(stored: StoredTask) {
  const held = [];
  for (let index = 0; index < stored.meta.pieceCount; index++) {
    const piece = stored.piece(index);
    if (piece !== undefined) held.push(piece);
  }
  return held;
}

const finished = (ids: Answering["ids"], piece: ReturnType<typeof wirePieceOf>): DownloadTaskResponse => ({
  ...ids,
  response: { $case: "downloadPieceFinishedResponse", value: { piece } },
});
