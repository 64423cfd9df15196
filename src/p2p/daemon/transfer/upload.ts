import type { Socket } from "node:net";
import type { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import type { Semaphore } from "../../../base/limits.ts";
import type { Log } from "../../../base/log.ts";
import type { NativeSocket } from "../../../disk/native-socket.ts";
import { sendFile, writeChunk, type Pace } from "../../../disk/send-file.ts";
import { VORTEX_ERRORS, encodeError, encodePieceContentHead, type PieceRequest, type VortexErrorCode } from "../../../wire/vortex/codec.ts";
import { parseTaskId } from "../../model/ids.ts";
import { formatPieceDigest } from "../../model/piece.ts";
import { trafficNumberOf } from "../../model/types.ts";
import type { PieceInfo, PieceStore, StoredTask } from "../../pieces/types.ts";
import type { RateLimits } from "../rates/types.ts";
import type { TransferConfig } from "./config.ts";
import type { TransferMetrics } from "./metrics.ts";

/** What all connections of a piece server share. */
export interface UploadContext {
  readonly store: Pick<PieceStore, "find">;
  readonly config: TransferConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: TransferMetrics;
  readonly slots: Semaphore;
  readonly buffers: BufferPool;
  readonly native: NativeSocket | undefined;
  readonly limits: RateLimits;
}

export interface Upload {
  readonly socket: Socket;
  /** Aborts when the connection is gone. */
  readonly signal: AbortSignal;
  /** Bytes are about to be written. */
  readonly onWriting: () => void;
  readonly onProgress: () => void;
  /** It is our turn to be slow: nothing will be written until `onWriting` is called again. */
  readonly onWaiting: () => void;
}

/** Answers one request, with the piece or an Error packet. Throws only when the connection is of no more use. */
export async function answer(context: UploadContext, request: PieceRequest, upload: Upload): Promise<void> {
  const task = request.kind === "standard" ? context.store.find(parseTaskId(request.taskId)) : undefined;
  if (task === undefined) return refuse(context, request, upload, "not-found");
  using _ = task.lease("upload"); // from here on its file stays
  using slot = await slotOf(context, upload.signal);
  if (slot === undefined) return await refuse(context, request, upload, "busy");
  const piece = task.piece(request.pieceNumber);
  if (piece === undefined) return await refuse(context, request, upload, "not-found");
  context.metrics.uploadsInFlight.inc();
  try {
    await send(context, { task, piece, request }, upload);
  } catch (thrown) {
    context.metrics.uploads.inc({ outcome: "failed" });
    throw thrown;
  } finally {
    context.metrics.uploadsInFlight.dec();
  }
}

const REFUSALS = {
  "not-found": [VORTEX_ERRORS.notFound, "the piece is not stored here"],
  busy: [VORTEX_ERRORS.internal, "too many uploads, try another peer"],
  failed: [VORTEX_ERRORS.internal, "the piece cannot be read"],
  invalid: [VORTEX_ERRORS.invalidArgument, "not a request for a piece"],
} as const satisfies Readonly<Record<string, readonly [VortexErrorCode, string]>>;

/** Sends an Error packet and waits until it has left, so that a flood of bad requests is as slow as its sender reads. */
export async function refuse(
  context: Pick<UploadContext, "metrics">,
  request: Pick<PieceRequest, "id">,
  upload: Upload,
  why: keyof typeof REFUSALS,
): Promise<void> {
  const [code, message] = REFUSALS[why];
  context.metrics.uploads.inc({ outcome: why });
  upload.onWriting();
  await writeChunk(upload.socket, encodeError({ id: request.id, code, message }));
}

/** A turn to send, or undefined when too many stand in line or the wait is too long. Throws when the connection ends meanwhile. */
async function slotOf(context: UploadContext, signal: AbortSignal): Promise<Disposable | undefined> {
  const now = context.slots.tryAcquire();
  if (now !== undefined) return now;
  using deadline = context.clock.deadline(context.config.uploadWaitMs, signal);
  try {
    return await context.slots.acquire(deadline.signal);
  } catch (thrown) {
    if (deadline.expired || (thrown instanceof AnaxError && thrown.code === "limit.exceeded")) return undefined;
    throw thrown;
  }
}

async function send(
  context: UploadContext,
  what: { readonly task: StoredTask; readonly piece: PieceInfo; readonly request: PieceRequest },
  upload: Upload,
): Promise<void> {
  const { task, piece, request } = what;
  const fd = descriptorOf(task);
  if (fd instanceof AnaxError) {
    context.log.warn("upload.failed", { taskId: task.meta.id, pieceIndex: piece.index, code: fd.code, reason: fd.message });
    return refuse(context, request, upload, "failed");
  }
  upload.onWriting();
  const head = writeChunk(upload.socket, headOf(request, piece));
  const { offsetBytes, lengthBytes } = piece;
  const pace = paceOf(context.limits, task, upload);
  const body = sendFile({ ...upload, fd, offsetBytes, lengthBytes, native: context.native, buffers: context.buffers, pace });
  const [written, sent] = await Promise.allSettled([head, body]);
  if (sent.status === "rejected") throw reported(context, task, piece, sent.reason);
  if (written.status === "rejected") throw written.reason;
  task.addUploadedBytes(lengthBytes);
  context.metrics.uploadedBytes.inc(lengthBytes);
  context.metrics.uploads.inc({ outcome: "sent" });
}

/** Turns of this upload among all others. While one waits, its peer is not to blame. */
function paceOf(limits: RateLimits, task: StoredTask, { signal, onWaiting, onWriting }: Upload): Pace {
  const { uploadClass } = limits;
  const { id } = task.meta;
  return {
    get turnBytes() {
      return limits.uploadTurnBytes;
    },
    tryTake: (bytes) => limits.tryUpload(id, uploadClass, bytes),
    async take(bytes) {
      onWaiting();
      await limits.upload(id, uploadClass, bytes, signal);
      onWriting();
    },
  };
}

/** A store may have to open the file again for this. */
function descriptorOf(task: StoredTask): number | AnaxError {
  try {
    return task.fd;
  } catch (thrown) {
    return errorOf(thrown);
  }
}

function headOf(request: PieceRequest, piece: PieceInfo): Uint8Array {
  return encodePieceContentHead({
    kind: request.kind,
    id: request.id,
    number: piece.index,
    offset: piece.offsetBytes,
    length: piece.lengthBytes,
    digest: formatPieceDigest(piece.crc32),
    parentId: piece.parentId,
    trafficType: trafficNumberOf(piece.traffic),
    costSeconds: 0,
    createdAtSeconds: Math.floor(piece.createdAtMs / 1000),
  });
}

/** A peer that leaves is its own business; our disk's failure is a line in the log. */
function reported(context: UploadContext, task: StoredTask, piece: PieceInfo, thrown: unknown): unknown {
  const error = errorOf(thrown);
  const fields = { taskId: task.meta.id, pieceIndex: piece.index, code: error.code, reason: error.message };
  if (error.code.startsWith("disk.")) context.log.warn("upload.failed", fields);
  else context.log.debug("upload.broken-off", fields);
  return thrown;
}
