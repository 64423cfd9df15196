/** Content is placed in chunks: no extent crosses a border, so that engines may keep a record for each chunk of a file. */
export const CHUNK_BYTES = 64 * 1024 * 1024;
/** Largest blob. */
export const BLOB_BYTES_MAX = 4 * 1024 * 1024;
/** A file up to this size may lie in the metadata themselves. */
export const INLINE_BYTES_MAX = 4096;
/** Largest size of a file: positions stay exact numbers, and 512-byte blocks count below 2^53. */
export const FILE_BYTES_MAX = 2 ** 52;

/** An immutable object with content, written once and never again under this id. */
export interface Blob {
  readonly id: number;
  /** In hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

export type NewBlob = Omit<Blob, "id">;

/** `length` bytes of the file from `position` on are those of `blob` from `blobOffset` on. */
export interface Extent {
  readonly position: number;
  readonly length: number;
  readonly blob: Blob;
  readonly blobOffset: number;
}

/** An extent as `commit` takes it: its blob was entered by `reserveBlobs`. */
export interface WrittenExtent {
  readonly position: number;
  readonly length: number;
  readonly blobId: number;
  readonly blobOffset: number;
}

/** Content of a part of a file; what neither `inline` nor an extent covers, up to `size`, is zeros. */
export interface FileMap {
  /** Of the whole file. */
  readonly size: number;
  /** All of the file's content, when it lies in the metadata (may be shorter than `size`). */
  readonly inline: Uint8Array | undefined;
  /** Those that touch the part asked for, whole, in order, without overlap. */
  readonly extents: readonly Extent[];
}
