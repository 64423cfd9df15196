import { hashOf } from "../../../base/fnv.ts";
import { Bits } from "./bits.ts";

/** A neighbour as the choice of gateways sees it. */
export interface RackMember {
  readonly name: string;
  readonly distance: number;
  readonly has: Bits;
}

/** The second of a piece's gateways steps in when the first neither has nor gets a piece that has been outside for so long, or for what pieces take where that is longer. */
const SECOND_AFTER_MS = 1000;
/** From so many times that on anybody may: a rack must not wait for two hosts that do not act. */
const ANYBODY_AFTER = 3;

/**
 * One copy of a piece crosses into a rack, then it spreads inside: rendezvous hashing over the members of the rack says which of them brings a piece in.
 * Members need not know all others; where their views differ a piece crosses more than once, which costs a little and harms nothing. Without
 * labels everybody is at distance 0 and there is nothing to filter.
 */
export class Gateways {
  readonly #self: string;
  readonly #pieceCount: number;
  /** Place of this host among the members for each piece: 0 brings it in, 1 stands in. */
  #rank: Uint8Array | undefined;
  /** For each piece for which this host stands in, who comes first. */
  #first: (RackMember | undefined)[] = [];
  #seenMs: Float64Array | undefined;
  #members: readonly RackMember[] = [];
  #allowed: Bits;

  constructor(self: string, pieceCount: number) {
    this.#self = self;
    this.#pieceCount = pieceCount;
    this.#allowed = new Bits(pieceCount);
  }

  /** Neighbours came or went. */
  changed(neighbours: readonly RackMember[]): void {
    this.#rank = undefined;
    this.#members = neighbours.filter(({ distance }) => distance === 0);
  }

  seenOutside(piece: number, nowMs: number): void {
    this.#seenMs ??= new Float64Array(this.#pieceCount).fill(Infinity);
    if (nowMs < this.#seenMs[piece]!) this.#seenMs[piece] = nowMs; // within the pieces
  }

  /** Leaves those bits that this host may bring in from outside its rack. `pieceMs`: what pieces take lately. */
  filter(outside: Uint32Array, nowMs: number, pieceMs: number): void {
    this.#rank ??= this.#ranks();
    const patienceMs = Math.max(SECOND_AFTER_MS, pieceMs);
    for (let index = 0; index < this.#pieceCount; index++) {
      if (((outside[index >>> 5]! >>> (index & 31)) & 1) === 0) continue; // within the pieces
      if (this.#allows(index, nowMs, patienceMs)) this.#allowed.set(index);
      else {
        this.#allowed.clear(index);
        outside[index >>> 5]! &= ~(1 << (index & 31)); // as above
      }
    }
  }

  /** As the last `filter` said. */
  mayCross(piece: number): boolean {
    return this.#members.length === 0 || this.#allowed.has(piece);
  }

  #allows(piece: number, nowMs: number, patienceMs: number): boolean {
    const rank = this.#rank![piece]!; // made by `filter`, one per piece
    if (rank === 0) return true;
    const ageMs = nowMs - (this.#seenMs?.[piece] ?? nowMs);
    if (ageMs >= patienceMs * ANYBODY_AFTER) return true;
    return rank === 1 && ageMs >= patienceMs && this.#first[piece]?.has.has(piece) !== true;
  }

  #ranks(): Uint8Array {
    const ranks = new Uint8Array(this.#pieceCount);
    this.#first = Array.from<RackMember | undefined>({ length: this.#pieceCount });
    const own = hashOf(this.#self);
    const others = this.#members.map((member) => ({ member, hash: hashOf(member.name) }));
    for (let piece = 0; piece < this.#pieceCount; piece++) {
      const mine = mix(own, piece);
      let ahead = 0;
      for (const { member, hash } of others) {
        if (mix(hash, piece) <= mine) continue;
        this.#first[piece] = member;
        if (++ahead === 2) break;
      }
      ranks[piece] = ahead;
    }
    return ranks;
  }
}

/** The finish of MurmurHash3. */
function mix(hash: number, piece: number): number {
  let x = Math.imul(hash ^ Math.imul(piece + 1, 0x9e3779b1), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
