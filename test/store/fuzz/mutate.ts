import type { Random } from "../../../src/base/random.ts";

/** Numbers at which something changes: where a byte, a length or a 64-bit number ends. */
const EDGES = [0, 1, 2, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xe0, 0xf0, 0xf4, 0xfe, 0xff];

/** The bytes with one to eight faults in them: turned bits, edges, parts that are missing, doubled, moved or from elsewhere, an end too early. */
export function mutated(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer {
  let result = Buffer.from(bytes);
  for (let faults = 1 + random.below(random.below(4) === 0 ? 8 : 2); faults > 0; faults--) result = oneFault(result, random, others);
  return result;
}

function oneFault(bytes: Buffer, random: Random, others: readonly Buffer[]): Buffer<ArrayBuffer> {
  const copy = Buffer.from(bytes);
  const { length } = copy;
  if (length === 0) return Buffer.from(anyBytes(random, 8));
  const at = random.below(length);
  const size = 1 + random.below(Math.min(16, length - at));
  switch (random.below(9)) {
    case 0:
      copy[at]! ^= 1 << random.below(8);
      return copy;
    case 1:
      copy[at] = EDGES[random.below(EDGES.length)]!;
      return copy;
    case 2:
      copy[at]! += random.below(3) - 1;
      return copy;
    case 3:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + size)]);
    case 4:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at, at + size), copy.subarray(at)]);
    case 5:
      return Buffer.concat([copy.subarray(0, at), anyBytes(random, 1 + random.below(8)), copy.subarray(at)]);
    case 6: {
      const other = others.length === 0 ? copy : others[random.below(others.length)]!;
      const from = random.below(other.length);
      return Buffer.concat([copy.subarray(0, at), other.subarray(from, from + size), copy.subarray(at)]);
    }
    case 7:
      copy.fill(random.below(2) * 0xff, at, at + Math.min(size, 8));
      return copy;
    default:
      return copy.subarray(0, at);
  }
}

export function anyBytes(random: Random, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = random.below(256);
  return bytes;
}

/** One of them. */
export const oneOf = <T>(random: Random, items: readonly T[]): T => items[random.below(items.length)]!;

/** The bytes in pieces: whole, each byte for itself, or cut at random places. */
export function pieces(bytes: Buffer, random: Random): Buffer[] {
  const way = random.below(4);
  if (way === 0) return [bytes];
  if (way === 1 && bytes.length < 2000) return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
  const cuts = Array.from({ length: 1 + random.below(8) }, () => random.below(bytes.length + 1)).toSorted((a, b) => a - b);
  return [0, ...cuts].map((from, index) => bytes.subarray(from, cuts[index] ?? bytes.length));
}
