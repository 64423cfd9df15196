import type { Blob } from "../meta/extents.ts";
import { DirtyRanges } from "./dirty-ranges.ts";
import type { SlotBuffers } from "./slot-buffers.ts";

/** Content in a blob that the metadata do not refer to yet. */
export interface StoredPart {
  readonly position: number;
  readonly length: number;
  readonly blob: Blob;
  readonly blobOffset: number;
}

/** What was written to one file and is not committed. */
export class DirtyFile {
  readonly ino: number;
  readonly ranges: DirtyRanges;
  readonly stored: StoredPart[] = [];
  /** The file ends here at least. */
  size = 0;
  mtimeMs = 0;
  /** Monotonic time of the oldest write that is not committed. */
  readonly sinceMs: number;

  constructor(ino: number, sinceMs: number, buffers: SlotBuffers) {
    this.ino = ino;
    this.ranges = new DirtyRanges(buffers);
    this.sinceMs = sinceMs;
  }

  get storedBytes(): number {
    return this.stored.reduce((sum, { length }) => sum + length, 0);
  }

  /** Bytes that would be lost now. */
  get bytes(): number {
    return this.storedBytes + this.ranges.list().reduce((sum, { data }) => sum + data.length, 0);
  }

  overlapsStored(from: number, to: number): boolean {
    return this.stored.some(({ position, length }) => position < to && from < position + length);
  }
}
