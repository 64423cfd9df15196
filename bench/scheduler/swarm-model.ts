import { createRandom, type Random } from "../../src/base/random.ts";
import { Bits } from "../../src/p2p/daemon/mesh/bits.ts";
import { Offers } from "../../src/p2p/daemon/mesh/offers.ts";
import { Swarm } from "../../src/p2p/daemon/mesh/swarm.ts";
import { Flows, type Flow } from "./flows.ts";
import type { PeerWire } from "./scheduler-model.ts";

/** What a mesh of our daemons does with its pieces, in the settings that these have by default. */
export interface SwarmSettings {
  readonly pieces: number;
  /** Of a piece, the part that is passed on at once. */
  readonly blocksPerPiece: number;
  readonly downloadSlots: number;
  readonly uploadSlots: number;
  readonly perNeighbourMax: number;
  readonly neighboursMax: number;
  readonly reofferMs: number;
  readonly stallMs: number;
  /** How long news are gathered before they are told. */
  readonly newsMs: number;
  readonly seed: number;
}

/** One host with its download. */
export interface Node extends PeerWire {
  readonly index: number;
  readonly swarm: Swarm<number>;
  readonly held: Bits;
  heldCount: number;
  readonly neighbours: Node[];
  readonly incoming: Flow[];
  readonly offers: Offers;
  /** Reads the source, or has everything: sends each piece once before any twice. */
  uniqueFirst: boolean;
  uploads: number;
  sentCount: number;
  readonly refused: Set<number>;
  news: News;
  alive: boolean;
  finishedAtMs: number | undefined;
}

interface News {
  readonly started: number[];
  readonly held: number[];
  readonly dropped: number[];
}

const noNews = (): News => ({ started: [], held: [], dropped: [] });

/** Pieces, slots and rates. Time moves in steps; what one has to tell the others hear in the next. Losses, disks and hashing are left out. */
export class SwarmModel {
  readonly nodes: Node[] = [];
  /** Pieces that were sent, and those of them that were there already when they arrived. */
  sent = 0;
  duplicates = 0;
  onFinished: ((node: Node) => void) | undefined;
  readonly #settings: SwarmSettings;
  readonly #random: Random;
  readonly #flows: Flows;
  readonly #telling = new Set<Node>();
  readonly #pumping = new Set<Node>();
  readonly #holdingBack = new Set<Node>();
  #nowMs = 0;
  #nextNewsMs = 0;

  constructor(settings: SwarmSettings) {
    this.#settings = settings;
    this.#random = createRandom(settings.seed);
    this.#flows = new Flows(settings.blocksPerPiece);
  }

  /** Rates are in pieces per millisecond. */
  add(wire: PeerWire, rates: { readonly up: number; readonly down: number }): Node {
    const { pieces, downloadSlots, perNeighbourMax, reofferMs } = this.#settings;
    const node: Node = {
      ...wire,
      index: this.nodes.length,
      swarm: new Swarm<number>({ pieceCount: pieces, slots: downloadSlots, perNeighbourMax, random: this.#random, self: wire.hostId }),
      held: new Bits(pieces),
      heldCount: 0,
      neighbours: [],
      incoming: [],
      offers: new Offers(reofferMs),
      uniqueFirst: false,
      uploads: 0,
      sentCount: 0,
      refused: new Set(),
      news: noNews(),
      alive: true,
      finishedAtMs: undefined,
    };
    this.nodes.push(node);
    this.#flows.addNode(rates);
    return node;
  }

  /** They connect and tell each other what they have. */
  link(a: Node, b: Node): void {
    const { neighboursMax } = this.#settings;
    if (a === b || !a.alive || !b.alive || a.neighbours.includes(b)) return;
    if (a.neighbours.length >= neighboursMax || b.neighbours.length >= neighboursMax) return;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.neighbours.push(to);
      from.swarm.add(to.index, { name: to.hostId, distance: 0 });
      from.swarm.replace(to.index, this.#bitmapsOf(to), this.#nowMs);
      this.#pumping.add(from);
    }
  }

  /** From the source, or at the beginning. */
  gain(node: Node, piece: number): void {
    if (node.held.has(piece)) return;
    node.held.set(piece);
    node.heldCount++;
    node.swarm.got(piece);
    node.news.held.push(piece);
    this.#telling.add(node);
    for (const flow of node.incoming.filter((one) => one.piece === piece)) this.#end(flow);
    if (node.heldCount < this.#settings.pieces) return;
    node.uniqueFirst = true;
    node.finishedAtMs = this.#nowMs;
    for (const flow of [...node.incoming]) this.#end(flow);
    this.onFinished?.(node);
  }

  /** Its machine is gone; its neighbours see the connections break. */
  kill(node: Node): void {
    node.alive = false;
    for (const other of node.neighbours) {
      other.neighbours.splice(other.neighbours.indexOf(node), 1);
      for (const flow of other.incoming.filter(({ from }) => from === node.index)) this.#end(flow);
      other.swarm.remove(node.index);
      other.refused.delete(node.index);
      this.#pumping.add(other);
    }
    for (const flow of [...node.incoming]) this.#end(flow);
    node.neighbours.length = 0;
  }

  step(nowMs: number, stepMs: number): void {
    this.#nowMs = nowMs;
    if (nowMs >= this.#nextNewsMs) this.#deliver();
    this.#offerAgain();
    for (const node of this.#pumping) this.#pump(node);
    this.#pumping.clear();
    for (const flow of this.#flows.advance(nowMs, stepMs)) this.#progressed(flow);
    for (const flow of this.#flows.stalled(nowMs, this.#settings.stallMs)) this.#stalls(flow);
  }

  #bitmapsOf({ held, offers, incoming }: Node) {
    const { pieces, blocksPerPiece } = this.#settings;
    const offered = new Bits(pieces);
    const started = new Bits(pieces);
    for (let piece = 0; piece < pieces; piece++) if (held.has(piece) && offers.isOffered(piece)) offered.set(piece);
    for (const { piece, done } of incoming) if (done >= 1 / blocksPerPiece) started.set(piece);
    return { held: offered.toBytes(pieces), started: started.toBytes(pieces) };
  }

  #deliver(): void {
    this.#nextNewsMs = this.#nowMs + this.#settings.newsMs;
    for (const node of this.#telling) {
      const { news, neighbours } = node;
      node.news = noNews();
      for (const other of neighbours) {
        if (other.finishedAtMs !== undefined && node.finishedAtMs !== undefined) continue; // they have nothing to tell each other
        other.swarm.note(node.index, news, this.#nowMs);
        if (other.finishedAtMs === undefined) this.#pumping.add(other);
      }
    }
    this.#telling.clear();
  }

  #offerAgain(): void {
    for (const node of this.#holdingBack) {
      const due = node.offers.due(this.#nowMs);
      if (node.offers.heldBack.size === 0) this.#holdingBack.delete(node);
      if (due.length === 0) continue;
      node.news.held.push(...due);
      this.#telling.add(node);
    }
  }

  #pump(node: Node): void {
    if (!node.alive || node.finishedAtMs !== undefined) return;
    for (let choice = node.swarm.next(this.#nowMs); choice !== undefined; choice = node.swarm.next(this.#nowMs)) {
      const { piece, duplicate, neighbour } = choice;
      this.#ask(node, this.nodes[neighbour]!, piece, !duplicate); // neighbours are nodes
    }
  }

  #ask(node: Node, from: Node, piece: number, orAnother: boolean): void {
    const { swarm } = node;
    const given = this.#decide(node, from, piece, orAnother);
    if (typeof given === "string") {
      swarm.ended(piece, from.index);
      if (given === "busy") swarm.busy(from.index, this.#nowMs);
      else swarm.hasNot(from.index, piece);
      return;
    }
    if (given !== piece) {
      swarm.ended(piece, from.index);
      if (!swarm.isWanted(given)) return;
      swarm.begun(given, from.index, this.#nowMs);
    }
    from.uploads++;
    from.sentCount++;
    this.sent++;
    if (from.held.has(given) && from.uniqueFirst) {
      from.offers.sent(given, this.#nowMs);
      from.news.dropped.push(given);
      this.#telling.add(from);
      this.#holdingBack.add(from);
    }
    const upstream = from.held.has(given) ? undefined : from.incoming.find((flow) => flow.piece === given);
    node.incoming.push(this.#flows.start({ from: from.index, to: node.index, piece: given, upstream, nowMs: this.#nowMs }));
  }

  /** As the daemon that is asked decides. */
  #decide(node: Node, from: Node, piece: number, orAnother: boolean): number | "busy" | "not-found" | "elsewhere" {
    const { uploadSlots, blocksPerPiece } = this.#settings;
    let given = piece;
    if (!from.held.has(piece)) {
      if (!from.incoming.some((flow) => flow.piece === piece && flow.done >= 1 / blocksPerPiece)) return "not-found";
    } else if (from.uniqueFirst && !from.offers.isOffered(piece)) {
      const another = orAnother ? this.#anotherFor(node, from) : undefined;
      if (another === undefined && from.swarm.isThere(piece)) return "elsewhere";
      given = another ?? piece;
    }
    if (from.uploads < uploadSlots) return given;
    from.refused.add(node.index);
    return "busy";
  }

  #anotherFor(node: Node, from: Node): number | undefined {
    const { pieces } = this.#settings;
    const start = this.#random.below(pieces);
    for (let n = 0; n < pieces; n++) {
      const piece = (start + n) % pieces;
      if (from.held.has(piece) && from.offers.isOffered(piece) && !from.swarm.hasPiece(node.index, piece)) return piece;
    }
    return undefined;
  }

  #progressed(flow: Flow): void {
    const node = this.nodes[flow.to]!; // flows are between nodes
    if (!flow.announced && flow.done >= 1 / this.#settings.blocksPerPiece) {
      flow.announced = true;
      node.news.started.push(flow.piece);
      this.#telling.add(node);
    }
    if (flow.done < 1) return;
    this.#end(flow);
    if (node.held.has(flow.piece)) this.duplicates++;
    node.swarm.free(flow.from);
    this.gain(node, flow.piece);
  }

  #stalls(flow: Flow): void {
    const { swarm } = this.nodes[flow.to]!; // flows are between nodes
    this.#end(flow);
    swarm.avoid(flow.from, this.#nowMs + this.#settings.stallMs);
    swarm.hasNot(flow.from, flow.piece);
  }

  #end(flow: Flow): void {
    if (!this.#flows.end(flow)) return;
    const [from, to] = [this.nodes[flow.from]!, this.nodes[flow.to]!]; // flows are between nodes
    to.incoming.splice(to.incoming.indexOf(flow), 1);
    to.swarm.ended(flow.piece, flow.from);
    this.#pumping.add(to);
    from.uploads--;
    const [next] = from.refused;
    if (next === undefined) return;
    from.refused.delete(next);
    this.nodes[next]!.swarm.free(from.index); // it has asked before
    this.#pumping.add(this.nodes[next]!);
  }
}
