import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { SyncPiecesRequest, SyncPiecesResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { parseTaskId, type TaskId } from "../model/ids.ts";
import { pieceRangeOf, PIECE_COUNT_MAX } from "../model/piece.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import type { RunningDownloads } from "./downloads.ts";
import { orAborted } from "./linked-signal.ts";

export interface SyncPiecesParts {
  readonly store: Pick<PieceStore, "find">;
  readonly downloads: Pick<RunningDownloads, "storedOf" | "piecesOf" | "onStart">;
  readonly clock: Clock;
  readonly waitMs: number;
  /** Where pieces are served. */
  readonly place: () => { readonly ip: string; readonly port: number };
}

/**
 * Tells a child each piece that it is interested in: those that are here, then each further one as it lands. Ends when all of them
 * were told, or when no further one will come.
 */
export async function* syncPieces(
  request: SyncPiecesRequest,
  parts: SyncPiecesParts,
  signal: AbortSignal,
): AsyncGenerator<SyncPiecesResponse> {
  const taskId = parseTaskId(request.taskId);
  if (request.interestedPieceNumbers.length > PIECE_COUNT_MAX) throw new AnaxError("input.invalid", { reason: "too many pieces" });
  const stored = await begunTask(taskId, parts, signal);
  const interested = interestedOf(request, stored);
  const landing = parts.downloads.piecesOf(taskId, signal); // before anything is looked at, so that no piece falls between
  for (const index of interested) {
    if (!stored.finished.has(index)) continue;
    interested.delete(index); // a Set may lose what its iterator has passed
    yield responseOf(stored, index, parts.place());
  }
  if (interested.size === 0 || landing === undefined) return;
  for await (const { index } of landing) {
    if (interested.delete(index)) yield responseOf(stored, index, parts.place());
    if (interested.size === 0) return;
  }
}

function responseOf(stored: StoredTask, index: number, { ip, port }: { readonly ip: string; readonly port: number }): SyncPiecesResponse {
  const { start, length } = pieceRangeOf(stored.meta, index);
  return { number: index, offset: start, length, ip, tcpPort: port };
}

/** Nothing named means everything. */
function interestedOf({ interestedPieceNumbers }: SyncPiecesRequest, stored: StoredTask): Set<number> {
  const { pieceCount } = stored.meta;
  if (interestedPieceNumbers.length === 0) return new Set(Array.from({ length: pieceCount }, (_, index) => index));
  for (const index of interestedPieceNumbers)
    if (index >= pieceCount) throw new AnaxError("input.invalid", { reason: "no such piece", piece: index, pieceCount });
  return new Set(interestedPieceNumbers);
}

/** The task here; a child that was sent here may come before our own order to fetch it. Throws `task.not-found`. */
async function begunTask(taskId: TaskId, parts: SyncPiecesParts, signal: AbortSignal): Promise<StoredTask> {
  const { store, downloads, clock, waitMs } = parts;
  const known = store.find(taskId);
  if (known !== undefined) return known;
  const { promise, resolve } = Promise.withResolvers<Promise<StoredTask> | undefined>();
  using listening = downloads.onStart((task) => void (task === taskId && resolve(downloads.storedOf(task))));
  void listening;
  using patience = clock.timer(waitMs, () => resolve(undefined));
  void patience;
  const begun = downloads.storedOf(taskId) ?? (await orAborted(promise, signal));
  if (begun === undefined) throw new AnaxError("task.not-found", { task: taskId });
  return await orAborted(Promise.resolve(begun), signal);
}
