import type { Address } from "./arena.ts";

/** When records expire, in no order: a record knows its index here, and the last one takes the place of one that goes. */
export class Expiries {
  #atMs = new Float64Array(64);
  #addresses = new Uint32Array(64);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#atMs.byteLength + this.#addresses.byteLength;
  }

  add(address: Address, atMs: number): number {
    if (this.#count === this.#atMs.length) this.#grow();
    this.#atMs[this.#count] = atMs;
    this.#addresses[this.#count] = address;
    return this.#count++;
  }

  atMs(index: number): number {
    return this.#atMs[index]!;
  }

  addressAt(index: number): Address {
    return this.#addresses[index]!;
  }

  setAtMs(index: number, atMs: number): void {
    this.#atMs[index] = atMs;
  }

  setAddress(index: number, address: Address): void {
    this.#addresses[index] = address;
  }

  /** The record that has this index now, 0 if it was the last one. */
  remove(index: number): Address {
    const last = --this.#count;
    if (index === last) return 0;
    this.#atMs[index] = this.#atMs[last]!;
    return (this.#addresses[index] = this.#addresses[last]!);
  }

  clear(): void {
    this.#count = 0;
  }

  #grow(): void {
    const [atMs, addresses] = [this.#atMs, this.#addresses];
    this.#atMs = new Float64Array(2 * atMs.length);
    this.#atMs.set(atMs);
    this.#addresses = new Uint32Array(2 * addresses.length);
    this.#addresses.set(addresses);
  }
}
