import { crc32 } from "node:zlib";
import { AnaxError } from "../../base/errors.ts";
import { closeDescriptor, openDescriptor, writeFully } from "../../disk/descriptor.ts";
import type { DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { hasherOf } from "../model/hasher.ts";
import { parseDigest, pieceLengthOf } from "../model/piece.ts";
import type { ByteRange } from "../model/types.ts";
import type { Sources } from "../source/types.ts";
import { rangeWithin, wirePieceOf } from "./api.ts";
import { linkedSignal } from "./linked-signal.ts";
import { PartFile } from "./export-output.ts";
import { rateClassOf, type RateLimits } from "./rates/types.ts";
import { sourceRequestOf } from "./source-read.ts";
import { mustMatch } from "./task-digest.ts";
import type { Download, DownloadRequest } from "./types.ts";

export interface PassThrough {
  readonly request: DownloadRequest;
  readonly path: string;
  readonly overwrite: boolean;
  readonly range: { readonly start: number; readonly length: number } | undefined;
}

/**
 * Brings content that cannot be kept here straight from its source to the output, with the answers that a download gives: a machine whose store is
 * full of what is in use still gets what it asks for. Nothing is shared with peers. Throws the source's errors, `task.digest-mismatch`,
 * `output.unwritable`, and `disk.full` also where the source does not say how long the content is.
 */
export async function* passThrough(
  { taskId, peerId }: Pick<Download, "taskId" | "peerId">,
  { request, path, overwrite, range: wanted }: PassThrough,
  parts: { readonly sources: Sources; readonly limits: RateLimits; readonly hostId: string; readonly signal: AbortSignal },
): AsyncGenerator<DownloadTaskResponse> {
  const { sources, limits, hostId } = parts;
  const ids = { hostId, taskId, peerId };
  using scope = linkedSignal(parts.signal);
  using _source = { [Symbol.dispose]: () => scope.abort(NOT_NEEDED) }; // frees the connection of a body left unread
  const { signal } = scope;
  const source = sourceRequestOf(request, signal);
  const range = wanted === undefined ? undefined : rangeWithin(wanted, lengthOf((await sources.stat(source)).contentLength, request));
  const body = await sources.read({ ...source, range });
  const { responseHeader } = body;
  const contentLength = lengthOf(range === undefined ? body.contentLength : body.totalLength, request);
  yield {
    ...ids,
    response: {
      $case: "downloadTaskStartedResponse",
      value: { contentLength, range, responseHeader: { ...responseHeader }, pieces: [], isFinished: false },
    },
  };
  const expected = range === undefined && request.digest !== undefined ? parseDigest(request.digest) : undefined;
  const hasher = expected && hasherOf(expected.algorithm);
  const pieces = new Pieces(range ?? { start: 0, length: contentLength }, pieceLengthOf(contentLength));
  await using part = new PartFile({ path, overwrite });
  const fd = await openDescriptor(part.path, "wx", 0o666);
  try {
    let at = 0;
    for await (const chunk of body.chunks) {
      await limits.source(taskId, rateClassOf(request.priority), chunk.length, signal);
      await writeFully(fd, chunk, at);
      at += chunk.length;
      hasher?.update(chunk);
      for (const piece of pieces.of(chunk)) yield { ...ids, response: { $case: "downloadPieceFinishedResponse", value: { piece } } };
    }
  } finally {
    await closeDescriptor(fd);
  }
  if (expected !== undefined && hasher !== undefined) mustMatch(taskId, expected, hasher.value());
  await part.put(signal);
}

function lengthOf(contentLength: number | undefined, { url }: DownloadRequest): number {
  if (contentLength === undefined) throw new AnaxError("disk.full", { url, reason: "its length is not known, so it has to be kept first" });
  return contentLength;
}

const NOT_NEEDED = new AnaxError("download.cancelled", { reason: "the body is not needed any more" });

/** The pieces that pass by, as progress. */
class Pieces {
  readonly #pieceLength: number;
  readonly #end: number;
  #at: number;
  #length = 0;
  #crc32 = 0;

  constructor({ start, length }: ByteRange, pieceLength: number) {
    this.#at = start;
    this.#end = start + length;
    this.#pieceLength = pieceLength;
  }

  /** Those that end within the next bytes. */
  *of(chunk: Uint8Array) {
    for (let from = 0; from < chunk.length;) {
      const position = this.#at + this.#length;
      const end = Math.min(this.#end, (Math.floor(position / this.#pieceLength) + 1) * this.#pieceLength);
      const bytes = chunk.subarray(from, from + end - position);
      if (bytes.length === 0) return; // more than was announced
      from += bytes.length;
      this.#crc32 = crc32(bytes, this.#crc32);
      this.#length += bytes.length;
      if (position + bytes.length < end) continue;
      yield wirePieceOf({
        index: Math.floor(this.#at / this.#pieceLength),
        offsetBytes: this.#at,
        lengthBytes: this.#length,
        crc32: this.#crc32,
        traffic: "back-to-source",
        parentId: "",
      });
      this.#at = end;
      this.#length = this.#crc32 = 0;
    }
  }
}
