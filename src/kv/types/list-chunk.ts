import { latin1Of, writeLatin1 } from "../../base/latin1.ts";
import { BLOCK_BYTES, giveBlock, letGo, takeBlock, uncountedMemory } from "../keyspace/uncounted-memory.ts";
import { copyInto } from "../../wire/resp/reply-writer.ts";

/** What would take more stays as it is: there is little to gain. */
const PACKED_BYTES_MAX = BLOCK_BYTES;
/** Short elements are pushed to a packed chunk up to here, however many they are: each chunk costs a buffer. */
const FULL_BYTES = 4 * 1024;
/** Elements of one that is not packed: so few that moving them costs less than looking for them. */
export const CHUNK_MAX = 128;
/** Of an element as it is sent: `$` and two line ends. */
const FRAME_BYTES = 5;
/** Of one that elements are pushed to, at least. */
const OPEN_BYTES_MIN = 256;
const CR = 13;
const LF = 10;
const DOLLAR = 36;
const ZERO = 48;

/**
 * Some elements of a list: as texts, or packed, each as it is sent in a reply: `$5\r\nhello\r\n`. Packed they take a fraction of the memory, the garbage
 * collector passes them by, and whoever reads them all copies a single range of bytes.
 */
export class Chunk {
  before: Chunk | undefined;
  after: Chunk | undefined;
  #items: string[] | undefined;
  /** Packed elements, with room before and after them. */
  #packed: Buffer | undefined;
  #from = 0;
  #to = 0;
  #packedCount = 0;
  /** Another chunk's elements lie in the same memory. */
  #shared = false;

  constructor(items: string[]) {
    this.#items = items;
  }

  get size(): number {
    return this.#items === undefined ? this.#packedCount : this.#items.length;
  }

  /** Whether an element of that length is to be pushed to another chunk. */
  isFullFor(length: number): boolean {
    if (this.#packed === undefined) return this.size >= CHUNK_MAX;
    const bytes = this.#to - this.#from;
    return (bytes >= FULL_BYTES && this.#packedCount >= CHUNK_MAX) || bytes + frameBytesOf(length) > PACKED_BYTES_MAX;
  }

  /** As they are sent, if they are packed. */
  get packed(): Buffer | undefined {
    return this.#packed?.subarray(this.#from, this.#to);
  }

  /** Empty and packed, so that what is pushed at its end is packed at once, with as much room as the one that it comes after has used. */
  static open(end: "left" | "right", full: Chunk): Chunk {
    const chunk = new Chunk([]);
    chunk.#items = undefined;
    chunk.#packed = memoryOf(Math.max(OPEN_BYTES_MIN, full.#to - full.#from));
    chunk.#from = chunk.#to = end === "left" ? chunk.#packed.length : 0;
    return chunk;
  }

  /** Puts an element at an end without making text of it; false where they are not packed, or would become too many bytes. */
  pushPacked(end: "left" | "right", bytes: Buffer, from: number, length: number): boolean {
    if (this.#packed === undefined) return false;
    const frame = frameBytesOf(length);
    if (this.#to - this.#from + frame > PACKED_BYTES_MAX) return false;
    if (end === "left" ? this.#from < frame : this.#packed.length - this.#to < frame) this.#grow(end, frame);
    if (end === "left") this.#from -= frame;
    writeFrame(this.#packed, end === "left" ? this.#from : this.#to, bytes, from, length);
    if (end === "right") this.#to += frame;
    this.#packedCount++;
    return true;
  }

  /** Makes room at an end. */
  #grow(end: "left" | "right", frame: number): void {
    const size = this.#to - this.#from;
    const grown = memoryOf(Math.max(size + frame, Math.min(2 * (size + frame), PACKED_BYTES_MAX)));
    const at = end === "left" ? grown.length - size : 0;
    this.#packed!.copy(grown, at, this.#from, this.#to); // the caller has looked
    this.#drop();
    this.#packed = grown;
    this.#from = at;
    this.#to = at + size;
  }

  /** Gives up the room around what is packed, as nothing will be pushed for a while. An eighth may stay. */
  trim(): void {
    const { packed } = this;
    if (packed === undefined || packed.length * 9 >= this.#packed!.length * 8) return;
    const trimmed = memoryOf(packed.length);
    packed.copy(trimmed);
    this.#drop();
    this.#packed = trimmed;
    this.#from = 0;
    this.#to = packed.length;
  }

  /** To be changed. */
  unpack(): string[] {
    if (this.#packed === undefined) return this.#items!; // one of both is there
    this.#items = textsOf(this.packed!);
    this.#drop();
    return this.#items;
  }

  /** The memory of what is packed is not needed any more; how many bytes it were. */
  #drop(): number {
    const bytes = this.#packed?.length ?? 0;
    if (bytes === BLOCK_BYTES && !this.#shared) giveBlock(this.#packed!);
    else letGo(bytes);
    this.#packed = undefined;
    this.#shared = false;
    return bytes;
  }

  /** It is not used any more. */
  release(): number {
    this.#items ??= [];
    return this.#drop();
  }

  /** To be read: leaves them as they are. */
  texts(): readonly string[] {
    return this.#items ?? textsOf(this.packed!); // one of both is there
  }

  at(index: number): string {
    const { packed } = this;
    if (packed === undefined) return this.#items![index]!; // one of both is there, and the caller knows the size
    const at = this.offsetOf(index);
    const from = contentAt(packed, at);
    return latin1Of(packed, from, from + lengthAt(packed, at));
  }

  /** Where an element begins among the packed bytes, or where the last one ends. */
  offsetOf(index: number): number {
    const packed = this.packed!; // the caller has asked
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
    const packed = memoryOf(size);
    let at = 0;
    for (const item of items) at += writeLatin1(packed, `$${item.length}\r\n${item}\r\n`, at);
    this.#packed = packed;
    this.#from = 0;
    this.#to = size;
    this.#packedCount = items.length;
    this.#items = undefined;
    return true;
  }

  copy(): Chunk {
    const copy = new Chunk([]);
    copy.#items = this.#items && [...this.#items];
    copy.#packed = this.packed; // what follows is written beside it, never over it
    copy.#shared = this.#shared = this.#packed !== undefined;
    copy.#to = copy.#packed?.length ?? 0;
    copy.#packedCount = this.#packedCount;
    return copy;
  }
}

/** For less the collector may count. */
const UNCOUNTED_BYTES_MIN = 16 * 1024;

/** For more a block is taken. */
const WITHOUT_BLOCK_MAX = (BLOCK_BYTES / 8) * 7;

/** At least so many bytes, at most a block. */
function memoryOf(bytes: number): Buffer {
  if (bytes < UNCOUNTED_BYTES_MIN) return Buffer.allocUnsafeSlow(bytes);
  return bytes <= WITHOUT_BLOCK_MAX ? uncountedMemory(bytes) : takeBlock();
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

const frameBytesOf = (length: number): number => FRAME_BYTES + digitsOf(length) + length;

function digitsOf(length: number): number {
  let digits = 1;
  for (let limit = 10; length >= limit; limit *= 10) digits++;
  return digits;
}

/** Writes `$5\r\nhello\r\n`. */
function writeFrame(packed: Buffer, start: number, bytes: Buffer, from: number, length: number): void {
  const digits = digitsOf(length);
  packed[start] = DOLLAR;
  for (let at = start + digits, left = length; at > start; at--, left = (left / 10) | 0) packed[at] = ZERO + (left % 10);
  let at = start + digits + 1;
  packed[at++] = CR;
  packed[at++] = LF;
  copyInto(packed, at, bytes, from, length);
  at += length;
  packed[at++] = CR;
  packed[at] = LF;
}
