import { createRandom } from "../../src/base/random.ts";
import { MeshConfig } from "../../src/p2p/daemon/mesh/config.ts";
import type { PeerId } from "../../src/p2p/model/ids.ts";
import type { Effect } from "../../src/p2p/scheduler/events.ts";
import { DecisionTimes } from "./decision-times.ts";
import { SchedulerModel } from "./scheduler-model.ts";
import { SwarmModel, type Node } from "./swarm-model.ts";

export interface CrowdScenario {
  readonly peers: number;
  readonly pieces: number;
  readonly contentBytes: number;
  /** Of every host, up and down. */
  readonly bytesPerSecond: number;
  /** What the hosts send at in turn, in such rates; the seed sends at one. */
  readonly uplinks: readonly number[];
  /** How much faster than a host the source is. */
  readonly sourceFactor: number;
  readonly joinMs: number;
  readonly stepMs: number;
  /** Of a hundred peers, those whose machines die on the way. */
  readonly deaths: number;
  /** Of the scheduler. */
  readonly sourceShareMax: number;
  readonly seed: number;
}

const TICK_MS = 200;
const BEAT_MS = 1000;
/** From the scheduler's word to the connection between two hosts. */
const CONNECT_MS = 5;
const GIVE_UP_FACTOR = 20;
/** Of its link, what a peer reads the source with that trades as well. */
const READ_SHARE = 0.5;

interface Part {
  readonly first: number;
  readonly end: number;
}

/** What one reads of the source. */
interface Reading {
  readonly parts: readonly Part[];
  readonly sinceMs: number;
  credit: number;
  /** Pieces. */
  read: number;
}

function* piecesOf({ first, end }: Part): Generator<number> {
  for (let piece = first; piece < end; piece++) yield piece;
}

/** Everybody wants the same content at once; one seed reads the source for all. */
export class Crowd {
  readonly times = new DecisionTimes();
  readonly scheduler: SchedulerModel;
  readonly swarm: SwarmModel;
  readonly #scenario: CrowdScenario;
  readonly #random;
  readonly #byPeer = new Map<PeerId, Node>();
  readonly #due: { readonly atMs: number; readonly work: () => void }[] = [];
  readonly #joinedAtMs: number[] = [];
  #left: number;
  /** Who reads the source now, and which parts of it. */
  readonly #readers = new Map<Node, Reading>();
  /** Of a link, in pieces per millisecond. */
  readonly #rate: number;
  #nowMs = 0;

  constructor(scenario: CrowdScenario) {
    const { peers, pieces, contentBytes, bytesPerSecond, uplinks, sourceShareMax, seed } = scenario;
    this.#scenario = scenario;
    this.#random = createRandom(seed);
    this.scheduler = new SchedulerModel(
      { contentLength: contentBytes, pieceLength: contentBytes / pieces, pieceCount: pieces },
      this.times,
      { sourceShareMax },
    );
    this.swarm = new SwarmModel({ pieces, blocksPerPiece: 16, mesh: MeshConfig.parse({}), seed });
    this.#left = peers;
    this.#rate = (bytesPerSecond * pieces) / contentBytes / 1000;
    for (let at = 0; at <= peers; at++) {
      const wire = this.scheduler.attach(at, at === peers);
      const uplink = at === peers ? 1 : uplinks[at % uplinks.length]!; // there is one at least
      this.#byPeer.set(wire.peerId, this.swarm.add(wire, { up: this.#rate * uplink, down: this.#rate }));
    }
    this.scheduler.onEffect = (effect) => this.#perform(effect);
    this.swarm.onFinished = (node) => this.#finished(node);
  }

  /** Of the whole distribution, when nothing is lost: every host at its own rate from when the last has come. */
  get boundMs(): number {
    const { contentBytes, bytesPerSecond, joinMs } = this.#scenario;
    return joinMs + (contentBytes * 1000) / bytesPerSecond;
  }

  run(): void {
    const { peers, stepMs, joinMs, deaths } = this.#scenario;
    for (let at = 0; at < peers; at++) {
      const joinedAtMs = Math.floor(this.#random.next() * joinMs);
      this.#joinedAtMs[at] = joinedAtMs;
      this.#at(joinedAtMs, () => this.#join(at));
      const dies = this.#random.below(100) < deaths;
      if (dies) this.#at(joinMs + this.#random.next() * (this.boundMs - joinMs), () => this.#die(at));
    }
    let [nextTickMs, nextBeat] = [0, 0];
    while (this.#left > 0) {
      this.#nowMs += stepMs;
      this.scheduler.nowMs = this.#nowMs;
      if (this.#nowMs > this.boundMs * GIVE_UP_FACTOR) throw new Error(`${this.#left} peers have not finished`);
      this.#runDue();
      for (; nextBeat * BEAT_MS < this.#nowMs * (peers + 1); nextBeat++) this.#beat(nextBeat % (peers + 1));
      for (; nextTickMs <= this.#nowMs; nextTickMs += TICK_MS) this.scheduler.tick();
      this.#readSource(stepMs);
      this.swarm.step(this.#nowMs, stepMs);
    }
  }

  /** How long each that lived took from its own start. */
  ownMs(): readonly number[] {
    return this.#peers()
      .filter(({ alive }) => alive)
      .map(({ index, finishedAtMs }) => finishedAtMs! - this.#joinedAtMs[index]!); // the run ended with all of them finished
  }

  get lastMs(): number {
    return Math.max(...this.#peers().map(({ finishedAtMs }) => finishedAtMs ?? 0));
  }

  #peers(): readonly Node[] {
    return this.swarm.nodes.slice(0, this.#scenario.peers);
  }

  #join(at: number): void {
    this.scheduler.register(this.swarm.nodes[at]!, false); // one per peer
  }

  #die(at: number): void {
    const node = this.swarm.nodes[at]!; // one per peer
    if (!node.alive) return;
    if (node.finishedAtMs === undefined) this.#left--;
    this.swarm.kill(node);
    this.scheduler.detach(at, node);
  }

  #beat(at: number): void {
    const node = this.swarm.nodes[at]!; // one per peer
    if (!node.alive) return;
    const runs = node.finishedAtMs === undefined && node.heldCount > 0;
    const reading = this.#readers.get(node);
    const source = reading && {
      bytes: reading.read * this.scheduler.layout.pieceLength,
      elapsedMs: this.#nowMs - reading.sinceMs,
      connections: 1,
    };
    this.scheduler.beat(at, node, runs ? { finishedPieces: node.held.toBytes(this.#scenario.pieces), source } : undefined);
  }

  #finished(node: Node): void {
    if (node.index < this.#scenario.peers) this.#left--;
    if (this.#readers.delete(node)) this.swarm.setReading(node, false, this.#rate);
    this.scheduler.finish(node);
  }

  /** Each reads its parts in their order. Half of a peer's link is left for what others send it; a seed has no other use for its own. */
  #readSource(stepMs: number): void {
    const { sourceFactor } = this.#scenario;
    for (const [node, reading] of this.#readers) {
      if (!node.alive || node.finishedAtMs !== undefined) continue;
      const isSeed = node.index === this.#scenario.peers;
      const share = Math.min(isSeed ? 1 : READ_SHARE, sourceFactor / this.#readers.size);
      reading.credit += this.#rate * share * stepMs;
      const next = (): number | undefined =>
        reading.parts
          .values()
          .flatMap(piecesOf)
          .find((piece) => !node.held.has(piece));
      for (let piece = next(); piece !== undefined && reading.credit >= 1; piece = next()) {
        reading.credit--;
        reading.read++;
        this.swarm.gain(node, piece);
      }
      const isOver = next() === undefined;
      this.swarm.setReading(node, !isOver, isOver || isSeed ? this.#rate : this.#rate * (1 - share));
      if (isOver) this.#readers.delete(node);
    }
  }

  #perform(effect: Effect): void {
    // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the others change nothing here
    switch (effect.do) {
      case "offerParents":
        return this.#soon(() => this.#introduce(effect.peerId, effect.neighbours));
      case "needBackToSource":
        return this.#soon(() => this.#startReading(effect.peerId));
      case "triggerSeed":
        return this.#soon(() => this.scheduler.register(this.swarm.nodes[this.#scenario.peers]!, true)); // the seed is the last
      case "shareSource":
        return this.#soon(() => this.#share(this.#byPeer.get(effect.peerId)!, effect.spans)); // the scheduler knows no others
      default:
        return;
    }
  }

  #introduce(peerId: PeerId, neighbours: readonly PeerId[]): void {
    const node = this.#byPeer.get(peerId)!; // the scheduler knows no others
    for (const id of neighbours) this.swarm.link(node, this.#byPeer.get(id)!); // likewise
  }

  #startReading(peerId: PeerId): void {
    const node = this.#byPeer.get(peerId)!; // as above
    if (!node.alive) return;
    this.#share(node, [{ first: 0, end: this.#scenario.pieces }]);
    this.scheduler.readsSource(node);
  }

  #share(node: Node, parts: readonly Part[]): void {
    if (!node.alive || node.finishedAtMs !== undefined) return;
    const known = this.#readers.get(node);
    for (const piece of (known?.parts ?? []).flatMap((part) => [...piecesOf(part)])) node.swarm.claim(piece, false);
    for (const piece of parts.flatMap((part) => [...piecesOf(part)])) node.swarm.claim(piece, true);
    this.#readers.set(node, { parts, credit: known?.credit ?? 0, read: known?.read ?? 0, sinceMs: known?.sinceMs ?? this.#nowMs });
  }

  /** When the scheduler's word has arrived and is followed. */
  #soon(work: () => void): void {
    this.#at(this.#nowMs + CONNECT_MS, work);
  }

  #at(atMs: number, work: () => void): void {
    this.#due.push({ atMs, work });
  }

  #runDue(): void {
    const due = this.#due.filter(({ atMs }) => atMs <= this.#nowMs);
    if (due.length === 0) return;
    const later = this.#due.filter(({ atMs }) => atMs > this.#nowMs);
    this.#due.splice(0, this.#due.length, ...later);
    for (const { work } of due.toSorted((a, b) => a.atMs - b.atMs)) work();
  }
}
