import { latin1Of, writeLatin1 } from "../../base/latin1.ts";

/** What would take more stays as it is: there is little to gain. */
const PACKED_BYTES_MAX = 64 * 1024;
/** Of an element as it is sent: `$` and two line ends. */
const FRAME_BYTES = 5;
const CR = 13;
const ZERO = 48;

/**
 * Some elements of a list: as texts, or packed, each as it is sent in a reply: `$5\r\nhello\r\n`. Packed they take a fraction of the memory, the garbage
 * collector passes them by, and whoever reads them all copies a single range of bytes.
 */
export class Chunk {
  before: Chunk | undefined;
  after: Chunk | undefined;
  #items: string[] | undefined;
  #packed: Buffer | undefined;
  #packedCount = 0;

  constructor(items: string[]) {
    this.#items = items;
  }

  get size(): number {
    return this.#items === undefined ? this.#packedCount : this.#items.length;
  }

  /** As they are sent, if they are packed. */
  get packed(): Buffer | undefined {
    return this.#packed;
  }

  /** To be changed. */
  unpack(): string[] {
    this.#items ??= textsOf(this.#packed!); // one of both is there
    this.#packed = undefined;
    return this.#items;
  }

  /** To be read: leaves them as they are. */
  texts(): readonly string[] {
    return this.#items ?? textsOf(this.#packed!); // one of both is there
  }

  at(index: number): string {
    const packed = this.#packed;
    if (packed === undefined) return this.#items![index]!; // one of both is there, and the caller knows the size
    const at = this.offsetOf(index);
    const from = contentAt(packed, at);
    return latin1Of(packed, from, from + lengthAt(packed, at));
  }

  /** Where an element begins among the packed bytes, or where the last one ends. */
  offsetOf(index: number): number {
    const packed = this.#packed!; // the caller has asked
    let at = 0;
    for (let i = 0; i < index; i++) at = contentAt(packed, at) + lengthAt(packed, at) + 2;
    return at;
  }

  /** False where it was packed, or has to stay as it is. */
  pack(): boolean {
    const items = this.#items;
    if (items === undefined) return false;
    let size = 0;
    for (const item of items) size += FRAME_BYTES + String(item.length).length + item.length;
    if (size > PACKED_BYTES_MAX) return false;
    const packed = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const item of items) at += writeLatin1(packed, `$${item.length}\r\n${item}\r\n`, at);
    this.#packed = packed;
    this.#packedCount = items.length;
    this.#items = undefined;
    return true;
  }

  copy(): Chunk {
    const copy = new Chunk([]);
    copy.#items = this.#items && [...this.#items];
    copy.#packed = this.#packed;
    copy.#packedCount = this.#packedCount;
    return copy;
  }
}

function textsOf(packed: Buffer): string[] {
  const texts: string[] = [];
  for (let at = 0; at < packed.length;) {
    const from = contentAt(packed, at);
    const to = from + lengthAt(packed, at);
    texts.push(latin1Of(packed, from, to));
    at = to + 2;
  }
  return texts;
}

/** Length of the element whose frame begins there. */
function lengthAt(packed: Buffer, at: number): number {
  let length = 0;
  for (let i = at + 1; packed[i] !== CR; i++) length = length * 10 + packed[i]! - ZERO;
  return length;
}

/** Where its content begins. */
function contentAt(packed: Buffer, at: number): number {
  let i = at + 1;
  while (packed[i] !== CR) i++;
  return i + 2;
}
