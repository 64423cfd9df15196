import { crc32 } from "node:zlib";
import { open } from "node:fs/promises";
import { AnaxError } from "../../base/errors.ts";
import type { Piece } from "../../wire/grpc/gen/common/v2/common.ts";
import type { DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";

/**
 * Whether a file that was not there before is the output, put there by a daemon that died before it could say so: told from a stranger's by the
 * checksums of the content's pieces, which the next daemon names.
 */
export class Delivered {
  readonly #output: string;
  readonly #pieces = new Map<number, Pick<Piece, "offset" | "length" | "digest">>();
  #contentLength = 0;

  constructor(output: string) {
    this.#output = output;
  }

  hear({ response }: DownloadTaskResponse): void {
    const pieces = response?.$case === "downloadTaskStartedResponse" ? response.value.pieces : [response?.value.piece];
    if (response?.$case === "downloadTaskStartedResponse") this.#contentLength = response.value.contentLength;
    for (const piece of pieces) if (piece !== undefined) this.#pieces.set(piece.number, piece);
  }

  /** Once all pieces are told of. Throws `output.exists` when it is something else, and the system's error when it cannot be read. */
  async check(): Promise<void> {
    await using file = await open(this.#output);
    let isSame = (await file.stat()).size === this.#contentLength;
    for (const { offset, length, digest } of this.#pieces.values()) {
      if (!isSame) break;
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
      isSame = bytesRead === length && digest === `crc32:${crc32(buffer)}`;
    }
    if (!isSame) throw new AnaxError("output.exists", { output: this.#output, hint: "--overwrite replaces it" });
  }
}
