import { hashOf } from "../../base/fnv.ts";
import { distanceOf } from "./nearness.ts";
import { rosterOf, type Bag, type Roster } from "./roster.ts";
import { add, pairRejectionOf, type Moment, type Rejection, type Rejections } from "./rules.ts";
import { isReading, isWhole, NEVER, type Peer } from "./state.ts";

// Which peers of ours are to trade pieces with each other. The scheduler makes a graph and leaves pieces alone: near-regular, since
// whoever has more neighbours than others is asked more than it can give; with chance in it, since then every two are few steps apart.

/** Share of the neighbours that are in the same rack, and the least that are not. */
const NEAR_SHARE = 0.65;
const FAR_MIN = 4;
/** Neighbours that have everything, where there are such. */
const HOLDERS = 4;
/** Candidates looked at for one place: enough to find one with few neighbours, few enough for thousands of registrations a second. */
const DRAWN_PER_PLACE = 2;
/** Of the places, how many go to whoever is drawn: by lowest degree alone newcomers would know newcomers only. */
const CHANCE_SHARE = 1 / 3;
/**
 * Of its neighbours, the part that a peer is given when it comes. The others follow when the rest of a crowd has come: those who come first
 * would else know only each other.
 */
const FIRST_SHARE = 1 / 3;

export interface Introduction {
  readonly peers: readonly Peer[];
  /** What spoke against those that were looked at. */
  readonly rejections: Rejections;
}

/** It was told of neighbours before. */
export const wasIntroduced = (peer: Peer): boolean => peer.keysTold !== NEVER;

/** It has fewer neighbours than it should, and there are more to be had. With some that have everything it needs no more of them. */
export function isThin(peer: Peer, moment: Moment): boolean {
  const { traders } = peer.task.roster;
  const { length } = peer.neighbours;
  if (length >= Math.min(floorOf(moment), traders.size - (traders.has(peer) ? 1 : 0))) return false;
  return length < firstOf(moment) || peer.neighbours.reduce((sum, other) => sum + (isWhole(other) ? 1 : 0), 0) < HOLDERS;
}

/** Neighbours that a peer is given when it comes. */
const firstOf = ({ config }: Moment): number => Math.ceil(config.neighboursMax * FIRST_SHARE);
/** Neighbours below which a peer is given more. */
const floorOf = ({ config }: Moment): number => Math.ceil((config.neighboursMax * 2) / 3);
/** Neighbours up to which a peer is given to newcomers that find nobody else. */
const ceilingOf = ({ config }: Moment): number => Math.ceil((config.neighboursMax * 5) / 3);

/** More neighbours for a peer: whoever reads the source, some that have everything, and others until it has enough. */
export function moreNeighbours(child: Peer, moment: Moment, relaxation: "none" | "blocks"): Introduction {
  const search = new Search(child, moment, relaxation);
  search.readers();
  search.holders();
  if (isThin(child, moment) || child.neighbours.length === 0 || !child.introduced) search.others();
  return { peers: search.found, rejections: search.rejections };
}

class Search {
  readonly found: Peer[] = [];
  readonly rejections: Partial<Record<Rejection, number>> = {};
  readonly #child: Peer;
  readonly #moment: Moment;
  readonly #relaxation: "none" | "blocks";
  readonly #roster: Roster;
  /** Whether the rules let a candidate pass; what is taken, or not to be taken, does not. */
  readonly #passing = new Map<Peer, boolean>();
  #draws: number;

  constructor(child: Peer, moment: Moment, relaxation: "none" | "blocks") {
    this.#child = child;
    this.#moment = moment;
    this.#relaxation = relaxation;
    this.#roster = rosterOf(child.task, moment);
    for (const peer of [child, ...child.neighbours]) this.#passing.set(peer, false);
    this.#draws = (hashOf(child.id) ^ Math.imul(this.#roster.traders.size + 1, 0x9e3779b9)) >>> 0 || 1;
  }

  get #count(): number {
    return this.#child.neighbours.length + this.found.length;
  }

  readers(): void {
    const { rootNeighboursMax } = this.#moment.config;
    for (const reader of this.#child.task.readers) {
      if (isReading(reader) && this.#roster.traders.has(reader) && reader.neighbours.length < rootNeighboursMax && this.#passes(reader))
        this.#take(reader);
    }
  }

  holders(): void {
    const { roots, traders } = this.#roster;
    const lacking = HOLDERS - this.#child.neighbours.filter(isWhole).length;
    if (lacking <= 0 || roots.size === 0) return;
    const isFit = (peer: Peer): boolean =>
      isWhole(peer) && traders.has(peer) && peer.neighbours.length < this.#moment.config.rootNeighboursMax && this.#passes(peer);
    const drawn = this.#draw(roots, HOLDERS * DRAWN_PER_PLACE).filter(isFit);
    // A host that is there to serve, a near one, one that few others have.
    const rank = (peer: Peer): number => (peer.host.facts.seed ? 0 : 1e6) + this.#distanceTo(peer) * 1e4 + peer.neighbours.length;
    for (const peer of drawn.toSorted((a, b) => rank(a) - rank(b)).slice(0, lacking)) this.#take(peer);
  }

  others(): void {
    const { neighboursMax } = this.#moment.config;
    const isNew = !wasIntroduced(this.#child);
    const target = isNew ? firstOf(this.#moment) : neighboursMax;
    const floor = Math.min(target, floorOf(this.#moment));
    const { traders, racks } = this.#roster;
    const { rack } = this.#child.host.facts.place;
    const near = racks.get(rack);
    if (near !== undefined && near.size < traders.size) {
      const inRack = [...this.#child.neighbours, ...this.found].filter((peer) => peer.host.facts.place.rack === rack).length;
      const outside = this.#count - inRack;
      const nearMax = Math.min(Math.round(target * NEAR_SHARE), target - FAR_MIN);
      this.#fill(near, { least: Math.round(floor * NEAR_SHARE) - inRack, most: nearMax - inRack });
      // Room is left for those of the rack that are still to come.
      const most = Math.max(target - nearMax - outside, floor - this.#count);
      this.#fill(traders, { least: Math.max(FAR_MIN - outside, floor - this.#count), most }, (peer) => peer.host.facts.place.rack !== rack);
      this.#fill(near, { least: floor - this.#count, most: target - this.#count });
    } else this.#fill(traders, { least: floor - this.#count, most: target - this.#count });
    if (this.#count === 0) this.#fill(traders, { least: 1, most: floor, ceiling: Infinity });
  }

  /** Finds peers of a list: `most` of those that have too few neighbours themselves, and of others only as many as make up `least`. */
  #fill(
    bag: Bag,
    places: { readonly least: number; readonly most: number; readonly ceiling?: number },
    suits: (peer: Peer) => boolean = () => true,
  ): void {
    const { neighboursMax } = this.#moment.config;
    const { least, most, ceiling = ceilingOf(this.#moment) } = places;
    if (most <= 0) return;
    const drawn = this.#draw(bag, most * DRAWN_PER_PLACE).filter(
      (peer) => peer.neighbours.length < ceiling && suits(peer) && this.#passes(peer),
    );
    const byChance = Math.ceil(most * CHANCE_SHARE);
    const ranked = [...drawn.slice(0, byChance), ...drawn.slice(byChance).toSorted((a, b) => a.neighbours.length - b.neighbours.length)];
    let taken = 0;
    for (const peer of ranked) {
      if (taken === most) return;
      if (taken >= least && peer.neighbours.length >= neighboursMax) continue;
      this.#take(peer);
      taken++;
    }
  }

  /** Different ones in any order, all of them where there are not many. */
  #draw(bag: Bag, count: number): Peer[] {
    const { peers } = bag;
    if (peers.length <= count * 2) return this.#shuffled(peers);
    const places = new Set<number>();
    while (places.size < count) places.add(this.#below(peers.length));
    return [...places].map((at) => peers[at]!); // within the list
  }

  #shuffled(peers: readonly Peer[]): Peer[] {
    const copy = [...peers];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.#below(i + 1);
      [copy[i], copy[j]] = [copy[j]!, copy[i]!]; // both within the copy
    }
    return copy;
  }

  /** xorshift32: the same peers are introduced to each other in every run of the same events. */
  #below(bound: number): number {
    let x = this.#draws;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#draws = x >>> 0;
    return this.#draws % bound;
  }

  #passes(peer: Peer): boolean {
    const known = this.#passing.get(peer);
    if (known !== undefined) return known;
    const rejection = pairRejectionOf({ child: this.#child, parent: peer, moment: this.#moment, relaxation: this.#relaxation });
    if (rejection !== undefined) add(this.rejections, rejection, 1);
    this.#passing.set(peer, rejection === undefined);
    return rejection === undefined;
  }

  #take(peer: Peer): void {
    this.found.push(peer);
    this.#passing.set(peer, false);
  }

  #distanceTo(peer: Peer): number {
    return distanceOf(this.#child.host.facts.place, peer.host.facts.place);
  }
}
