import { latin1Of } from "../../base/latin1.ts";
import { afterItem, countOf, findPacked, hasRoom, itemAt, withPairAt, withoutItems, type Packed } from "./packed.ts";

/** Gets members in an order, as bytes; false: no more. */
export type VisitMember = (bytes: Buffer, from: number, length: number, score: number) => boolean | void;

/** The bytes of a score, and that score. */
const SCORE_BYTES = Buffer.alloc(8);
const SCORE = new Float64Array(SCORE_BYTES.buffer, SCORE_BYTES.byteOffset, 1);
const PAIR_LENGTHS = 2;

// Few short members of a sorted set, packed in their order, each followed by its score as eight characters.

export const packedSizeOf = (packed: Packed): number => countOf(packed) >> 1;

/** NaN where the member is not there. */
export function packedScoreOf(packed: Packed, member: string): number {
  const offset = findPacked(packed, member, 2);
  return offset < 0 ? Number.NaN : scoreAt(packed, afterItem(packed, offset) + 1);
}

/** With this score for a member that may be there with another; undefined where there is no room. */
export function withScore(packed: Packed, member: string, score: number): Packed | undefined {
  const rest = withoutMember(packed, member);
  SCORE[0] = score;
  const text = latin1Of(SCORE_BYTES);
  return hasRoom(rest, member, text) ? withPairAt(rest, offsetFor(rest, score, member), member, text) : undefined;
}

/** The same where it was not there. */
export function withoutMember(packed: Packed, member: string): Packed {
  const offset = findPacked(packed, member, 2);
  return offset < 0 ? packed : withoutItems(packed, offset, 2);
}

/** How many come before this score, or any if it is NaN, and member. */
export function packedRankOf(packed: Packed, score: number, member: string): number {
  let rank = 0;
  for (let end = offsetFor(packed, score, member), offset = 1; offset < end; rank++) offset = afterPair(packed, offset);
  return rank;
}

/** Visits members from one rank up to another, or the same from the last to the first. */
export function visitPacked(packed: Packed, from: number, to: number, reversed: boolean, visit: VisitMember): void {
  const bytes = Buffer.from(packed, "latin1");
  const offsets: number[] = [];
  for (let offset = 1, rank = 0; rank < to; rank++) {
    if (rank >= from) offsets.push(offset);
    offset = afterPair(packed, offset);
  }
  if (reversed) offsets.reverse();
  for (const offset of offsets) {
    const length = packed.charCodeAt(offset);
    if (visit(bytes, offset + 1, length, scoreAt(packed, offset + length + PAIR_LENGTHS)) === false) return;
  }
}

const afterPair = (packed: Packed, offset: number): number => afterItem(packed, afterItem(packed, offset));

/** Of the first pair that is not less. */
function offsetFor(packed: Packed, score: number, member: string): number {
  let offset = 1;
  for (; offset < packed.length; offset = afterPair(packed, offset)) {
    const other = scoreAt(packed, afterItem(packed, offset) + 1);
    if (other > score || (!(other < score) && itemAt(packed, offset) >= member)) break;
  }
  return offset;
}

function scoreAt(packed: Packed, at: number): number {
  for (let i = 0; i < SCORE_BYTES.length; i++) SCORE_BYTES[i] = packed.charCodeAt(at + i);
  return SCORE[0]!;
}
