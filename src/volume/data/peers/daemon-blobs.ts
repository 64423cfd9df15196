import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { Download, TrafficType, type Piece } from "../../../wire/grpc/gen/common/v2/common.ts";
import { DfdaemonDownloadService } from "../../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { SocketChannel } from "../../../wire/grpc/socket-channel.ts";
import { durationOf } from "../../../wire/grpc/time.ts";
import { BLOB_BYTES_MAX, type Blob } from "../../meta/extents.ts";
import { isGood } from "../s3/s3-blobs.ts";

/** Of an address of a blob at the store, which peers that read it there for all get to know. */
const ADDRESS_VALID_MS = 15 * 60_000;
/** Of all of a call: whoever waits has long asked the store. */
const CALL_MS = 60_000;
/** A piece of a blob, and what is told of it. */
const ANSWER_BYTES_MAX = BLOB_BYTES_MAX + 1024 * 1024;

export interface DaemonBlobsOptions {
  readonly socketPath: string;
  readonly clock: Clock;
  /** An address by which peers may read this blob, and nothing else. */
  readonly urlOf: (blob: Blob, validMs: number) => Promise<string>;
}

export interface FromDaemon {
  readonly content: Buffer;
  /** How much of it the daemon has read from the store, for all peers. */
  readonly storeBytes: number;
}

/** Blobs as the daemon of this machine has them or gets them: from peers, or from the store where none has them. They are tasks named by their digest, so that all who read a blob share one. */
export class DaemonBlobs implements Disposable {
  readonly #options: DaemonBlobsOptions;
  readonly #channel: SocketChannel;

  constructor(options: DaemonBlobsOptions) {
    this.#options = options;
    this.#channel = new SocketChannel(options.socketPath, { clock: options.clock, receiveBytesMax: ANSWER_BYTES_MAX });
  }

  /** All of it, compared with its digest. `onBegun`: somebody has it, or is reading it. Throws what the daemon answers, `rpc.*`, `disk.corrupt`, the signal's reason. */
  async content(blob: Blob, signal: AbortSignal, onBegun: () => void): Promise<FromDaemon> {
    const download = Download.fromPartial({
      url: await this.#options.urlOf(blob, ADDRESS_VALID_MS),
      digest: `sha256:${blob.sha256}`,
      contentForCalculatingTaskId: taskTextOf(blob),
      application: "anax-volume",
      timeout: durationOf(CALL_MS),
      needPieceContent: true,
    });
    const content = Buffer.allocUnsafe(blob.bytes);
    let [length, storeBytes] = [0, 0];
    const call = this.#channel.serverStream(DfdaemonDownloadService.downloadTask, { download }, { signal, timeoutMs: CALL_MS });
    for await (const { response } of call) {
      if (response?.$case === "downloadTaskStartedResponse") onBegun();
      const piece = response?.$case === "downloadPieceFinishedResponse" ? response.value.piece : undefined;
      if (piece?.content === undefined) continue;
      place(blob, content, piece);
      length += piece.content.length;
      if (piece.trafficType === TrafficType.BACK_TO_SOURCE) storeBytes += piece.content.length;
    }
    signal.throwIfAborted();
    if (length === blob.bytes && isGood(blob, content)) return { content, storeBytes };
    throw new AnaxError("disk.corrupt", { blob: blob.id, reason: "what the daemon gave does not match the digest" });
  }

  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
  }
}

/** The same for every volume and store: a blob is what its digest says. */
export const taskTextOf = ({ sha256, bytes }: Blob): string => `anax.volume.blob:sha256:${sha256}:${bytes}`;

function place(blob: Blob, content: Buffer, { offset, content: part }: Piece): void {
  if (part === undefined || offset + part.length > content.length)
    throw new AnaxError("disk.corrupt", { blob: blob.id, reason: "the daemon gave more than the blob has" });
  content.set(part, offset);
}
