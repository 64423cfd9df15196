import type { Extent, WrittenExtent } from "../extents.ts";
import { BLOB_LIVE, BLOB_PENDING, type Tables } from "./tables.ts";

/** Which blobs hold the content of which file: extents without overlap, and how many of them refer to each blob. */
export class Extents {
  readonly #tables: Pick<Tables, "extents" | "blobs">;

  constructor(tables: Pick<Tables, "extents" | "blobs">) {
    this.#tables = tables;
  }

  /** Those that touch `[from, to)`, with their blobs. */
  read(ino: number, from: number, to: number): readonly Extent[] {
    return this.#tables.extents.withBlobs(ino, from, to);
  }

  /** Bytes of `[from, to)` that are no hole. */
  covered(ino: number, from: number, to: number): number {
    let bytes = 0;
    for (const row of this.#tables.extents.touching(ino, from, to))
      bytes += Math.min(to, row.position + row.length) - Math.max(from, row.position);
    return bytes;
  }

  /** Makes `[from, to)` a hole; how many bytes are free now. */
  clear(ino: number, from: number, to: number, nowMs: number): number {
    let freed = 0;
    for (const row of this.#tables.extents.touching(ino, from, to)) {
      const end = row.position + row.length;
      const left = from - row.position;
      const right = end - to;
      this.#tables.extents.remove(ino, row.position);
      if (left > 0) this.#tables.extents.add(ino, { ...row, length: left });
      if (right > 0)
        this.#tables.extents.add(ino, { position: to, length: right, blob: row.blob, blobOffset: row.blobOffset + row.length - right });
      const references = (left > 0 ? 1 : 0) + (right > 0 ? 1 : 0) - 1;
      if (references !== 0) this.#tables.blobs.refer(row.blob, references, nowMs);
      freed += row.length - Math.max(0, left) - Math.max(0, right);
    }
    return freed;
  }

  /** Whether the ledger has the blob, as one that is not about to be deleted. */
  mayRefer(blobId: number): boolean {
    const state = this.#tables.blobs.state(blobId);
    return state === BLOB_PENDING || state === BLOB_LIVE;
  }

  /** Where nothing is any more. */
  add(ino: number, { position, length, blobId, blobOffset }: WrittenExtent, nowMs: number): void {
    this.#tables.blobs.refer(blobId, 1, nowMs);
    this.#tables.extents.add(ino, { position, length, blob: blobId, blobOffset });
  }

  /** Removes at most `countMax` rows of a file; the bytes that are free now, and whether all are gone. */
  removeSome(ino: number, countMax: number, nowMs: number): { readonly freed: number; readonly all: boolean } {
    const rows = this.#tables.extents.first(ino, countMax);
    let freed = 0;
    for (const row of rows) {
      this.#tables.extents.remove(ino, row.position);
      this.#tables.blobs.refer(row.blob, -1, nowMs);
      freed += row.length;
    }
    return { freed, all: rows.length < countMax };
  }
}
