import { latin1Of } from "../../base/latin1.ts";
import { LIST, type Value } from "../keyspace/value.ts";
import { Chunk, CHUNK_MAX } from "./list-chunk.ts";

/** Two neighbours with together no more than this become one. */
const MERGED_MAX = CHUNK_MAX / 2;
/** Memory of an element besides its characters: its header and where it is named. */
const ELEMENT_BYTES = 31;
/** The same of a packed one. */
const PACKED_ELEMENT_BYTES = 7;
const CHUNK_BYTES = 300;
const LIST_BYTES = 96;

export type End = "left" | "right";

/** Where elements are put by `List.insert`. */
export type Side = "before" | "after";

/** Who reads a range: of what is packed, bytes as they are sent; of the rest, one text after the other. */
export interface ElementReader {
  text(element: string): void;
  packed(bytes: Buffer, from: number, to: number): void;
}

/**
 * A list: a chain of chunks, none of them empty. The ends are quick; whatever is done in the middle moves the elements of one chunk. All but the two chunks at
 * either end are packed, so that one that grows and shrinks by a few does not pack and unpack.
 */
export class List implements Value {
  readonly type = LIST;
  readonly encoding = "quicklist";
  #first: Chunk | undefined;
  #last: Chunk | undefined;
  #size = 0;
  #characters = 0;
  #chunks = 0;
  #packed = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    const plain = this.#size - this.#packed;
    return LIST_BYTES + this.#characters + plain * ELEMENT_BYTES + this.#packed * PACKED_ELEMENT_BYTES + this.#chunks * CHUNK_BYTES;
  }

  push(end: End, element: string): void {
    this.#size++;
    this.#characters += element.length;
    const chunk = end === "left" ? this.#first : this.#last;
    if (chunk === undefined || chunk.size >= CHUNK_MAX) this.#extend(end, element);
    else if (end === "left") this.#open(chunk).unshift(element);
    else this.#open(chunk).push(element);
  }

  /** The same of bytes; a long list makes no text of them. */
  pushBytes(end: End, bytes: Buffer, from: number, length: number): void {
    let chunk = end === "left" ? this.#first : this.#last;
    if (chunk?.isFullFor(length) === true) {
      const full = chunk;
      full.trim();
      chunk = Chunk.open(end, full);
      this.#add(end, chunk);
    }
    if (chunk?.pushPacked(end, bytes, from, length) !== true) {
      this.push(end, latin1Of(bytes, from, from + length)); // what is packed is no longer, where an element is too large
      return;
    }
    this.#size++;
    this.#packed++;
    this.#characters += length;
  }

  #extend(end: End, element: string): void {
    this.#add(end, new Chunk([element]));
  }

  #add(end: End, chunk: Chunk): void {
    if (end === "left") this.#link(chunk, undefined, this.#first);
    else this.#link(chunk, this.#last, undefined);
    const passed = end === "left" ? chunk.after?.after : chunk.before?.before;
    if (passed?.before !== undefined && passed.after !== undefined && passed.pack()) this.#packed += passed.size;
  }

  /** Undefined only where the list is empty. */
  pop(end: End): string | undefined {
    const chunk = end === "left" ? this.#first : this.#last;
    if (chunk === undefined) return undefined;
    const items = this.#open(chunk);
    const element = (end === "left" ? items.shift() : items.pop())!; // no chunk is empty
    this.#size--;
    this.#characters -= element.length;
    if (items.length === 0) this.#unlink(chunk);
    return element;
  }

  /** `index` from the start, or below 0 from the end. */
  at(index: number): string | undefined {
    const found = this.#find(index);
    return found?.chunk.at(found.at);
  }

  /** False where there is no such index. */
  set(index: number, element: string): boolean {
    const found = this.#find(index);
    if (found === undefined) return false;
    const items = this.#open(found.chunk);
    this.#characters += element.length - items[found.at]!.length;
    items[found.at] = element;
    return true;
  }

  /** Puts an element beside the first one that equals `pivot`; false where none does. */
  insert(side: Side, pivot: string, element: string): boolean {
    for (let chunk = this.#first; chunk !== undefined; chunk = chunk.after) {
      const found = chunk.texts().indexOf(pivot);
      if (found < 0) continue;
      const items = this.#open(chunk);
      items.splice(side === "before" ? found : found + 1, 0, element);
      this.#size++;
      this.#characters += element.length;
      if (items.length > CHUNK_MAX) this.#link(new Chunk(items.splice(CHUNK_MAX / 2)), chunk, chunk.after);
      return true;
    }
    return false;
  }

  /** Visits `count` elements from `index` on, which are there. */
  each(index: number, count: number, visit: (element: string) => void): void {
    this.#parts(index, count, (chunk, from, to) => {
      const texts = chunk.texts();
      for (let at = from; at < to; at++) visit(texts[at]!);
    });
  }

  /** The same for whoever can do with bytes. */
  read(index: number, count: number, reader: ElementReader): void {
    this.#parts(index, count, (chunk, from, to) => {
      const { packed } = chunk;
      if (packed !== undefined) return reader.packed(packed, chunk.offsetOf(from), to === chunk.size ? packed.length : chunk.offsetOf(to));
      const texts = chunk.texts();
      for (let at = from; at < to; at++) reader.text(texts[at]!);
    });
  }

  #parts(index: number, count: number, visit: (chunk: Chunk, from: number, to: number) => void): void {
    const found = this.#find(index);
    let left = count;
    for (let chunk = found?.chunk, from = found?.at ?? 0; chunk !== undefined && left > 0; chunk = chunk.after, from = 0) {
      const to = Math.min(chunk.size, from + left);
      visit(chunk, from, to);
      left -= to - from;
    }
  }

  /** Removes so many elements from the start, or from the end. */
  drop(end: End, count: number): void {
    let left = count;
    while (left > 0) {
      const chunk = end === "left" ? this.#first : this.#last;
      if (chunk === undefined) return;
      const taken = Math.min(left, chunk.size);
      const items = this.#open(chunk);
      this.#gone(items.splice(end === "left" ? 0 : items.length - taken, taken));
      if (items.length === 0) this.#unlink(chunk);
      left -= taken;
    }
  }

  /** Removes elements that equal this one, at most `max`, from the given end on; how many there were. */
  remove(element: string, from: End, max: number): number {
    let removed = 0;
    for (let chunk = from === "left" ? this.#first : this.#last; chunk !== undefined && removed < max;) {
      const next = from === "left" ? chunk.after : chunk.before;
      const count = chunk.texts().includes(element) ? removeFrom(this.#open(chunk), element, { from, max: max - removed }) : 0;
      removed += count;
      this.#size -= count;
      this.#characters -= count * element.length;
      if (count > 0) this.#tidy(chunk, from);
      chunk = next;
    }
    return removed;
  }

  /**
   * Indexes, from the start, of elements that equal this one, in the order in which they are met from the given end on: `skip` of them left out, at most
   * `max`, among the first `comparisonsMax` elements.
   */
  positions(
    element: string,
    from: End,
    limits: { readonly skip: number; readonly max: number; readonly comparisonsMax: number },
  ): number[] {
    const found: number[] = [];
    let { skip, comparisonsMax } = limits;
    let seen = 0;
    for (
      let chunk = from === "left" ? this.#first : this.#last;
      chunk !== undefined;
      chunk = from === "left" ? chunk.after : chunk.before
    ) {
      const items = chunk.texts();
      for (let i = 0; i < items.length; i++, seen++) {
        if (comparisonsMax-- <= 0) return found;
        if (items[from === "left" ? i : items.length - 1 - i] !== element || skip-- > 0) continue;
        found.push(from === "left" ? seen : this.#size - 1 - seen);
        if (found.length === limits.max) return found;
      }
    }
    return found;
  }

  *parts(): Iterable<string> {
    let place = 0;
    for (let chunk = this.#first; chunk !== undefined; chunk = chunk.after) for (const item of chunk.texts()) yield `${place++}:${item}`;
  }

  release(): number {
    let bytes = 0;
    for (let chunk = this.#first; chunk !== undefined; chunk = chunk.after) bytes += chunk.release();
    this.#first = this.#last = undefined;
    this.#size = this.#characters = this.#chunks = this.#packed = 0;
    return bytes;
  }

  copy(): List {
    const copy = new List();
    for (let chunk = this.#first; chunk !== undefined; chunk = chunk.after) copy.#link(chunk.copy(), copy.#last, undefined);
    copy.#size = this.#size;
    copy.#characters = this.#characters;
    copy.#packed = this.#packed;
    return copy;
  }

  #find(index: number): { readonly chunk: Chunk; readonly at: number } | undefined {
    let at = index < 0 ? this.#size + index : index;
    if (at < 0 || at >= this.#size) return undefined;
    let chunk: Chunk;
    if (at * 2 < this.#size) {
      for (chunk = this.#first!; at >= chunk.size; chunk = chunk.after!) at -= chunk.size;
    } else {
      at -= this.#size;
      for (chunk = this.#last!; at + chunk.size < 0; chunk = chunk.before!) at += chunk.size;
      at += chunk.size;
    }
    return { chunk, at };
  }

  /** The elements of a chunk, to be changed. */
  #open(chunk: Chunk): string[] {
    if (chunk.packed !== undefined) this.#packed -= chunk.size;
    return chunk.unpack();
  }

  #gone(elements: readonly string[]): void {
    this.#size -= elements.length;
    for (const element of elements) this.#characters -= element.length;
  }

  /** After elements were taken from its middle: an empty chunk goes, a small one joins the neighbour that was passed already. */
  #tidy(chunk: Chunk, from: End): void {
    if (chunk.size === 0) return this.#unlink(chunk);
    const left = from === "left" ? chunk.before : chunk;
    const right = from === "left" ? chunk : chunk.after;
    if (left === undefined || right === undefined || left.size + right.size > MERGED_MAX) return;
    this.#open(left).push(...this.#open(right));
    this.#unlink(right);
  }

  #link(chunk: Chunk, before: Chunk | undefined, after: Chunk | undefined): void {
    this.#chunks++;
    chunk.before = before;
    chunk.after = after;
    if (before === undefined) this.#first = chunk;
    else before.after = chunk;
    if (after === undefined) this.#last = chunk;
    else after.before = chunk;
  }

  #unlink({ before, after }: Chunk): void {
    this.#chunks--;
    if (before === undefined) this.#first = after;
    else before.after = after;
    if (after === undefined) this.#last = before;
    else after.before = before;
  }
}

function removeFrom(items: string[], element: string, { from, max }: { readonly from: End; readonly max: number }): number {
  let removed = 0;
  let at = from === "left" ? items.indexOf(element) : items.lastIndexOf(element);
  while (at >= 0 && removed < max) {
    items.splice(at, 1);
    removed++;
    if (from === "left") at = items.indexOf(element, at);
    else at = at === 0 ? -1 : items.lastIndexOf(element, at - 1);
  }
  return removed;
}
