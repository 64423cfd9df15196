import type { Clock } from "../../../base/clock.ts";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../base/random.ts";
import { backoffMs } from "../../../base/retry.ts";
import { MeshUpdate, PeerService, type MeshContent, type MeshMessage } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import { ANY_PIECE, UPDATE_BYTES_MAX, type BlockRequest, type End } from "../../../wire/mesh/frames.ts";
import type { PeerId, TaskId } from "../../model/ids.ts";
import { blockBytesOf, pieceCountOf, pieceRangeOf } from "../../model/piece.ts";
import type { StoredTask } from "../../pieces/types.ts";
import type { PeerChannels } from "../channels.ts";
import { Bits } from "./bits.ts";
import type { BlockClient } from "./block-client.ts";
import type { BlockConnection } from "./block-connection.ts";
import type { MeshConfig } from "./config.ts";
import type { RateLimits } from "../rates/types.ts";
import { contentMessage, News, NO_CHANGE, updateMessage, type Change, type ControlLink } from "./control-link.ts";
import { Doubts } from "./doubts.ts";
import { Feed } from "./feed.ts";
import { MeshFetch } from "./mesh-fetch.ts";
import type { MeshMetrics } from "./metrics.ts";
import type { Neighbour } from "./neighbour.ts";
import { lazyNewsWaitMs, newsWaitMs } from "./news-wait.ts";
import { Offers } from "./offers.ts";
import { Outgoing } from "./outgoing.ts";
import { TrustedKeys, type Voucher } from "./proof.ts";
import { Swarm } from "./swarm.ts";
import type { Introduction, LearnedContent, MeshListener } from "./types.ts";
import { UniquePieces } from "./unique-pieces.ts";
import type { UploadSlots } from "./upload-slots.ts";

export interface TaskMeshParts {
  readonly config: MeshConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: MeshMetrics;
  readonly channels: PeerChannels;
  readonly client: BlockClient;
  readonly slots: UploadSlots;
  readonly voucher: Voucher;
  readonly noProgressMs: number;
  readonly limits: RateLimits;
  readonly hello: (taskId: TaskId, peerId: PeerId) => MeshMessage;
  readonly hostId: () => string;
  /** Numbers what is told, of all tasks and times. */
  readonly nextGeneration: () => number;
}

export interface TaskMeshOptions {
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  /** Nobody is left and nobody joined: it may be forgotten. */
  readonly onIdle: () => void;
}

const CONNECT_ATTEMPTS_MAX = 4;
const BACKOFF = { attemptsMax: Infinity, firstMs: 200, maxMs: 2000 };
const REOFFER_LOOK_MS = 250;
/** Who failed too often is not talked to for so long. No longer than a scheduler keeps the two apart. */
const BAN_MS = 45_000;
const RESPONSE_HEADERS_MAX = 64;
/** Updates that may overtake the content that they change. */
const EARLY_MAX = 64;
/** So many pieces fewer than the neighbours believe are being sent: told even when there is nothing else to tell. */
const LIGHTER_BY = 2;

/** Made once: a fresh error for each of many small files is a cost of its own. */
const UNSHARED = new AnaxError("download.cancelled", { reason: "the task is not shared any more" });

/**
 * One task as this host shares it with its neighbours: tells them what is here and what arrives, hears the same from them, decides what
 * each of them gets, and lets a download fetch what is missing. It outlives the download for as long as neighbours want something.
 */
export class TaskMesh implements AsyncDisposable {
  readonly taskId: TaskId;
  readonly #parts: TaskMeshParts;
  readonly #options: TaskMeshOptions;
  readonly #neighbours = new Map<string, Neighbour>();
  /** Peers that are no neighbours, each until then. */
  readonly #banned = new Map<string, number>();
  readonly #keys = new TrustedKeys();
  readonly #news = new News();
  readonly #doubts = new Doubts((work) => this.#run(work));
  readonly #offers: Offers;
  readonly #unique = new UniquePieces<Neighbour, Outgoing | End>(({ sending }) => sending);
  readonly #onFreeSlot = (): void => this.#giveUnique();
  /** Who is believed to be busy is not asked for anything, and then has no news with which to say that it is not. */
  readonly #onLighter = (): void => {
    this.#isLighter = true;
    this.#flushIn(this.#soonMs);
  };
  readonly #stop = new AbortController();
  readonly #work = new Set<Promise<void>>();
  readonly #learned = Promise.withResolvers<LearnedContent>();
  #layout: { readonly contentLength: number; readonly pieceLength: number } | undefined;
  #swarm: Swarm<Neighbour> | undefined;
  #stored: StoredTask | undefined;
  #feed: Feed | undefined;
  #fetch: MeshFetch | undefined;
  #listener: MeshListener | undefined;
  #reading = false;
  #wasReading = false;
  #joined = 0;
  /** Pieces that neighbours were told to be on their way. */
  readonly #announced = new Set<number>();
  /** Fewer pieces are being sent, of all tasks, than the neighbours believe. */
  #isLighter = false;
  #flush: { readonly dueMs: number; readonly timer: Disposable } | undefined;
  #reoffer: Disposable | undefined;

  constructor(parts: TaskMeshParts, options: TaskMeshOptions) {
    this.#parts = parts;
    this.#options = options;
    this.taskId = options.taskId;
    this.#offers = new Offers(parts.config.reofferMs);
    this.#keys.add(parts.voucher.publicKey);
    this.#learned.promise.catch(() => undefined);
  }

  get learned(): Promise<LearnedContent> {
    return this.#learned.promise;
  }

  get neighbourCount(): number {
    return this.#neighbours.size;
  }

  // --- a download of this host takes part

  join(listener: MeshListener): void {
    this.#joined++;
    this.#listener = listener;
  }

  async leave(): Promise<void> {
    this.#joined--;
    if (this.#joined > 0) return;
    const fetch = this.#fetch;
    this.#fetch = undefined;
    this.#listener = undefined;
    await fetch?.[Symbol.asyncDispose]();
    this.#settleWholes();
    this.#idle();
  }

  introduce(peers: readonly Introduction[], readerKeys: readonly Uint8Array[]): void {
    for (const key of readerKeys) this.#keys.add(key);
    for (const peer of peers) this.#meet(peer);
  }

  open(stored: StoredTask): void {
    if (this.#stored === stored) return;
    const { contentLength, pieceLength, pieceCount } = stored.meta;
    if (this.#layout !== undefined && (this.#layout.contentLength !== contentLength || this.#layout.pieceLength !== pieceLength))
      this.#forgetAll(new AnaxError("rpc.failed-precondition", { reason: "another version of the content" }));
    this.#stored = stored;
    // A cold swarm around one that has everything: it too sends each piece once before any twice.
    if (stored.finished.full && this.#neighbours.size === 0) this.#unique.begin(this.#parts.random.shuffle([...Array(pieceCount).keys()]));
    this.#feed = new Feed(stored, this.#parts.voucher, () => this.#wasReading || stored.state === "finished");
    const swarm = this.#swarmFor(stored.meta);
    for (let index = 0; index < pieceCount; index++) if (stored.finished.has(index)) swarm.got(index);
    this.#greetAll();
  }

  fetch(): void {
    const listener = this.#listener;
    if (this.#fetch !== undefined || listener === undefined) return;
    if (this.#stored === undefined || this.#swarm === undefined || this.#feed === undefined) return;
    this.#fetch = new MeshFetch({
      ...this.#parts,
      stored: this.#stored,
      swarm: this.#swarm,
      feed: this.#feed,
      keys: this.#keys,
      listener,
      neighbours: () => this.#neighbours.values(),
      onArriving: (piece) => this.#arriving(piece),
      onDamaged: (neighbour, piece) => this.#tell(neighbour, { ...NO_CHANGE, damaged: [piece] }),
      onUseless: (neighbour, error) => this.#ban(neighbour, error),
      onStandstill: () => this.#askAnew(),
    });
    this.#fetch.pump();
  }

  setReading(reading: boolean): void {
    if (this.#reading === reading) return;
    this.#reading = reading;
    this.#wasReading ||= reading;
    if (reading && !this.#unique.active) {
      this.#unique.begin([]);
      this.#greetAll();
    }
    this.#giveUnique();
  }

  claim(piece: number, claimed: boolean): void {
    this.#swarm?.claim(piece, claimed);
    if (!claimed) this.#fetch?.pump();
  }

  isThere(piece: number): boolean {
    return this.#swarm?.isThere(piece) ?? false;
  }

  isRequested(piece: number): boolean {
    return this.#swarm?.isRequested(piece) ?? false;
  }

  #arriving(piece: number): void {
    this.#announced.add(piece);
    this.#news.started(piece);
    this.#flushIn(this.#soonMs);
  }

  /** The store has another piece, from wherever. */
  held(stored: StoredTask, piece: number): void {
    if (stored !== this.#stored) return;
    this.#swarm?.got(piece);
    if (this.#reading && this.#unique.active && isFromSource(stored, piece)) {
      this.#unique.add(piece);
      return this.#giveUnique();
    }
    this.#news.held(piece);
    // Who knows that it was on its way asks for it all the same.
    this.#flushIn(this.#announced.delete(piece) ? this.#lazyMs : this.#soonMs);
  }

  /** The store has a piece no more: it was damaged. It is fetched again, and given to nobody until then. */
  dropped(stored: StoredTask, piece: number): void {
    if (stored !== this.#stored) return;
    this.#swarm?.lost(piece);
    this.#feed?.forget(piece);
    this.#unique.sent(piece);
    this.#announced.delete(piece);
    this.#news.dropped(piece);
    this.#flushIn(this.#soonMs);
    this.#fetch?.pump();
  }

  /** Somebody reads the content in its order and waits for this piece. */
  want(stored: StoredTask, piece: number): void {
    if (stored !== this.#stored || this.#swarm === undefined) return;
    this.#swarm.want(piece, Math.max(1, this.#parts.config.downloadSlots >> 1));
    this.#fetch?.pump();
  }

  // --- neighbours

  #meet(peer: Introduction): void {
    const { config } = this.#parts;
    if (peer.peerId === this.#options.peerId || peer.hostId === this.#parts.hostId() || this.#isBanned(peer.peerId)) return;
    if (this.#neighbours.has(peer.peerId) || this.#neighbours.size >= config.neighboursMax || this.#stop.signal.aborted) return;
    const neighbour = this.#admitted(peer);
    this.#run(this.#talk(neighbour, peer));
  }

  #admitted({ peerId, hostId, ip, transferPort, distance }: Omit<Introduction, "port">): Neighbour {
    const neighbour: Neighbour = {
      peerId,
      hostId,
      distance,
      address: { ip, port: transferPort },
      links: new Set(),
      callFree: () => this.#sayFree(neighbour),
      toldGeneration: 0,
      toldOver: undefined,
      heardGeneration: 0,
      early: [],
      known: false,
      unique: false,
      waiting: false,
      waitAgainMs: 0,
      sending: 0,
      given: 0,
      damaged: 0,
      falseAlarms: 0,
      failures: 0,
      failedMs: 0,
    };
    this.#neighbours.set(peerId, neighbour);
    this.#parts.metrics.neighbours.inc();
    this.#swarm?.add(neighbour, { name: hostId, distance });
    return neighbour;
  }

  /** Opens the stream to a neighbour and hears it until it or we have enough; tries again when it breaks. */
  async #talk(neighbour: Neighbour, peer: Introduction): Promise<void> {
    const { ip, port } = peer;
    const { channels, clock, random, config, hello } = this.#parts;
    using held = channels.hold(ip, port);
    for (let attempt = 1; attempt <= CONNECT_ATTEMPTS_MAX && this.#isNeighbour(neighbour); attempt++) {
      try {
        using stream = held.channel.bidi(PeerService.mesh, { signal: this.#stop.signal, connectTimeoutMs: config.connectMs });
        const link: ControlLink = { send: (message) => stream.send(message), end: () => stream[Symbol.dispose]() };
        this.#say(link, hello(this.taskId, this.#options.peerId));
        await this.#hear(neighbour, link, stream.responses);
        if (neighbour.known) attempt = 0;
      } catch (thrown) {
        if (this.#stop.signal.aborted) return;
        if (errorOf(thrown).code === "rpc.unimplemented") return this.#isStranger(neighbour, peer);
        this.#parts.log.debug("mesh.neighbour-lost", { taskId: this.taskId, peerId: neighbour.peerId, reason: errorOf(thrown).message });
      }
      if (!this.#isNeighbour(neighbour) || neighbour.links.size > 0) return;
      await clock.sleep(backoffMs(Math.max(1, attempt), BACKOFF, random), this.#stop.signal).catch(() => undefined);
    }
    if (neighbour.links.size === 0) this.#forget(neighbour, new AnaxError("rpc.unavailable", { reason: "the neighbour left" }));
  }

  #isStranger(neighbour: Neighbour, peer: Introduction): void {
    this.#listener?.onStranger(peer);
    this.#ban(neighbour, new AnaxError("rpc.unimplemented", { reason: "the peer does not trade" }));
  }

  /** A neighbour that was told of us has opened a stream. Runs until it ends. */
  async accept(peer: Omit<Introduction, "port">, link: ControlLink, messages: AsyncIterable<MeshMessage>): Promise<void> {
    const { config } = this.#parts;
    if (this.#isBanned(peer.peerId)) throw new AnaxError("rpc.failed-precondition", { reason: "this neighbour failed us" });
    const known = this.#neighbours.get(peer.peerId);
    if (known === undefined && this.#neighbours.size >= config.neighboursMax)
      throw new AnaxError("limit.exceeded", { what: "neighbours of a task", max: config.neighboursMax });
    const neighbour = known ?? this.#admitted(peer);
    try {
      await this.#hear(neighbour, link, messages);
    } finally {
      if (this.#isNeighbour(neighbour) && neighbour.links.size === 0)
        this.#forget(neighbour, new AnaxError("rpc.unavailable", { reason: "the neighbour left" }));
    }
  }

  async #hear(neighbour: Neighbour, link: ControlLink, messages: AsyncIterable<MeshMessage>): Promise<void> {
    neighbour.links.add(link);
    if (this.#stored !== undefined) this.#greet(neighbour, link);
    this.#parts.client.connectionTo(neighbour.address); // ahead of the first request
    try {
      for await (const { message } of messages) {
        if (!this.#isNeighbour(neighbour)) return;
        if (message?.$case === "content") this.#onContent(neighbour, message.value);
        else if (message?.$case === "hello") this.#greet(neighbour, link);
        else if (message?.$case === "update") {
          if (!neighbour.known) throw new AnaxError("input.invalid", { reason: "an update before the content" });
          this.#onUpdate(neighbour, message.value);
        }
      }
    } finally {
      neighbour.links.delete(link);
      if (this.#isNeighbour(neighbour)) this.#greet(neighbour); // on its other stream, if there is one: news on this one may be lost
    }
  }

  #onContent(neighbour: Neighbour, content: MeshContent): void {
    const layout = { contentLength: content.contentLength, pieceLength: content.pieceLength };
    const ours = this.#layout;
    if (ours !== undefined && (ours.contentLength !== layout.contentLength || ours.pieceLength !== layout.pieceLength))
      return this.#ban(neighbour, new AnaxError("rpc.failed-precondition", { reason: "the neighbour has another version of the content" }));
    const swarm = this.#swarmFor(layout); // throws for a layout that makes no sense, which ends the stream
    if (Object.keys(content.responseHeader).length > RESPONSE_HEADERS_MAX)
      throw new AnaxError("input.invalid", { reason: "too many headers" });
    const held = content.whole ? new Uint8Array(Math.ceil(swarm.pieceCount / 8)).fill(0xff) : content.held;
    neighbour.known = true;
    neighbour.heardGeneration = content.generation;
    neighbour.unique = content.unique;
    swarm.replace(neighbour, { held, started: content.started }, this.#parts.clock.nowMs());
    this.#learned.resolve({ ...layout, responseHeader: content.responseHeader });
    for (const update of neighbour.early.splice(0)) this.#onUpdate(neighbour, update);
    this.#afterNews(neighbour);
  }

  /** Over the block connection of a neighbour. One that is none any more, or not yet, has sent or will send all that it has. */
  onNews(update: MeshUpdate, hostId: string): void {
    const neighbour = this.#neighbourAt(hostId);
    if (neighbour !== undefined) this.#onUpdate(neighbour, update);
  }

  /** What changes of the last content. Of an older one it means nothing any more; of one that is still to come it waits. */
  #onUpdate(neighbour: Neighbour, update: MeshUpdate): void {
    const { clock } = this.#parts;
    const ahead = (update.generation - neighbour.heardGeneration) | 0; // generations go round
    if (ahead < 0) return;
    if (this.#swarm === undefined || ahead > 0) return this.#onEarly(neighbour, update);
    this.#swarm.note(neighbour, update, clock.nowMs());
    this.#doubts.hear(this.#stored, update.damaged, neighbour);
    this.#swarm.busyWith(neighbour, { uploads: update.uploads, slots: update.uploadSlots });
    if (update.freeSlots !== undefined && update.freeSlots > 0) this.#swarm.free(neighbour);
    this.#afterNews(neighbour);
  }

  #onEarly(neighbour: Neighbour, update: MeshUpdate): void {
    if (neighbour.early.push(update) <= EARLY_MAX) return;
    neighbour.early.length = 0;
    for (const link of neighbour.links) link.end(); // and is greeted anew
  }

  #afterNews(neighbour: Neighbour): void {
    this.#fetch?.pump();
    if (!this.#reading) this.#giveUnique();
    this.#settleWhole(neighbour);
  }

  #swarmFor(layout: { readonly contentLength: number; readonly pieceLength: number }): Swarm<Neighbour> {
    if (this.#swarm !== undefined) return this.#swarm;
    const { config, random, hostId } = this.#parts;
    const pieceCount = pieceCountOf(layout);
    this.#layout = { contentLength: layout.contentLength, pieceLength: layout.pieceLength };
    this.#swarm = new Swarm({
      pieceCount,
      slots: config.downloadSlots,
      perNeighbourMax: config.perNeighbourMax,
      random,
      self: hostId(),
    });
    for (const neighbour of this.#neighbours.values()) this.#swarm.add(neighbour, { name: neighbour.hostId, distance: neighbour.distance });
    return this.#swarm;
  }

  #isBanned(peerId: string): boolean {
    return this.#parts.clock.nowMs() < (this.#banned.get(peerId) ?? -Infinity);
  }

  #isNeighbour(neighbour: Neighbour): boolean {
    return this.#neighbours.get(neighbour.peerId) === neighbour && !this.#stop.signal.aborted;
  }

  /** Who was only out of reach, or too slow for a while, may be met again. */
  #ban(neighbour: Neighbour, error: AnaxError): void {
    const { config, clock } = this.#parts;
    this.#banned.delete(neighbour.peerId); // put last, so that the map stays in order of age
    this.#banned.set(
      neighbour.peerId,
      error.code === "rpc.deadline-exceeded" || error.code === "rpc.unavailable" ? clock.nowMs() + BAN_MS : Infinity,
    );
    if (this.#banned.size > config.neighboursMax * 4) this.#banned.delete(this.#banned.keys().next().value!); // it is not empty
    this.#parts.log.info("mesh.neighbour-dropped", {
      taskId: this.taskId,
      peerId: neighbour.peerId,
      code: error.code,
      reason: error.message,
    });
    this.#forget(neighbour, error);
  }

  #forget(neighbour: Neighbour, because: AnaxError): void {
    if (this.#neighbours.get(neighbour.peerId) !== neighbour) return;
    this.#neighbours.delete(neighbour.peerId);
    this.#parts.metrics.neighbours.dec();
    this.#parts.slots.forget(neighbour.callFree);
    this.#fetch?.lost(neighbour, because);
    this.#unique.left(neighbour);
    this.#swarm?.remove(neighbour);
    for (const link of neighbour.links) link.end();
    this.#fetch?.pump();
    if (this.#neighbours.size === 0) this.#listener?.onAlone();
    this.#idle();
  }

  #forgetAll(because: AnaxError): void {
    for (const neighbour of this.#neighbours.values()) this.#forget(neighbour, because);
    this.#swarm = undefined;
    this.#layout = undefined;
  }

  /** Two that have everything have nothing to tell each other. */
  #settleWhole(neighbour: Neighbour): void {
    if (this.#joined > 0 || this.#stored?.finished.full !== true || this.#swarm?.isWhole(neighbour) !== true) return;
    this.#forget(neighbour, new AnaxError("rpc.cancelled", { reason: "both have everything" }));
  }

  #settleWholes(): void {
    for (const neighbour of this.#neighbours.values()) this.#settleWhole(neighbour);
  }

  #idle(): void {
    if (this.#joined === 0 && this.#neighbours.size === 0 && !this.#stop.signal.aborted) this.#options.onIdle();
  }

  /** Those that may have more than they are known to are asked to say anew what they have: a further hello means that. */
  #askAnew(): void {
    const { log, hello } = this.#parts;
    log.info("mesh.standstill", { taskId: this.taskId, neighbours: this.#neighbours.size });
    for (const neighbour of this.#neighbours.values()) {
      const [link] = neighbour.links;
      if (link !== undefined && this.#swarm?.isWhole(neighbour) !== true) this.#say(link, hello(this.taskId, this.#options.peerId));
    }
  }

  // --- what the neighbours are told

  #greetAll(): void {
    for (const neighbour of this.#neighbours.values()) this.#greet(neighbour);
  }

  #greet(neighbour: Neighbour, only?: ControlLink): void {
    const [link = only] = only === undefined ? neighbour.links : [only];
    const stored = this.#stored;
    if (link === undefined || stored === undefined) return;
    const { client, nextGeneration } = this.#parts;
    neighbour.toldGeneration = nextGeneration();
    // Who has answered on the stream knows us, and takes news over the block connection, where they cost less than on a stream.
    this.#tellOver(neighbour, neighbour.known ? client.established(neighbour.address) : undefined);
    const { contentLength, pieceLength, pieceCount, responseHeader } = stored.meta;
    const held = new Bits(pieceCount);
    const started = new Bits(pieceCount);
    for (let index = 0; index < pieceCount; index++) {
      if (stored.finished.has(index) && this.#isOffered(index)) held.set(index);
      else if (this.#feed?.arrival(index) !== undefined) started.set(index);
    }
    this.#say(
      link,
      contentMessage({
        contentLength,
        pieceLength,
        held: held.toBytes(pieceCount),
        started: started.toBytes(pieceCount),
        whole: false,
        responseHeader: { ...responseHeader },
        unique: this.#unique.active,
        generation: neighbour.toldGeneration,
      }),
    );
  }

  #tellOver(neighbour: Neighbour, connection: BlockConnection | undefined): void {
    if (neighbour.toldOver === connection) return;
    neighbour.toldOver = connection;
    const lost = (): void => {
      // What was told last may not have arrived.
      if (neighbour.toldOver === connection && this.#isNeighbour(neighbour)) this.#greet(neighbour);
    };
    connection?.gone.addEventListener("abort", lost, { once: true, signal: this.#stop.signal });
  }

  /** What changed of what it was told; nothing where it was told nothing yet. */
  #tell(neighbour: Neighbour, change: Change): void {
    const { client, slots } = this.#parts;
    if (neighbour.known && client.established(neighbour.address) !== neighbour.toldOver) this.#greet(neighbour);
    if (neighbour.toldGeneration === 0) return;
    const update = { ...change, generation: neighbour.toldGeneration, uploads: slots.inUse, uploadSlots: slots.count };
    const [link] = neighbour.links;
    if (neighbour.toldOver === undefined) return link === undefined ? undefined : this.#say(link, updateMessage(update));
    const bytes = MeshUpdate.encode(update).finish();
    if (bytes.length <= UPDATE_BYTES_MAX) neighbour.toldOver.tell({ taskId: this.taskId, update: bytes });
    else this.#greet(neighbour);
  }

  #neighbourAt(hostId: string): Neighbour | undefined {
    return this.#neighbours.values().find((each) => each.hostId === hostId);
  }

  #isOffered(piece: number): boolean {
    return !this.#unique.active || (!this.#unique.has(piece) && this.#offers.isOffered(piece));
  }

  get #soonMs(): number {
    return newsWaitMs(this.#newsPace);
  }

  get #lazyMs(): number {
    return lazyNewsWaitMs(this.#newsPace);
  }

  get #newsPace(): { readonly tickMs: number; readonly pieceMs: number } {
    return { tickMs: this.#parts.config.tickMs, pieceMs: this.#swarm?.pieceMs ?? 0 };
  }

  /** Sends news after so long, together with what else comes until then. */
  #flushIn(waitMs: number): void {
    const { clock } = this.#parts;
    const dueMs = clock.nowMs() + waitMs;
    if (this.#neighbours.size === 0 || (this.#flush !== undefined && this.#flush.dueMs <= dueMs)) return;
    this.#flush?.timer[Symbol.dispose]();
    this.#flush = { dueMs, timer: clock.timer(waitMs, () => this.#flushNow()) };
  }

  #flushNow(): void {
    this.#flush = undefined;
    const { slots } = this.#parts;
    if (this.#news.isEmpty && !this.#isLighter) return;
    this.#isLighter = false;
    slots.whenInUseAtMost(slots.inUse - LIGHTER_BY, this.#onLighter);
    const change = this.#news.take();
    for (const neighbour of this.#neighbours.values()) this.#tell(neighbour, change);
  }

  #sayFree(neighbour: Neighbour): void {
    this.#tell(neighbour, { ...NO_CHANGE, freeSlots: this.#parts.slots.free });
  }

  /** A stream that takes no more messages ends by itself. */
  #say(link: ControlLink, message: MeshMessage): void {
    link.send(message).catch(() => link.end());
  }

  // --- what the neighbours get

  async admit(request: BlockRequest, hostId: string, signal: AbortSignal): Promise<Outgoing | End> {
    const { slots, metrics } = this.#parts;
    const neighbour = this.#neighbourAt(hostId);
    if (request.piece === ANY_PIECE) return this.#wait(neighbour, signal);
    const refused = this.#refusalOf(request.piece);
    if (refused !== undefined) {
      metrics.uploads.inc({ outcome: refused });
      return refused;
    }
    const slot = this.#slotFor(neighbour);
    if (slot === undefined) {
      if (neighbour !== undefined) slots.onFree(neighbour.callFree);
      metrics.uploads.inc({ outcome: "busy" });
      return "busy";
    }
    return this.#send(request.piece, slot);
  }

  /** A slot by which a piece is sent to this neighbour; undefined while none is free. */
  #slotFor(neighbour: Neighbour | undefined): Disposable | undefined {
    const { slots, clock } = this.#parts;
    if (neighbour === undefined) return slots.tryTake();
    const sinceMs = clock.nowMs();
    const slot = slots.tryTake(() => {
      neighbour.sending--;
      this.#offers.took(clock.nowMs() - sinceMs);
    });
    if (slot !== undefined) neighbour.sending++;
    return slot;
  }

  async #send(piece: number, slot: Disposable): Promise<Outgoing | End> {
    const { metrics, log } = this.#parts;
    try {
      return await this.#outgoing(piece, slot);
    } catch (thrown) {
      slot[Symbol.dispose]();
      metrics.uploads.inc({ outcome: "failed" });
      log.warn("mesh.upload-failed", { taskId: this.taskId, piece, reason: errorOf(thrown).message });
      return "failed";
    }
  }

  /** Until there is a piece that nobody was sent yet and that the neighbour lacks. */
  #wait(neighbour: Neighbour | undefined, signal: AbortSignal): Promise<Outgoing | End> {
    if (neighbour === undefined || !this.#unique.active) return Promise.resolve("elsewhere");
    const waiting = this.#unique.wait(neighbour, signal);
    this.#giveUnique();
    return waiting;
  }

  /** Gives pieces that nobody was sent yet to those who wait longest; once there are none and will be none, everything is for everybody. */
  #giveUnique(): void {
    const { slots } = this.#parts;
    const swarm = this.#swarm;
    if (swarm === undefined || !this.#unique.active) return;
    // What neighbours have from another reader need not be sent first by this one; nobody might ever wait for it.
    if (!this.#reading) for (const piece of this.#unique.unsent) if (swarm.isThere(piece)) this.#sent(piece, this.#parts.clock.nowMs());
    this.#unique.give((piece, neighbour) => {
      if (swarm.hasPiece(neighbour, piece)) return undefined;
      const slot = this.#slotFor(neighbour);
      if (slot === undefined) slots.onFree(this.#onFreeSlot);
      return slot === undefined ? "none" : this.#send(piece, slot);
    });
    if (this.#unique.size > 0 || this.#reading) return;
    this.#unique.end();
    this.#offers.all();
    this.#news.take(); // what was held back lately would be taken back after it is told
    this.#greetAll();
  }

  /** Why a neighbour does not get this piece; undefined when it does. */
  #refusalOf(piece: number): End | undefined {
    const [stored, swarm] = [this.#stored, this.#swarm];
    if (stored === undefined || swarm === undefined || piece >= stored.meta.pieceCount) return "not-found";
    if (!stored.finished.has(piece)) return this.#feed?.arrival(piece) === undefined ? "not-found" : undefined;
    return this.#isOffered(piece) || !swarm.isThere(piece) ? undefined : "elsewhere";
  }

  async #outgoing(piece: number, slot: Disposable): Promise<Outgoing | End> {
    const { metrics, clock } = this.#parts;
    const stored = this.#stored!; // decided from it
    const { meta } = stored;
    const arrival = this.#feed?.arrival(piece);
    const lengthBytes = pieceRangeOf(meta, piece).length;
    const info = stored.piece(piece);
    if (info !== undefined && this.#unique.has(piece)) this.#sent(piece, clock.nowMs());
    if (info === undefined && arrival === undefined) {
      slot[Symbol.dispose]();
      return "not-found";
    }
    const facts =
      info === undefined ? arrival!.facts : { piece, lengthBytes, blockBytes: blockBytesOf(meta.pieceLength), crc32: info.crc32 };
    const proof = info === undefined ? arrival!.proof : await this.#feed?.proofOf(facts);
    metrics.uploads.inc({ outcome: info === undefined ? "relayed" : "held" });
    return new Outgoing({ stored, start: { ...facts, proof }, arrival: info === undefined ? arrival : undefined, slot });
  }

  #sent(piece: number, nowMs: number): void {
    this.#unique.sent(piece);
    this.#offers.sent(piece, nowMs);
    this.#news.dropped(piece);
    this.#flushIn(this.#soonMs);
    this.#reoffer ??= this.#parts.clock.timer(REOFFER_LOOK_MS, () => this.#offerAgain());
  }

  #offerAgain(): void {
    this.#reoffer = undefined;
    for (const piece of this.#offers.due(this.#parts.clock.nowMs(), (one) => this.isThere(one))) this.#news.held(piece);
    this.#flushIn(this.#lazyMs);
    if (this.#offers.heldBack.size > 0 && !this.#stop.signal.aborted)
      this.#reoffer = this.#parts.clock.timer(REOFFER_LOOK_MS, () => this.#offerAgain());
  }

  // --- the end

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(UNSHARED);
    this.#learned.reject(UNSHARED);
    this.#flush?.timer[Symbol.dispose]();
    this.#reoffer?.[Symbol.dispose]();
    this.#parts.slots.forget(this.#onFreeSlot);
    this.#parts.slots.forget(this.#onLighter);
    this.#unique.end();
    await this.#fetch?.[Symbol.asyncDispose]();
    for (const neighbour of this.#neighbours.values()) {
      this.#parts.slots.forget(neighbour.callFree);
      this.#parts.metrics.neighbours.dec();
      for (const link of neighbour.links) link.end();
    }
    this.#neighbours.clear();
    await Promise.allSettled(this.#work);
  }

  #run(work: Promise<void>): void {
    const tracked = work
      .catch((thrown: unknown) => this.#parts.log.debug("mesh.talk-failed", { taskId: this.taskId, reason: errorOf(thrown).message }))
      .finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }
}

const isFromSource = (stored: StoredTask, piece: number): boolean => stored.piece(piece)?.traffic === "back-to-source";
