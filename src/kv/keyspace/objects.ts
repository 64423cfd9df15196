import { letGo } from "./uncounted-memory.ts";
import type { Value } from "./value.ts";

/** Changes remembered until sizes are asked for anew. */
const CHANGED_MAX = 1024;

/**
 * The values of a database that are objects, by numbers, and the memory that they take. A change only notes the number, the same one in a row once; sizes are asked
 * for when there are many notes or somebody wants the sum. So a write costs a comparison and a store, and the sum is right between commands.
 */
export class Objects {
  readonly #values: (Value | undefined)[] = [];
  /** As counted in the sum. */
  readonly #bytes: number[] = [];
  readonly #free: number[] = [];
  readonly #changed = new Uint32Array(CHANGED_MAX);
  #changedCount = 0;
  #countedBytes = 0;

  get usedBytes(): number {
    this.#count();
    this.#changedCount = 0;
    return this.#countedBytes;
  }

  at(number: number): Value | undefined {
    return this.#values[number];
  }

  add(value: Value): number {
    const number = this.#free.pop() ?? this.#values.length;
    this.#values[number] = value;
    this.#bytes[number] = 0;
    this.changing(number);
    return number;
  }

  /** `kept`: the value lives on elsewhere. */
  remove(number: number, kept = false): void {
    if (!kept) letGo(Math.max(0, this.#bytes[number]! - (this.#values[number]?.release?.() ?? 0)));
    this.#countedBytes -= this.#bytes[number]!;
    this.#bytes[number] = 0;
    this.#values[number] = undefined;
    this.#free.push(number);
  }

  /** This one will, or may, change before the command that runs is over. */
  changing(number: number): void {
    const count = this.#changedCount;
    if (count > 0 && this.#changed[count - 1] === number) return;
    if (count === CHANGED_MAX) this.#makeRoom();
    this.#changed[this.#changedCount++] = number;
  }

  clear(): void {
    letGo(this.#countedBytes);
    this.#values.length = 0;
    this.#bytes.length = 0;
    this.#free.length = 0;
    this.#changedCount = 0;
    this.#countedBytes = 0;
  }

  /** The last ones stay noted: the command that runs may still be changing them. */
  #makeRoom(): void {
    this.#count();
    this.#changed.copyWithin(0, CHANGED_MAX / 2);
    this.#changedCount = CHANGED_MAX / 2;
  }

  #count(): void {
    for (let i = 0; i < this.#changedCount; i++) {
      const number = this.#changed[i]!;
      const bytes = this.#values[number]?.bytes ?? 0;
      this.#countedBytes += bytes - this.#bytes[number]!;
      this.#bytes[number] = bytes;
    }
  }
}
