import { AnaxError } from "../../base/errors.ts";
import { PIECE_COUNT_MAX } from "../model/piece.ts";

/**
 * Which pieces a peer holds, as far as we were told. Unlike a `Bitmap` it grows, since pieces are reported before
 * the length of the content is known. Piece i is bit i % 8 (from the low end) of byte i >> 3.
 */
export class PieceSet {
  #bytes: Uint8Array = EMPTY;
  #count = 0;

  /** How many pieces are in it. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  /** False when it was there already. Throws `input.invalid` for what no task has. */
  add(index: number): boolean {
    if (!Number.isInteger(index) || index < 0 || index >= PIECE_COUNT_MAX) {
      throw new AnaxError("input.invalid", { reason: "no such piece", pieceIndex: index });
    }
    if (this.has(index)) return false;
    this.#grow((index >> 3) + 1);
    this.#bytes[index >> 3]! |= 1 << (index & 7); // grown to hold it
    this.#count++;
    return true;
  }

  /** All of the first `count` pieces. */
  fill(count: number): void {
    const bytes = new Uint8Array((count + 7) >> 3).fill(0xff);
    if (count % 8 !== 0) bytes[bytes.length - 1] = (1 << (count % 8)) - 1;
    this.merge(bytes);
  }

  /** Adds the pieces of a bitmap from the wire. Throws `input.invalid` when it is longer than any task's. */
  merge(bytes: Uint8Array): void {
    if (bytes.length > PIECE_COUNT_MAX / 8)
      throw new AnaxError("input.invalid", { reason: "a bitmap longer than any task", bytes: bytes.length });
    this.#grow(bytes.length);
    for (let at = 0; at < bytes.length; at++) {
      const before = this.#bytes[at]!; // grown to this length
      const after = before | bytes[at]!; // within the loop's bound
      if (after === before) continue;
      this.#count += BITS[after]! - BITS[before]!; // a byte indexes a table of 256
      this.#bytes[at] = after;
    }
  }

  mergeSet(other: PieceSet): void {
    this.merge(other.#bytes);
  }

  /** How many of the other's pieces are missing here. */
  missingFrom(other: PieceSet): number {
    let count = 0;
    for (let at = 0; at < other.#bytes.length; at++) count += BITS[other.#bytes[at]! & ~(this.#bytes[at] ?? 0) & 0xff]!; // within bounds
    return count;
  }

  /** As on the wire, for a task of `count` pieces. */
  toBytes(count: number): Uint8Array {
    const bytes = new Uint8Array((count + 7) >> 3);
    bytes.set(this.#bytes.subarray(0, bytes.length));
    return bytes;
  }

  #grow(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(length, Math.min(this.#bytes.length * 2, PIECE_COUNT_MAX / 8)));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}

const EMPTY = new Uint8Array(0);

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++;
  return count;
});
