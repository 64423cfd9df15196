import { createRandom, type Random } from "../../src/base/random.ts";
import { Bits } from "../../src/p2p/daemon/mesh/bits.ts";
import type { MeshConfig } from "../../src/p2p/daemon/mesh/config.ts";
import { lazyNewsWaitMs, newsWaitMs } from "../../src/p2p/daemon/mesh/news-wait.ts";
import { Offers } from "../../src/p2p/daemon/mesh/offers.ts";
import { SlotLimit } from "../../src/p2p/daemon/mesh/slot-limit.ts";
import { Swarm } from "../../src/p2p/daemon/mesh/swarm.ts";
import { Flows, type Flow } from "./flows.ts";
import type { PeerWire } from "./scheduler-model.ts";

export interface SwarmSettings {
  readonly pieces: number;
  /** Parts of a piece that are passed on one by one. */
  readonly blocksPerPiece: number;
  /** Of our daemons. */
  readonly mesh: MeshConfig;
  readonly seed: number;
}

/** How often a daemon measures its link. */
const MEASURED_MS = 1000;

/** One host with its download. */
export interface Node extends PeerWire {
  readonly index: number;
  readonly swarm: Swarm<number>;
  readonly held: Bits;
  heldCount: number;
  readonly neighbours: Node[];
  readonly incoming: Flow[];
  readonly offers: Offers;
  /** Of one that reads the source: pieces that were sent to nobody yet, and the neighbours that wait for one. */
  readonly unsent: Set<number>;
  readonly waiting: Set<Node>;
  sendsUnique: boolean;
  reading: boolean;
  uploads: number;
  readonly limit: SlotLimit;
  /** The most that was seen on it. */
  readonly link: { upload: number; download: number };
  sentCount: number;
  readonly refused: Set<number>;
  news: News;
  newsDueMs: number;
  readonly announced: Set<number>;
  /** Looks for something to ask for in this step. */
  pumping: boolean;
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
  readonly #pumping: Node[] = [];
  readonly #holdingBack = new Set<Node>();
  #nowMs = 0;
  #measuredMs = 0;

  constructor(settings: SwarmSettings) {
    this.#settings = settings;
    this.#random = createRandom(settings.seed);
    this.#flows = new Flows(settings.blocksPerPiece);
  }

  /** Rates are in pieces per millisecond. */
  add(wire: PeerWire, rates: { readonly up: number; readonly down: number }): Node {
    const { pieces, mesh } = this.#settings;
    const { downloadSlots, perNeighbourMax, reofferMs } = mesh;
    const node: Node = {
      ...wire,
      index: this.nodes.length,
      swarm: new Swarm<number>({ pieceCount: pieces, slots: downloadSlots, perNeighbourMax, random: this.#random, self: wire.hostId }),
      held: new Bits(pieces),
      heldCount: 0,
      neighbours: [],
      incoming: [],
      offers: new Offers(reofferMs),
      unsent: new Set(),
      waiting: new Set(),
      sendsUnique: false,
      reading: false,
      uploads: 0,
      limit: new SlotLimit(mesh.uploadSlots),
      link: { upload: 0, download: 0 },
      sentCount: 0,
      refused: new Set(),
      news: noNews(),
      newsDueMs: Infinity,
      announced: new Set(),
      pumping: false,
      alive: true,
      finishedAtMs: undefined,
    };
    this.nodes.push(node);
    this.#flows.addNode(rates);
    return node;
  }

  /** They connect and tell each other what they have. */
  link(a: Node, b: Node): void {
    const { neighboursMax } = this.#settings.mesh;
    if (a === b || !a.alive || !b.alive || a.neighbours.includes(b)) return;
    if (a.neighbours.length >= neighboursMax || b.neighbours.length >= neighboursMax) return;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      from.neighbours.push(to);
      from.swarm.add(to.index, { name: to.hostId, distance: 0 });
      from.swarm.replace(to.index, this.#bitmapsOf(to), this.#nowMs);
      this.#pumpSoon(from);
      if (to.sendsUnique) this.#wait(from, to);
    }
  }

  /** The node reads the source from now on, or has read its part; `down` (pieces per millisecond) is left for what others send it. */
  setReading(node: Node, reading: boolean, down: number): void {
    this.#flows.setDown(node.index, down);
    if (node.reading === reading) return;
    node.reading = reading;
    if (reading) {
      node.sendsUnique = true;
      for (const other of node.neighbours) this.#wait(other, node);
    }
    this.#giveUnique(node);
  }

  /** From the source, or at the beginning. */
  gain(node: Node, piece: number): void {
    if (node.held.has(piece)) return;
    node.held.set(piece);
    node.heldCount++;
    node.swarm.got(piece);
    if (node.reading) {
      node.unsent.add(piece);
      this.#giveUnique(node);
    } else {
      node.news.held.push(piece);
      this.#tellIn(node, node.announced.delete(piece) ? lazyNewsWaitMs : newsWaitMs);
    }
    for (const flow of node.incoming.filter((one) => one.piece === piece)) this.#end(flow);
    if (node.heldCount < this.#settings.pieces) return;
    node.finishedAtMs = this.#nowMs;
    for (const flow of node.incoming.slice()) this.#end(flow);
    this.onFinished?.(node);
  }

  /** Its machine is gone; its neighbours see the connections break. */
  kill(node: Node): void {
    node.alive = false;
    for (const other of node.neighbours) {
      other.waiting.delete(node);
      other.neighbours.splice(other.neighbours.indexOf(node), 1);
      for (const flow of other.incoming.filter(({ from }) => from === node.index)) this.#end(flow);
      other.swarm.remove(node.index);
      other.refused.delete(node.index);
      this.#pumpSoon(other);
    }
    for (const flow of node.incoming.slice()) this.#end(flow);
    node.neighbours.length = 0;
  }

  step(nowMs: number, stepMs: number): void {
    this.#nowMs = nowMs;
    this.#deliver();
    this.#offerAgain();
    for (const node of this.#pumping) this.#pump(node);
    for (const node of this.#pumping) node.pumping = false;
    this.#pumping.length = 0;
    for (const flow of this.#flows.advance(nowMs, stepMs)) this.#progressed(flow);
    this.#measure();
    for (const flow of this.#flows.stalled(nowMs, this.#settings.mesh.stallMs)) this.#stalls(flow);
  }

  /** A piece that nobody was sent yet goes to who has waited longest; once there is none and will be none, everything is for everybody. */
  #giveUnique(node: Node): void {
    if (!node.sendsUnique) return;
    for (const other of node.waiting) {
      if (node.uploads >= node.limit.now) return node.limit.refused();
      const piece = node.unsent.values().find((one) => !node.swarm.hasPiece(other.index, one));
      if (piece === undefined) continue;
      node.waiting.delete(other);
      node.unsent.delete(piece);
      if (!other.swarm.isWanted(piece)) continue;
      other.swarm.begun(piece, node.index, this.#nowMs);
      this.#send(node, other, piece);
      this.#wait(other, node);
    }
    if (node.unsent.size > 0 || node.reading) return;
    node.sendsUnique = false;
    node.waiting.clear();
    node.news.held.push(...node.offers.all());
    this.#tellIn(node, newsWaitMs);
  }

  #wait(node: Node, at: Node): void {
    if (node.finishedAtMs === undefined && at.sendsUnique) at.waiting.add(node);
  }

  #isOffered(node: Node, piece: number): boolean {
    return !node.sendsUnique || (!node.unsent.has(piece) && node.offers.isOffered(piece));
  }

  #bitmapsOf(node: Node) {
    const { held, incoming } = node;
    const { pieces, blocksPerPiece } = this.#settings;
    const offered = new Bits(pieces);
    const started = new Bits(pieces);
    for (let piece = 0; piece < pieces; piece++) if (held.has(piece) && this.#isOffered(node, piece)) offered.set(piece);
    for (const { piece, done } of incoming) if (done >= 1 / blocksPerPiece) started.set(piece);
    return { held: offered.toBytes(pieces), started: started.toBytes(pieces) };
  }

  #deliver(): void {
    for (const node of this.#telling) {
      if (node.newsDueMs > this.#nowMs) continue;
      this.#telling.delete(node);
      node.newsDueMs = Infinity;
      const { news, neighbours } = node;
      node.news = noNews();
      for (const other of neighbours) {
        if (other.finishedAtMs !== undefined && node.finishedAtMs !== undefined) continue; // they have nothing to tell each other
        other.swarm.note(node.index, news, this.#nowMs);
        other.swarm.busyWith(node.index, { uploads: node.uploads, slots: node.limit.now });
        if (other.finishedAtMs === undefined) this.#pumpSoon(other);
      }
    }
  }

  #tellIn(node: Node, waitMs: typeof newsWaitMs): void {
    this.#telling.add(node);
    const pace = { tickMs: this.#settings.mesh.tickMs, pieceMs: node.swarm.pieceMs };
    node.newsDueMs = Math.min(node.newsDueMs, this.#nowMs + waitMs(pace));
  }

  #offerAgain(): void {
    for (const node of this.#holdingBack) {
      const due = node.offers.due(this.#nowMs, (piece) => node.swarm.isThere(piece));
      if (node.offers.heldBack.size === 0) this.#holdingBack.delete(node);
      if (due.length === 0) continue;
      node.news.held.push(...due);
      this.#tellIn(node, lazyNewsWaitMs);
    }
  }

  #pumpSoon(node: Node): void {
    if (node.pumping) return;
    node.pumping = true;
    this.#pumping.push(node);
  }

  #pump(node: Node): void {
    if (!node.alive || node.finishedAtMs !== undefined) return;
    for (let choice = node.swarm.next(this.#nowMs); choice !== undefined; choice = node.swarm.next(this.#nowMs)) {
      const { piece, neighbour } = choice;
      this.#ask(node, this.nodes[neighbour]!, piece); // neighbours are nodes
    }
  }

  #ask(node: Node, from: Node, piece: number): void {
    const refusal = this.#refusalOf(node, from, piece);
    if (refusal === undefined) return this.#send(from, node, piece);
    node.swarm.ended(piece, from.index);
    if (refusal === "busy") node.swarm.busy(from.index, this.#nowMs);
    else node.swarm.hasNot(from.index, piece);
  }

  /** As the daemon that is asked decides. */
  #refusalOf(node: Node, from: Node, piece: number): "busy" | "not-found" | "elsewhere" | undefined {
    const { blocksPerPiece } = this.#settings;
    if (!from.held.has(piece)) {
      if (!from.incoming.some((flow) => flow.piece === piece && flow.done >= 1 / blocksPerPiece)) return "not-found";
    } else if (!this.#isOffered(from, piece) && from.swarm.isThere(piece)) return "elsewhere";
    if (from.uploads < from.limit.now) return undefined;
    from.limit.refused();
    from.refused.add(node.index);
    return "busy";
  }

  #send(from: Node, to: Node, piece: number): void {
    from.uploads++;
    from.sentCount++;
    this.sent++;
    if (from.held.has(piece) && from.sendsUnique) {
      from.unsent.delete(piece);
      from.offers.sent(piece, this.#nowMs);
      from.news.dropped.push(piece);
      this.#tellIn(from, newsWaitMs);
      this.#holdingBack.add(from);
    }
    const upstream = from.held.has(piece) ? undefined : from.incoming.find((flow) => flow.piece === piece);
    to.incoming.push(this.#flows.start({ from: from.index, to: to.index, piece, upstream, nowMs: this.#nowMs }));
  }

  #measure(): void {
    if (this.#nowMs - this.#measuredMs < MEASURED_MS) return;
    const elapsedMs = this.#nowMs - this.#measuredMs;
    this.#measuredMs = this.#nowMs;
    for (const { index, limit, link, alive } of this.nodes) {
      if (!alive) continue;
      const passed = this.#flows.takePassed(index);
      link.upload = Math.max(link.upload, passed.up / elapsedMs);
      link.download = Math.max(link.download, passed.down / elapsedMs);
      limit.look(this.#nowMs, link);
    }
  }

  #progressed(flow: Flow): void {
    const node = this.nodes[flow.to]!; // flows are between nodes
    if (!flow.announced && flow.done >= 1 / this.#settings.blocksPerPiece) {
      flow.announced = true;
      node.news.started.push(flow.piece);
      node.announced.add(flow.piece);
      this.#tellIn(node, newsWaitMs);
    }
    if (flow.done < 1) return;
    this.#end(flow);
    if (node.held.has(flow.piece)) this.duplicates++;
    node.swarm.free(flow.from);
    node.swarm.took(this.#nowMs - flow.sinceMs);
    this.gain(node, flow.piece);
  }

  #stalls(flow: Flow): void {
    const { swarm } = this.nodes[flow.to]!; // flows are between nodes
    this.#end(flow);
    swarm.avoid(flow.from, this.#nowMs + this.#settings.mesh.stallMs);
    swarm.hasNot(flow.from, flow.piece);
  }

  #end(flow: Flow): void {
    if (!this.#flows.end(flow)) return;
    const [from, to] = [this.nodes[flow.from]!, this.nodes[flow.to]!]; // flows are between nodes
    to.incoming.splice(to.incoming.indexOf(flow), 1);
    to.swarm.ended(flow.piece, flow.from);
    this.#pumpSoon(to);
    from.uploads--;
    from.offers.took(this.#nowMs - flow.sinceMs);
    this.#giveUnique(from);
    if (from.uploads >= from.limit.now) return;
    const [next] = from.refused;
    if (next === undefined) return;
    from.refused.delete(next);
    this.nodes[next]!.swarm.free(from.index); // it has asked before
    this.#pumpSoon(this.nodes[next]!);
  }
}
