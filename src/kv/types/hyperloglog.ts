import { latin1Of } from "../../base/latin1.ts";
import { registerAndRunOf } from "./murmur.ts";

/**
 * Estimates of how many different elements were added, as strings of the form that Redis has for them: a header of `HYLL`, the encoding, three unused bytes and
 * eight bytes of the last estimate, little-endian, whose top bit says that it no longer holds; then the registers.
 *
 * Dense: 6 bits each, the first in the lowest bits of the first byte. Sparse: runs of registers, `00nnnnnn` of n + 1 that are zero, `01nnnnnn nnnnnnnn` of the same,
 * `1vvvvvnn` of n + 1 that are v + 1.
 */
const REGISTERS = 16_384;
const REGISTER_MASK = REGISTERS - 1;
const RUN_SHIFT = 14;
const VALUE_MASK = 63;
/** The longest run of zeros and a one that a hash can have. */
const RUN_MAX = 51;

const HEADER_BYTES = 16;
const ENCODING_AT = 4;
const ESTIMATE_AT = 8;
const STALE_AT = 15;
const STALE_FLAG = 0x80;
const DENSE = 0;
const SPARSE = 1;
const DENSE_BYTES = HEADER_BYTES + (REGISTERS * 6) / 8;

const VALUE_FLAG = 0x80;
const LONG_ZEROS_FLAG = 0x40;
const SPARSE_VALUE_MAX = 32;
const SPARSE_VALUES_MAX = 4;
const SHORT_ZEROS_MAX = 64;
/** How much one register can add to a sparse string. */
const GROWTH_MAX = 3;
/** What the estimate is multiplied with. */
const ALPHA = 0.5 / Math.LN2;

/** A run of registers in a sparse string. */
interface SparseRun {
  readonly bytes: 1 | 2;
  readonly length: number;
  readonly value: number;
}

/** Whether a string may be one; whether a sparse one is whole shows when it is read. */
export function isHyperLogLog(bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES || latin1Of(bytes, 0, 4) !== "HYLL") return false;
  return bytes[ENCODING_AT] === SPARSE || (bytes[ENCODING_AT] === DENSE && bytes.length === DENSE_BYTES);
}

/** One to which nothing was added. */
export const emptyHyperLogLog = (): Buffer => sparseOf(new Uint8Array(REGISTERS), Infinity)!; // such runs can be written

/** One that is changed: a dense one where it lies, a sparse one in a copy. */
export class HyperLogLog {
  readonly #sparseBytesMax: number;
  #bytes: Buffer;
  #length: number;

  constructor(bytes: Buffer, sparseBytesMax: number) {
    this.#sparseBytesMax = sparseBytesMax;
    this.#length = bytes.length;
    this.#bytes = bytes;
    if (!this.dense) this.#grow();
  }

  get dense(): boolean {
    return this.#bytes[ENCODING_AT] === DENSE;
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Whether it changed; undefined: what there is of it is no HyperLogLog. */
  add(element: Uint8Array, from: number, length: number): boolean | undefined {
    const hash = registerAndRunOf(element, from, length);
    return this.#raise(hash & REGISTER_MASK, hash >> RUN_SHIFT);
  }

  /** False: what there is of it is no HyperLogLog. */
  makeDense(): boolean {
    if (this.dense) return true;
    const registers = registersOf(this.bytes);
    if (registers === undefined) return false;
    this.#bytes = denseOf(registers, this.#bytes);
    this.#length = DENSE_BYTES;
    return true;
  }

  /** The estimate that it holds is not right any more. */
  invalidate(): void {
    this.#bytes[STALE_AT]! |= STALE_FLAG;
  }

  #raise(register: number, value: number): boolean | undefined {
    if (this.dense) return raiseDense(this.#bytes, register, value);
    if (value <= SPARSE_VALUE_MAX) {
      const raised = this.#raiseSparse(register, value);
      if (raised !== "full") return raised;
    }
    return this.makeDense() ? raiseDense(this.#bytes, register, value) : undefined;
  }

  #raiseSparse(register: number, value: number): boolean | undefined | "full" {
    if (this.#bytes.length < this.#length + GROWTH_MAX) this.#grow();
    const bytes = this.#bytes;
    let before = -1;
    let at = HEADER_BYTES;
    let first = 0;
    let run: SparseRun | undefined;
    for (; at < this.#length; at += run.bytes) {
      run = runAt(bytes, at);
      if (register < first + run.length) break;
      before = at;
      first += run.length;
    }
    if (run === undefined || at + run.bytes > this.#length) return undefined;
    if (run.value >= value) return false;
    const replaced: number[] = [];
    writeRun(replaced, run.value, register - first);
    writeRun(replaced, value, 1);
    writeRun(replaced, run.value, first + run.length - 1 - register);
    const growth = replaced.length - run.bytes;
    if (growth > 0 && this.#length + growth > this.#sparseBytesMax) return "full";
    bytes.copyWithin(at + replaced.length, at + run.bytes, this.#length);
    this.#length += growth;
    bytes.set(replaced, at);
    this.#joinFrom(before < 0 ? at : before, at + replaced.length);
    return true;
  }

  /** Makes one of neighbouring runs of the same value, up to the first run after `end`. */
  #joinFrom(start: number, end: number): void {
    const bytes = this.#bytes;
    let last = end;
    for (let at = start; at < last && at < this.#length;) {
      const run = runAt(bytes, at);
      const next = at + run.bytes < this.#length ? runAt(bytes, at + run.bytes) : undefined;
      if (run.value === 0 || next?.value !== run.value || run.length + next.length > SPARSE_VALUES_MAX) {
        at += run.bytes;
        continue;
      }
      bytes[at] = valueRun(run.value, run.length + next.length);
      bytes.copyWithin(at + 1, at + 2, this.#length--);
      last--;
    }
  }

  #grow(): void {
    const grown = Buffer.allocUnsafe(2 * this.#length + GROWTH_MAX);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}

/** All registers; undefined where the string is damaged. */
export function registersOf(bytes: Buffer): Uint8Array | undefined {
  const registers = new Uint8Array(REGISTERS);
  if (bytes[ENCODING_AT] === DENSE) {
    for (let i = 0; i < REGISTERS; i++) registers[i] = denseAt(bytes, i);
    return registers;
  }
  let first = 0;
  for (let at = HEADER_BYTES; at < bytes.length;) {
    const run = runAt(bytes, at);
    if (first + run.length > REGISTERS || at + run.bytes > bytes.length) return undefined;
    if (run.value > 0) registers.fill(run.value, first, first + run.length);
    first += run.length;
    at += run.bytes;
  }
  return first === REGISTERS ? registers : undefined;
}

/** The string for these registers: a sparse one if it can be and is no longer than that. */
export function hyperLogLogOf(registers: Uint8Array, sparseBytesMax: number): Buffer {
  return sparseOf(registers, sparseBytesMax) ?? denseOf(registers);
}

/** Runs as text: `Z:16000 v:3,1 z:2`. Undefined where it is dense. */
export function describeRuns(bytes: Buffer): string | undefined {
  if (bytes[ENCODING_AT] === DENSE) return undefined;
  const runs: string[] = [];
  for (let at = HEADER_BYTES; at < bytes.length;) {
    const run = runAt(bytes, at);
    runs.push(run.value > 0 ? `v:${run.value},${run.length}` : `${run.bytes === 2 ? "Z" : "z"}:${run.length}`);
    at += run.bytes;
  }
  return runs.join(" ");
}

/** The estimate that the string holds; undefined where it is stale. */
export function keptEstimateOf(bytes: Buffer): bigint | undefined {
  return (bytes[STALE_AT]! & STALE_FLAG) === 0 ? bytes.readBigUInt64LE(ESTIMATE_AT) : undefined;
}

export function keepEstimate(bytes: Buffer, estimate: number): void {
  bytes.writeBigUInt64LE(BigInt(estimate), ESTIMATE_AT);
}

/** By Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284), algorithm 6. */
export function estimateOf(registers: Uint8Array): number {
  const counts = new Float64Array(VALUE_MASK + 1);
  for (let i = 0; i < REGISTERS; i++) counts[registers[i]!]!++;
  let z = REGISTERS * tau(1 - counts[RUN_MAX]! / REGISTERS);
  for (let value = RUN_MAX - 1; value >= 1; value--) z = 0.5 * (z + counts[value]!);
  z += REGISTERS * sigma(counts[0]! / REGISTERS);
  return Math.round((ALPHA * REGISTERS * REGISTERS) / z);
}

function sigma(share: number): number {
  if (share === 1) return Infinity;
  let x = share;
  let sum = x;
  for (let factor = 1, before = Number.NaN; before !== sum; factor += factor) {
    x *= x;
    before = sum;
    sum += x * factor;
  }
  return sum;
}

function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let x = share;
  let sum = 1 - x;
  for (let factor = 0.5, before = Number.NaN; before !== sum; factor /= 2) {
    x = Math.sqrt(x);
    before = sum;
    sum -= (1 - x) ** 2 * factor;
  }
  return sum / 3;
}

function denseAt(bytes: Buffer, register: number): number {
  const at = HEADER_BYTES + ((register * 6) >> 3);
  const shift = (register * 6) & 7;
  return ((bytes[at]! >> shift) | ((bytes[at + 1] ?? 0) << (8 - shift))) & VALUE_MASK;
}

function raiseDense(bytes: Buffer, register: number, value: number): boolean {
  if (denseAt(bytes, register) >= value) return false;
  const at = HEADER_BYTES + ((register * 6) >> 3);
  const shift = (register * 6) & 7;
  bytes[at] = (bytes[at]! & ~(VALUE_MASK << shift)) | (value << shift);
  if (shift > 2) bytes[at + 1] = (bytes[at + 1]! & ~(VALUE_MASK >> (8 - shift))) | (value >> (8 - shift));
  return true;
}

function runAt(bytes: Buffer, at: number): SparseRun {
  const byte = bytes[at]!;
  if ((byte & VALUE_FLAG) !== 0) return { bytes: 1, length: (byte & 3) + 1, value: ((byte >> 2) & 31) + 1 };
  if ((byte & LONG_ZEROS_FLAG) === 0) return { bytes: 1, length: byte + 1, value: 0 };
  return { bytes: 2, length: (((byte & 63) << 8) | (bytes[at + 1] ?? 0)) + 1, value: 0 };
}

const valueRun = (value: number, length: number): number => VALUE_FLAG | ((value - 1) << 2) | (length - 1);

function writeRun(to: number[], value: number, length: number): void {
  if (length === 0) return;
  if (value > 0) {
    for (let left = length; left > 0; left -= SPARSE_VALUES_MAX) to.push(valueRun(value, Math.min(left, SPARSE_VALUES_MAX)));
  } else if (length <= SHORT_ZEROS_MAX) to.push(length - 1);
  else to.push(LONG_ZEROS_FLAG | ((length - 1) >> 8), (length - 1) & 0xff);
}

function headerOf(encoding: number): number[] {
  return [0x48, 0x59, 0x4c, 0x4c, encoding, ...Array.from({ length: HEADER_BYTES - ENCODING_AT - 1 }, () => 0)];
}

function sparseOf(registers: Uint8Array, bytesMax: number): Buffer | undefined {
  const written = headerOf(SPARSE);
  for (let first = 0; first < REGISTERS;) {
    const value = registers[first]!;
    if (value > SPARSE_VALUE_MAX) return undefined;
    let end = first + 1;
    while (end < REGISTERS && registers[end] === value) end++;
    writeRun(written, value, end - first);
    first = end;
    if (written.length > bytesMax) return undefined;
  }
  return Buffer.from(written);
}

/** With the header, and so the estimate, of another one if there is any. */
function denseOf(registers: Uint8Array, header?: Buffer): Buffer {
  const bytes = Buffer.alloc(DENSE_BYTES);
  if (header === undefined) bytes.set(headerOf(DENSE));
  else header.copy(bytes, 0, 0, HEADER_BYTES);
  bytes[ENCODING_AT] = DENSE;
  for (let i = 0; i < REGISTERS; i++) raiseDense(bytes, i, registers[i]!);
  return bytes;
}
