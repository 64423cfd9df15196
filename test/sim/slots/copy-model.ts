import type { Move } from "../../../src/kv/slots/migration/types.ts";
import type { SourceEvent } from "../../../src/kv/slots/migration/source.ts";
import type { Data } from "./disk-model.ts";

const ENTRY_BYTES = 10;

interface Copies {
  readonly live: Data;
  toSource(job: string, event: SourceEvent): void;
}

type Entry = { readonly key: string; readonly list: readonly number[] } | { readonly key: string; readonly append: number };
/** What a frame carries, and of which attempt it really is. */
type Payload = Entry & { readonly madeIn: number };

export const slotOf = (key: string): number => Number(key.slice(0, key.indexOf("/")));

/** The walk through moving slots, key by key, and what is written to keys that it has met. Appending is not idempotent, on purpose. */
export class CopyModel {
  readonly #node: Copies;
  readonly #move: Move;
  readonly #attempt: number;
  readonly #met = new Set<string>();
  #walked = false;

  constructor(node: Copies, move: Move, attempt: number) {
    this.#node = node;
    this.#move = move;
    this.#attempt = attempt;
  }

  walk(bytes: number): void {
    let left = bytes;
    for (const [key, list] of this.#node.live) {
      if (left <= 0) return;
      if (this.#met.has(key) || !this.#has(key)) continue;
      this.#met.add(key);
      left -= this.#tell({ key, list }, ENTRY_BYTES + list.length);
    }
    if (this.#walked) return;
    this.#walked = true;
    this.#node.toSource(this.#move.job, { kind: "walked", attempt: this.#attempt });
  }

  written(key: string, append: number): void {
    if (this.#has(key) && (this.#walked || this.#met.has(key))) this.#tell({ key, append }, ENTRY_BYTES);
  }

  /** The attempt whose entry it was. */
  static apply(data: Data, payload: unknown): number {
    const entry = payload as Payload; // what `#tell` has sent
    data.set(entry.key, "list" in entry ? entry.list : [...(data.get(entry.key) ?? []), entry.append]);
    return entry.madeIn;
  }

  #has(key: string): boolean {
    const slot = slotOf(key);
    return this.#move.ranges.some(({ start, end }) => start <= slot && slot <= end);
  }

  #tell(entry: Entry, bytes: number): number {
    const payload: Payload = { ...entry, madeIn: this.#attempt };
    this.#node.toSource(this.#move.job, { kind: "entry", attempt: this.#attempt, bytes, keys: 1, payload });
    return bytes;
  }
}
