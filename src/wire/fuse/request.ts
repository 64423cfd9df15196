import { latin1Of } from "../../base/latin1.ts";
import { ERRNO, type ErrnoName } from "./errno.ts";

export const IN_HEADER_BYTES = 40;

/** An answer that is an error, thrown by whoever serves a request. */
export class FuseError extends Error {
  override name = "FuseError";
  readonly errno: number;

  constructor(name: ErrnoName, options?: ErrorOptions) {
    super(name, options);
    this.errno = ERRNO[name];
  }
}

/** Longest name of a directory entry, in bytes. */
export const NAME_BYTES_MAX = 255;

/**
 * One request as it was read from the device (`struct fuse_in_header`, then what its kind says). One object serves all requests that come into a
 * buffer. Positions count from the end of the header. Whatever lies outside of the request throws FuseError EINVAL.
 */
export class FuseRequest {
  readonly bytes: Buffer;
  readonly #view: DataView;
  /** Bytes of it, with its header. */
  length = 0;
  opcode = 0;
  /** The kernel's name for it; counts up from small numbers, so it is exact. */
  unique = 0;
  nodeId = 0;
  uid = 0;
  gid = 0;
  pid = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Takes over the request that has come in as so many bytes. False where that is none. */
  take(received: number): boolean {
    const view = this.#view;
    if (received < IN_HEADER_BYTES || received > this.bytes.length || view.getUint32(0, true) !== received) return false;
    this.length = received;
    this.opcode = view.getUint32(4, true);
    this.unique = view.getUint32(12, true) * 2 ** 32 + view.getUint32(8, true);
    this.nodeId = view.getUint32(20, true) * 2 ** 32 + view.getUint32(16, true);
    this.uid = view.getUint32(24, true);
    this.gid = view.getUint32(28, true);
    this.pid = view.getUint32(32, true);
    return Number.isSafeInteger(this.unique);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#within(at, 4), true);
  }

  /** Exact up to 2^53; offsets beyond are out of every file's range all the same. */
  u64(at: number): number {
    const start = this.#within(at, 8);
    return this.#view.getUint32(start + 4, true) * 2 ** 32 + this.#view.getUint32(start, true);
  }

  exact64(at: number): bigint {
    return this.#view.getBigUint64(this.#within(at, 8), true);
  }

  /** Signed, for times. */
  i64(at: number): number {
    const start = this.#within(at, 8);
    return this.#view.getInt32(start + 4, true) * 2 ** 32 + this.#view.getUint32(start, true);
  }

  /** Bytes that stay valid until the next request is taken. */
  data(at: number, length: number): Buffer {
    const start = this.#within(at, length);
    return this.bytes.subarray(start, start + length);
  }

  /** Where the text from `at` on ends: at its zero byte. */
  textEnd(at: number): number {
    const end = this.bytes.indexOf(0, this.#within(at, 1));
    if (end < 0 || end >= this.length) throw new FuseError("EINVAL");
    return end - IN_HEADER_BYTES;
  }

  /** Text that ends with a zero byte, which lies within the request. One character for each byte. */
  text(at: number): string {
    return latin1Of(this.bytes, at + IN_HEADER_BYTES, this.textEnd(at) + IN_HEADER_BYTES);
  }

  /** A name of a directory entry. Throws ENAMETOOLONG. */
  entryName(at: number): string {
    const end = this.textEnd(at);
    if (end - at > NAME_BYTES_MAX) throw new FuseError("ENAMETOOLONG");
    return latin1Of(this.bytes, at + IN_HEADER_BYTES, end + IN_HEADER_BYTES);
  }

  /** The position in the buffer, when so many bytes from there are within the request. */
  #within(at: number, length: number): number {
    const start = at + IN_HEADER_BYTES;
    if (at < 0 || length < 0 || start + length > this.length) throw new FuseError("EINVAL");
    return start;
  }
}
