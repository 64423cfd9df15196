import { loosen, unlink } from "./links.ts";
import { PieceSet } from "./piece-set.ts";
import { add, standingRejectionOf, traderRejectionOf, type Moment, type StandingRejection } from "./rules.ts";
import { isActive, isOurs, isReading, isWhole, type Peer, type Task } from "./state.ts";

type Counts = Partial<Record<StandingRejection, number>>;

/** Peers in no order; adding, removing and drawing one are all as cheap with ten thousand of them as with one. */
export class Bag {
  readonly peers: Peer[] = [];
  readonly #place: number;

  /** `place` is the index in every peer's `filing.places` that is this list's. */
  constructor(place: number) {
    this.#place = place;
  }

  get size(): number {
    return this.peers.length;
  }

  has(peer: Peer): boolean {
    return peer.filing.places[this.#place] !== NOWHERE;
  }

  put(peer: Peer, inside: boolean): void {
    if (inside === this.has(peer)) return;
    if (inside) {
      peer.filing.places[this.#place] = this.peers.push(peer) - 1;
      return;
    }
    const at = peer.filing.places[this.#place]!; // has() said so
    const last = this.peers.pop()!; // at least the peer itself
    if (last !== peer) {
      this.peers[at] = last;
      last.filing.places[this.#place] = at;
    }
    peer.filing.places[this.#place] = NOWHERE;
  }
}

const NOWHERE = -1;
const PARENTS = 0;
const ROOTS = 1;
const FOREIGN = 2;
const TRADERS = 3;
const RACK = 4;

export const noPlaces = (): number[] => [NOWHERE, NOWHERE, NOWHERE, NOWHERE, NOWHERE];

/**
 * Who of a task can serve whom, kept up to date peer by peer: to look through all peers for each decision would cost their square. Whoever
 * changes a peer notes it; what follows is worked out when somebody asks.
 */
export class Roster {
  /** May be parents by the classic rules. */
  readonly parents = new Bag(PARENTS);
  /** Of these, those that have everything, or will because they read the source. */
  readonly roots = new Bag(ROOTS);
  /** Of the parents, those that are not ours. */
  readonly foreign = new Bag(FOREIGN);
  /** Of ours, those that may be neighbours. */
  readonly traders = new Bag(TRADERS);
  /** The traders by rack. */
  readonly racks = new Map<string, Bag>();
  readonly parentRejections: Counts = {};
  readonly traderRejections: Counts = {};
  /** Since the news were taken: a new root; a root or something that others may need is gone. */
  #hope = false;
  #loss = false;
  /** When there were some last. */
  newsTakenAtMs = -Infinity;
  /** Somebody came that has something and does not introduce itself by asking. */
  holderCame = false;
  readonly #stale = new Set<Peer>();
  /** Several complained of them; time alone makes it good. */
  readonly #suspects = new Set<Peer>();
  readonly #noted: Set<Roster>;
  #pieces = new PieceSet();
  #piecesStale = false;

  /** Adds itself to `noted` when there is something to work out. */
  constructor(noted: Set<Roster>) {
    this.#noted = noted;
  }

  /** Something about the peer changed that a rule looks at. */
  note(peer: Peer): void {
    this.#stale.add(peer);
    this.#noted.add(this);
  }

  /** It gained pieces and nothing else changed. */
  grew(peer: Peer): void {
    if (this.parents.has(peer)) this.#pieces.mergeSet(peer.pieces);
    else this.note(peer);
  }

  refresh(moment: Moment): this {
    for (const peer of this.#suspects) this.#stale.add(peer);
    for (const peer of this.#stale) this.#refile(peer, moment);
    this.#stale.clear();
    this.#noted.delete(this);
    return this;
  }

  /** What concerns all peers of the task, whose taker looks at all of them. */
  takeNews(nowMs: number): { readonly hope: boolean; readonly loss: boolean } {
    const news = { hope: this.#hope, loss: this.#loss };
    if (news.hope || news.loss) this.newsTakenAtMs = nowMs;
    this.#hope = this.#loss = false;
    return news;
  }

  /** What the parents have together. */
  get pieces(): PieceSet {
    if (this.#piecesStale) {
      this.#piecesStale = false;
      this.#pieces = new PieceSet();
      for (const peer of this.parents.peers) this.#pieces.mergeSet(peer.pieces);
    }
    return this.#pieces;
  }

  #refile(peer: Peer, moment: Moment): void {
    const { filing } = peer;
    const isHere = peer.task.peers.get(peer.id) === peer;
    const wasParent = this.parents.has(peer);
    const wasRoot = this.roots.has(peer);
    const wasKnown = this.traders.has(peer) || this.foreign.has(peer);
    recount(this.parentRejections, filing.parent, -1);
    recount(this.traderRejections, filing.trader, -1);
    filing.parent = isHere ? standingRejectionOf(peer, moment) : undefined;
    filing.trader = isHere ? traderRejectionOf(peer, moment) : undefined;
    recount(this.parentRejections, filing.parent, 1);
    recount(this.traderRejections, filing.trader, 1);
    const isParent = isHere && filing.parent === undefined;
    const isRootNow = isParent && isRoot(peer);
    const trades = isHere && filing.trader === undefined && isOurs(peer.host);
    const isForeign = isParent && !isOurs(peer.host);
    if (!wasKnown && (isForeign || (trades && !isActive(peer)))) this.holderCame = true;
    this.parents.put(peer, isParent);
    this.roots.put(peer, isRootNow);
    this.foreign.put(peer, isForeign);
    this.#putRack(peer, trades);
    this.traders.put(peer, trades);
    if (isHere && (peer.complaints?.size ?? 0) >= moment.config.distrustHosts) this.#suspects.add(peer);
    else this.#suspects.delete(peer);
    if (isParent) this.#pieces.mergeSet(peer.pieces);
    else if (wasParent && peer.pieces.count > 0) this.#piecesStale = this.#loss = true;
    if (wasRoot && !isRootNow) this.#loss = true;
    if (isRootNow && !wasRoot) this.#hope = true;
    if (!isHere || (filing.trader !== undefined && IS_GONE[filing.trader])) loosen(peer);
    // Of two that are through neither wants anything.
    else if (!isActive(peer)) for (const other of peer.neighbours.filter((one) => !isActive(one))) unlink(peer, other);
  }

  #putRack(peer: Peer, inside: boolean): void {
    const { filing } = peer;
    const { rack } = peer.host.facts.place;
    if (rack !== filing.rack) this.#placeIn(filing.rack, peer, false);
    filing.rack = rack;
    this.#placeIn(rack, peer, inside);
  }

  #placeIn(rack: string, peer: Peer, inside: boolean): void {
    const bag = this.racks.get(rack) ?? new Bag(RACK);
    bag.put(peer, inside);
    if (bag.size > 0) this.racks.set(rack, bag);
    else this.racks.delete(rack);
  }
}

export const isRoot = (peer: Peer): boolean => isWhole(peer) || isReading(peer);

export const rosterOf = (task: Task, moment: Moment): Roster => task.roster.refresh(moment);

/** One that only cannot be asked by others goes on as it is. */
const IS_GONE: Readonly<Record<StandingRejection, boolean>> = {
  left: true,
  failed: true,
  "host-silent": true,
  empty: true,
  "not-sharing": false,
  distrusted: false,
};

function recount(counts: Counts, name: StandingRejection | undefined, by: number): void {
  if (name !== undefined) add(counts, name, by);
}
