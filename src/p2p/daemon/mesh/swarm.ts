import type { Random } from "../../../base/random.ts";
import { RecentMean } from "../../../base/recent-mean.ts";
import { Bits, lowestBitOf } from "./bits.ts";
import { Gateways } from "./gateways.ts";

/** What a receiver asks of whom next. */
export interface SwarmChoice<K> {
  readonly piece: number;
  readonly neighbour: K;
  /** Already on its way from somebody else, who is slow: whoever is first wins. */
  readonly duplicate: boolean;
}

export interface SwarmOptions {
  readonly pieceCount: number;
  /** Pieces on their way at once. */
  readonly slots: number;
  /** Of these, from one neighbour. */
  readonly perNeighbourMax: number;
  readonly random: Random;
  /** Names this host among the neighbours of its rack; decides which pieces it brings in from outside. */
  readonly self: string;
}

interface Neighbour<K> {
  readonly key: K;
  readonly name: string;
  /** 0: the same rack, or nobody knows. */
  readonly distance: number;
  readonly held: Bits;
  /** Held, or on its way to it: it passes the blocks on as they come. */
  readonly has: Bits;
  inFlight: number;
  /** Pieces that it sends to anybody, as far as we know, of as many as are fetched at once: one that has twice the slots is half as busy. */
  load: number;
  /** What one piece more makes of it. */
  loadOfOne: number;
  /** No free upload slot, as far as we know. */
  busyUntilMs: number;
  /** It failed us. */
  avoidUntilMs: number;
  /** Times in a row that it was busy. */
  refusals: number;
}

interface Request {
  readonly sinceMs: number;
  /** So little is left of it that the next one is asked for already. */
  ending: boolean;
}

/** A piece is asked for a second time only when the first request is at least this old, and older than what pieces take. */
const ENDGAME_AFTER_MS = 300;
const BUSY_FIRST_MS = 25;
const BUSY_MAX_MS = 400;
/**
 * With all slots in use so many times as many pieces are fetched, of those only that send less than this share of what they can: pieces that are
 * still arriving at their holders come no quicker than there, and where round trips are long the gaps between pieces leave links idle.
 */
const SLOTS_MORE = 1.5;
const IDLE_SHARE = 0.6;
/** Not where a piece takes longer than this already: shared by still more, a slow link lets some of them stall (measured: one in eight). */
const SWIFT_MS = 1000;
/** In pieces that are sent: what a holder that is still receiving the piece must have less, and one outside of the rack. */
const RELAY_COST = 0.5;
const DISTANCE_COST = 0.25;

/**
 * Which piece a receiver asks of which neighbour: a random one of the rarest that those give who send least at the time, and of the holders the
 * one that sends least; one that has it whole before one that is still receiving it. Who sends through a slow link is busy for longer, and so is
 * asked less. Pure: time comes in as a parameter, chance from a seeded source; what happened is told by its owner. A request more in
 * parallel than one serves starves others (measured in simulation: 10 to 39 %), so slots are few.
 */
export class Swarm<K> {
  readonly pieceCount: number;
  readonly #options: SwarmOptions;
  readonly #neighbours = new Map<K, Neighbour<K>>();
  /** For each piece on its way, who was asked for it. */
  readonly #requests = new Map<number, Map<K, Request>>();
  readonly #held: Bits;
  /** Held, on their way, or somebody else's to fetch: not to be chosen. */
  readonly #masked: Bits;
  readonly #claimed: Bits;
  /** For each piece, the neighbours that have it or get it. */
  readonly #copies: Uint16Array;
  readonly #near: Uint32Array;
  readonly #far: Uint32Array;
  readonly #gateways: Gateways;
  #heldCount = 0;
  readonly #pieceMs = new RecentMean();
  #inFlight = 0;
  #urgent: { readonly first: number; readonly count: number } | undefined;

  constructor(options: SwarmOptions) {
    const { pieceCount } = options;
    this.pieceCount = pieceCount;
    this.#options = options;
    this.#held = new Bits(pieceCount);
    this.#masked = new Bits(pieceCount);
    this.#claimed = new Bits(pieceCount);
    this.#copies = new Uint16Array(pieceCount);
    this.#near = new Uint32Array(this.#held.words.length);
    this.#far = new Uint32Array(this.#held.words.length);
    this.#gateways = new Gateways(options.self, pieceCount);
  }

  // What is known of the neighbours

  add(key: K, about: { readonly name: string; readonly distance: number }): void {
    if (this.#neighbours.has(key)) return;
    this.#neighbours.set(key, {
      key,
      ...about,
      held: new Bits(this.pieceCount),
      has: new Bits(this.pieceCount),
      inFlight: 0,
      load: 0,
      loadOfOne: 1,
      busyUntilMs: 0,
      avoidUntilMs: 0,
      refusals: 0,
    });
    this.#gateways.changed([...this.#neighbours.values()]);
  }

  /** It is gone, and what was on its way from it does not come. */
  remove(key: K): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    for (const piece of this.#requests.keys()) this.ended(piece, key);
    for (let index = 0; index < this.pieceCount; index++) if (neighbour.has.has(index)) this.#copies[index]!--; // one per piece
    this.#neighbours.delete(key);
    this.#gateways.changed([...this.#neighbours.values()]);
  }

  /** All that it has, as bitmaps. */
  replace(key: K, bitmaps: { readonly held: Uint8Array; readonly started: Uint8Array }, nowMs: number): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    const { held, has } = neighbour;
    for (let index = 0; index < this.pieceCount; index++) if (has.has(index)) this.#copies[index]!--; // one per piece
    held.load(bitmaps.held, this.pieceCount);
    has.load(bitmaps.started, this.pieceCount);
    for (let word = 0; word < has.words.length; word++) has.words[word]! |= held.words[word]!; // of equal length
    for (let index = 0; index < this.pieceCount; index++) if (has.has(index)) this.#seen(neighbour, index, nowMs);
  }

  note(
    key: K,
    news: { readonly started: readonly number[]; readonly held: readonly number[]; readonly dropped: readonly number[] },
    nowMs: number,
  ): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    for (const index of news.dropped) this.#without(neighbour, index);
    for (const index of news.started) this.#with(neighbour, index, nowMs);
    for (const index of news.held) {
      this.#with(neighbour, index, nowMs);
      if (index < this.pieceCount) neighbour.held.set(index);
    }
  }

  /** So many pieces are on their way from it, to anybody, and so many may be; 0: it does not say. */
  busyWith(key: K, { uploads, slots }: { readonly uploads: number; readonly slots: number }): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    neighbour.loadOfOne = slots === 0 ? 1 : this.#options.slots / slots;
    neighbour.load = uploads * neighbour.loadOfOne;
  }

  /** It turned out not to have the piece. */
  hasNot(key: K, piece: number): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour !== undefined) this.#without(neighbour, piece);
  }

  /** It has no free slot: it is asked again after a while, or when it says that it has. */
  busy(key: K, nowMs: number): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    neighbour.busyUntilMs = nowMs + Math.min(BUSY_MAX_MS, BUSY_FIRST_MS * 2 ** Math.min(neighbour.refusals, 10));
    neighbour.refusals++;
  }

  free(key: K): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    neighbour.busyUntilMs = 0;
    neighbour.refusals = 0;
  }

  avoid(key: K, untilMs: number): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour !== undefined) neighbour.avoidUntilMs = untilMs;
  }

  /** How many neighbours have the piece or get it. */
  copiesOf(piece: number): number {
    return this.#copies[piece] ?? 0;
  }

  hasPiece(key: K, piece: number): boolean {
    return this.#neighbours.get(key)?.has.has(piece) ?? false;
  }

  isWhole(key: K): boolean {
    return this.#neighbours.get(key)?.held.count() === this.pieceCount;
  }

  /** Whether somebody, avoided or not, has the piece or gets it. */
  isThere(piece: number): boolean {
    return this.copiesOf(piece) > 0;
  }

  // What is known of this host

  get missingCount(): number {
    return this.pieceCount - this.#heldCount;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  isRequested(piece: number): boolean {
    return this.#requests.has(piece);
  }

  /** What a piece takes to come from a neighbour, lately; 0 before the first. */
  get pieceMs(): number {
    return this.#pieceMs.value;
  }

  /** A piece that was asked for has come, in so long. */
  took(ms: number): void {
    this.#pieceMs.add(ms);
  }

  got(piece: number): void {
    if (this.#held.has(piece)) return;
    this.#held.set(piece);
    this.#heldCount++;
    this.#mask(piece);
  }

  /** It is here no more: it turned out to be damaged. */
  lost(piece: number): void {
    if (!this.#held.has(piece)) return;
    this.#held.clear(piece);
    this.#heldCount--;
    this.#mask(piece);
  }

  /** Somebody else on this host fetches the piece: the source is being read there, or a foreign parent asked. */
  claim(piece: number, claimed: boolean): void {
    if (claimed) this.#claimed.set(piece);
    else this.#claimed.clear(piece);
    this.#mask(piece);
  }

  /** A reader waits for these pieces, in their order, before all others. */
  want(first: number, count: number): void {
    this.#urgent = count > 0 ? { first, count } : undefined;
  }

  // The choice

  /** The next request, which counts as on its way from now on; undefined when there is none to make now. */
  next(nowMs: number): SwarmChoice<K> | undefined {
    const { slots } = this.#options;
    const isFull = this.#inFlight >= slots;
    const most = this.pieceMs < SWIFT_MS ? slots * SLOTS_MORE : slots;
    if (this.#inFlight >= most || this.missingCount === 0) return undefined;
    const able = this.#able(nowMs, isFull ? slots * IDLE_SHARE : Infinity);
    if (able.length === 0) return undefined;
    const piece = this.#choosePiece(able, nowMs);
    if (piece !== undefined) return this.#request(piece, this.#chooseHolder(able, piece), false, nowMs);
    return isFull ? undefined : this.#endgame(able, nowMs);
  }

  /** Neither here, nor on its way, nor somebody else's to fetch. */
  isWanted(piece: number): boolean {
    return piece < this.pieceCount && !this.#masked.has(piece);
  }

  /** The neighbour sends this piece, whatever it was asked for. */
  begun(piece: number, key: K, nowMs: number): void {
    const neighbour = this.#neighbours.get(key);
    if (neighbour !== undefined) this.#request(piece, neighbour, false, nowMs);
  }

  /** The last of the piece is coming: by the time that an answer to the next request can be here, its slot is free. */
  ending(piece: number, key: K): void {
    const request = this.#requests.get(piece)?.get(key);
    if (request === undefined || request.ending) return;
    request.ending = true;
    this.#free(key);
  }

  /** A request has ended, however it did. */
  ended(piece: number, key: K): void {
    const requests = this.#requests.get(piece);
    const request = requests?.get(key);
    if (requests === undefined || request === undefined) return;
    requests.delete(key);
    if (!request.ending) this.#free(key);
    if (requests.size > 0) return;
    this.#requests.delete(piece);
    this.#mask(piece);
  }

  #free(key: K): void {
    this.#inFlight--;
    const neighbour = this.#neighbours.get(key);
    if (neighbour === undefined) return;
    neighbour.inFlight--;
    neighbour.load = Math.max(0, neighbour.load - neighbour.loadOfOne);
  }

  /** Who can be asked now, and sends less than so much. */
  #able(nowMs: number, loadMax: number): Neighbour<K>[] {
    const able: Neighbour<K>[] = [];
    for (const neighbour of this.#neighbours.values()) {
      const { inFlight, load, busyUntilMs, avoidUntilMs } = neighbour;
      if (load < loadMax && inFlight < this.#options.perNeighbourMax && busyUntilMs <= nowMs && avoidUntilMs <= nowMs) able.push(neighbour);
    }
    return able;
  }

  #choosePiece(able: readonly Neighbour<K>[], nowMs: number): number | undefined {
    const urgent = this.#urgent === undefined ? undefined : this.#urgentPiece(this.#candidates(able, nowMs));
    if (urgent !== undefined) return urgent;
    let leastLoad = Infinity;
    for (const { load } of able) leastLoad = Math.min(leastLoad, load);
    const idlest = able.filter(({ load }) => load <= leastLoad + 1);
    // Else a piece that only busy ones have would be waited for while other links stand idle.
    return (
      this.#rarest(this.#candidates(idlest, nowMs)) ??
      (idlest.length < able.length ? this.#rarest(this.#candidates(able, nowMs)) : undefined)
    );
  }

  /** What some of these can give and nobody on this host fetches. */
  #candidates(able: readonly Neighbour<K>[], nowMs: number): Uint32Array {
    const near = this.#near.fill(0);
    const far = this.#far.fill(0);
    let someFar = false;
    for (const { has, distance } of able) {
      const into = distance === 0 ? near : far;
      someFar ||= distance > 0;
      for (let word = 0; word < into.length; word++) into[word]! |= has.words[word]!; // of equal length
    }
    if (someFar) this.#gateways.filter(far, nowMs, this.pieceMs);
    const masked = this.#masked.words;
    for (let word = 0; word < near.length; word++) near[word] = (near[word]! | far[word]!) & ~masked[word]!; // likewise
    return near;
  }

  #urgentPiece(candidates: Uint32Array): number | undefined {
    if (this.#urgent === undefined) return undefined;
    const end = Math.min(this.pieceCount, this.#urgent.first + this.#urgent.count);
    for (let index = this.#urgent.first; index < end; index++) {
      if (((candidates[index >>> 5]! >>> (index & 31)) & 1) === 1) return index; // within the pieces
    }
    return undefined;
  }

  #rarest(candidates: Uint32Array): number | undefined {
    let best: number | undefined;
    let fewest = Infinity;
    let ties = 0;
    for (let word = 0; word < candidates.length; word++) {
      for (let rest = candidates[word]!; rest !== 0; rest &= rest - 1) {
        const index = (word << 5) | lowestBitOf(rest);
        const copies = this.#copies[index]!; // a candidate is a piece
        if (copies > fewest) continue;
        ties = copies < fewest ? 1 : ties + 1;
        fewest = copies;
        if (this.#options.random.below(ties) === 0) best = index; // each tie is equally likely to stay
      }
    }
    return best;
  }

  #chooseHolder(able: readonly Neighbour<K>[], piece: number): Neighbour<K> {
    let best: Neighbour<K> | undefined;
    let bestCost = Infinity;
    let ties = 0;
    const mayCross = this.#gateways.mayCross(piece);
    for (const neighbour of able) {
      if (!neighbour.has.has(piece) || (neighbour.distance > 0 && !mayCross)) continue;
      const cost = neighbour.load + (neighbour.held.has(piece) ? 0 : RELAY_COST) + Math.min(neighbour.distance, 1) * DISTANCE_COST;
      if (cost > bestCost) continue;
      ties = cost < bestCost ? 1 : ties + 1;
      bestCost = cost;
      if (this.#options.random.below(ties) === 0) best = neighbour;
    }
    return best!; // a candidate has a holder among those that made it one
  }

  /** Nothing is left to ask for but what is on its way: the oldest of few last pieces is asked of a second holder. */
  #endgame(able: readonly Neighbour<K>[], nowMs: number): SwarmChoice<K> | undefined {
    if (this.missingCount > 2 * this.#options.slots || this.#masked.count() < this.pieceCount) return undefined;
    let oldest: { readonly piece: number; readonly neighbour: Neighbour<K>; readonly sinceMs: number } | undefined;
    for (const [piece, requests] of this.#requests) {
      if (requests.size > 1 || this.#held.has(piece)) continue;
      const [[first, { sinceMs }]] = requests as unknown as readonly [readonly [K, Request]]; // there is one
      if (nowMs - sinceMs < Math.max(ENDGAME_AFTER_MS, this.pieceMs) || (oldest !== undefined && oldest.sinceMs <= sinceMs)) continue;
      const other = able.find((neighbour) => neighbour.key !== first && neighbour.held.has(piece));
      if (other !== undefined) oldest = { piece, neighbour: other, sinceMs };
    }
    return oldest === undefined ? undefined : this.#request(oldest.piece, oldest.neighbour, true, nowMs);
  }

  #request(piece: number, neighbour: Neighbour<K>, duplicate: boolean, nowMs: number): SwarmChoice<K> {
    const requests = this.#requests.get(piece) ?? new Map<K, Request>();
    requests.set(neighbour.key, { sinceMs: nowMs, ending: false });
    this.#requests.set(piece, requests);
    this.#inFlight++;
    neighbour.inFlight++;
    neighbour.load += neighbour.loadOfOne;
    this.#mask(piece);
    return { piece, neighbour: neighbour.key, duplicate };
  }

  #mask(piece: number): void {
    if (this.#held.has(piece) || this.#claimed.has(piece) || this.#requests.has(piece)) this.#masked.set(piece);
    else this.#masked.clear(piece);
  }

  #with(neighbour: Neighbour<K>, index: number, nowMs: number): void {
    if (index >= this.pieceCount || neighbour.has.has(index)) return;
    neighbour.has.set(index);
    this.#seen(neighbour, index, nowMs);
  }

  #seen(neighbour: Neighbour<K>, index: number, nowMs: number): void {
    this.#copies[index]!++; // within the pieces
    if (neighbour.distance > 0) this.#gateways.seenOutside(index, nowMs);
  }

  #without(neighbour: Neighbour<K>, index: number): void {
    if (index >= this.pieceCount || !neighbour.has.has(index)) return;
    neighbour.has.clear(index);
    neighbour.held.clear(index);
    this.#copies[index]!--; // one per piece
  }
}
