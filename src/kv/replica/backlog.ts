/** The last bytes of the history, so that a replica whose link broke can go on where it was. */
export class Backlog {
  #bytes: Buffer;
  /** Where the next byte goes. */
  #at = 0;
  #length = 0;
  /** Offset of the history after the last byte here. */
  #end: number;

  constructor(size: number, end: number) {
    this.#bytes = Buffer.allocUnsafeSlow(size);
    this.#end = end;
  }

  get size(): number {
    return this.#bytes.length;
  }

  get length(): number {
    return this.#length;
  }

  /** Offset before the first byte that is here. */
  get start(): number {
    return this.#end - this.#length;
  }

  append(bytes: Buffer): void {
    const { length: size } = this.#bytes;
    this.#end += bytes.length;
    const kept = bytes.length > size ? bytes.subarray(bytes.length - size) : bytes;
    const first = Math.min(kept.length, size - this.#at);
    kept.copy(this.#bytes, this.#at, 0, first);
    kept.copy(this.#bytes, 0, first);
    this.#at = (this.#at + kept.length) % size;
    this.#length = Math.min(size, this.#length + kept.length);
  }

  /** A copy of what follows that offset; undefined where that is not here. */
  from(offset: number): Buffer | undefined {
    const count = this.#end - offset;
    if (count < 0 || count > this.#length) return undefined;
    const { length: size } = this.#bytes;
    const from = (this.#at - count + size) % size;
    if (from + count <= size) return Buffer.from(this.#bytes.subarray(from, from + count));
    return Buffer.concat([this.#bytes.subarray(from), this.#bytes.subarray(0, from + count - size)]);
  }

  /** Another size, with as much of the last bytes as it holds. */
  resized(size: number): Backlog {
    const other = new Backlog(size, this.start + Math.max(0, this.#length - size));
    other.append(this.from(other.#end)!);
    return other;
  }
}
