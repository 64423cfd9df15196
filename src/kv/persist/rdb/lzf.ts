import { RdbError } from "./rdb-error.ts";

const HASH_BITS_MIN = 8;
const HASH_BITS_MAX = 14;
/** A literal run is at most so long, … */
const LITERAL_MAX = 32;
/** … a copy this long, … */
const COPY_MAX = 264;
/** … from so far back. */
const BACK_MAX = 8192;
/** No copy makes more of its bytes than this. */
const GROWTH_MAX = COPY_MAX;

/** What LZF (Marc Lehmann) made of bytes. Throws `RdbError`, also where it is not as long as was said. */
export function lzfDecompressed(source: Buffer, length: number): Buffer {
  if (length > source.length * GROWTH_MAX) throw new RdbError("LZF: impossible length");
  const target = Buffer.allocUnsafe(length);
  let to = 0;
  let at = 0;
  while (at < source.length) {
    const control = source[at++]!;
    if (control < LITERAL_MAX) {
      const run = control + 1;
      if (at + run > source.length || to + run > length) throw new RdbError("LZF: run beyond the end");
      source.copy(target, to, at, at + run);
      at += run;
      to += run;
      continue;
    }
    let run = control >> 5;
    if (run === 7) run += source[at++] ?? 0;
    run += 2;
    if (at >= source.length) throw new RdbError("LZF: copy beyond the end");
    let from = to - ((control & 0x1f) << 8) - source[at++]! - 1;
    if (from < 0 || to + run > length) throw new RdbError("LZF: copy from outside");
    for (let i = 0; i < run; i++) target[to++] = target[from++]!;
  }
  if (to !== length) throw new RdbError("LZF: not as long as it should be");
  return target;
}

/** Last positions of three bytes, by their hash; one table for all, as making one for each string would take longer than using it. */
const POSITIONS = new Int32Array(1 << HASH_BITS_MAX);

/** Undefined where it does not get shorter. */
export function lzfCompressed(source: Uint8Array): Buffer | undefined {
  const { length } = source;
  const limit = length - 4;
  const target = Buffer.allocUnsafe(limit + LITERAL_MAX + 8);
  const bits = Math.max(HASH_BITS_MIN, Math.min(HASH_BITS_MAX, 32 - Math.clz32(length)));
  POSITIONS.fill(-1, 0, 1 << bits);
  let to = 1; // the first literal run's header
  let run = 0;
  let at = 0;
  const endRun = (): void => {
    if (run > 0) target[to - run - 1] = run - 1;
    else to--;
  };
  while (at < length) {
    if (to > limit) return undefined;
    const from = at < length - 2 ? swapped(source, at, bits) : -1;
    const distance = at - from - 1;
    if (from >= 0 && distance < BACK_MAX && same3(source, from, at)) {
      let matched = 3;
      const max = Math.min(COPY_MAX, length - at);
      while (matched < max && source[from + matched] === source[at + matched]) matched++;
      endRun();
      run = 0;
      const coded = matched - 2;
      if (coded < 7) target[to++] = (coded << 5) | (distance >> 8);
      else {
        target[to++] = (7 << 5) | (distance >> 8);
        target[to++] = coded - 7;
      }
      target[to++] = distance & 0xff;
      to++; // the next run's header
      at += matched;
      continue;
    }
    target[to++] = source[at++]!;
    if (++run === LITERAL_MAX) {
      endRun();
      run = 0;
      to++;
    }
  }
  endRun();
  return to <= limit ? target.subarray(0, to) : undefined;
}

/** The last position of the same hash, in whose place this one is put. */
function swapped(source: Uint8Array, at: number, bits: number): number {
  const three = (source[at]! << 16) | (source[at + 1]! << 8) | source[at + 2]!;
  const slot = Math.imul(three, 0x9e3779b1) >>> (32 - bits);
  const from = POSITIONS[slot]!;
  POSITIONS[slot] = at;
  return from;
}

const same3 = (bytes: Uint8Array, a: number, b: number): boolean =>
  bytes[a] === bytes[b] && bytes[a + 1] === bytes[b + 1] && bytes[a + 2] === bytes[b + 2];
