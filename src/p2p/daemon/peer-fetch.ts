import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import { DfdaemonUploadService } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { pieceRangeOf } from "../model/piece.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { ParentOffer } from "./api.ts";
import type { PeerChannels } from "./channels.ts";
import { choosePiece } from "./choose-piece.ts";
import type { DaemonConfig } from "./config.ts";
import { linkedSignal, type LinkedSignal } from "./linked-signal.ts";
import { Parent } from "./parent.ts";
import type { RateClass } from "./rates/types.ts";
import type { PieceClient, PieceHead } from "./transfer/types.ts";
import type { DownloadedPiece, PieceFailure } from "./types.ts";

export interface PeerFetchOptions {
  readonly stored: StoredTask;
  readonly priority: RateClass;
  readonly hostId: string;
  readonly channels: PeerChannels;
  readonly pieceClient: PieceClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<
    DaemonConfig,
    "piecesInFlightMax" | "parentsMax" | "pieceMs" | "parentFailuresMax" | "parentBackoffMs" | "noProgressMs"
  >;
  readonly signal: AbortSignal;
  /** Somebody else on this host fetches the piece. */
  readonly isElsewhere: (index: number) => boolean;
  /** The piece is asked for from now on (`true`), or not any more. */
  readonly onRequest: (index: number, asked: boolean) => void;
  readonly onPiece: (piece: DownloadedPiece, costMs: number) => void;
  readonly onPieceFailed: (failure: PieceFailure) => void;
  /** Every parent is given up; told once for each set of parents. */
  readonly onUseless: (parents: readonly ParentOffer[]) => void;
  /** Nothing came and nothing is on its way, for the configured time. */
  readonly onNoProgress: () => void;
  readonly onComplete: () => void;
  /** This machine's own trouble: the disk. */
  readonly onFailed: (error: AnaxError) => void;
}

/** When nothing can be asked for just now although pieces are missing, it is looked again after this long at most. */
const LOOK_AGAIN_MS = 250;
const CONNECT_MS = 3000;
/** Parents kept in mind for one download, given up ones included. */
const REMEMBERED_MAX = 256;

/** Asked of one parent: the next piece while one arrives, so that a link is never idle. More would only take turns from other children. */
const PER_PARENT_MAX = 2;

/**
 * How many pieces one parent is asked for at once, the fewer the more parents there are: a seed that sends everybody everything is the
 * bottleneck. 128 MiB to eight hosts on 100 Mbit/s links took 4.4 times the bound without this limit, 2.2 to 2.3 with it.
 */
export function perParentMax(readyParents: number, inFlightMax: number): number {
  return Math.max(1, Math.min(PER_PARENT_MAX, Math.floor(inFlightMax / Math.max(1, readyParents))));
}

/** Fetches the pieces of one task from its parents until all are here or it is disposed. */
export class PeerFetch implements AsyncDisposable {
  readonly #options: PeerFetchOptions;
  readonly #scope: LinkedSignal;
  readonly #parents = new Map<string, Parent>();
  /** Pieces on their way. */
  readonly #inFlight = new Set<number>();
  readonly #work = new Set<Promise<void>>();
  #toldUseless = false;
  #ended = false;
  #progressMs: number;
  #lookAgain: Disposable | undefined;
  #watchdog: Disposable | undefined;

  constructor(options: PeerFetchOptions) {
    this.#options = options;
    this.#scope = linkedSignal(options.signal);
    this.#progressMs = options.clock.nowMs();
    this.#watch();
  }

  /** Adds parents, or gives known ones another chance. */
  offer(offers: readonly ParentOffer[]): void {
    if (this.#ended) return;
    for (const offer of offers) this.#take(offer);
    this.#toldUseless = false;
    this.#afterFailure(); // nobody new among them: waiting would last for ever
    this.#pump();
  }

  /** Stops and waits until nothing is under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    this.#scope.abort(new AnaxError("download.cancelled", { reason: "no longer fetching from peers" }));
    await Promise.allSettled(this.#work);
    this.#scope[Symbol.dispose]();
  }

  #take(offer: ParentOffer): void {
    const { stored, config, clock, random, pieceClient } = this.#options;
    const known = this.#parents.get(offer.peerId);
    if (known?.state === "in-use" || known?.state === "banned") return;
    const inUse = this.#parents.values().filter((parent) => parent.state === "in-use");
    if (inUse.toArray().length >= config.parentsMax || this.#parents.size >= REMEMBERED_MAX) return;
    const options = { clock, random, pieceClient, failuresMax: config.parentFailuresMax, backoffFirstMs: config.parentBackoffMs };
    const parent = known ?? new Parent(offer, stored.meta.pieceCount, options);
    parent.offeredAgain();
    this.#parents.set(offer.peerId, parent);
    this.#run(this.#sync(parent));
  }

  #run(work: Promise<void>): void {
    const tracked = work.catch((thrown: unknown) => this.#fail(errorOf(thrown))).finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  #fail(error: AnaxError): void {
    if (this.#ended) return;
    this.#end();
    this.#options.onFailed(error);
  }

  #end(): void {
    this.#ended = true;
    this.#lookAgain?.[Symbol.dispose]();
    this.#watchdog?.[Symbol.dispose]();
  }

  /** Hears from one parent what it holds, until everything is here or the parent is given up. */
  async #sync(parent: Parent): Promise<void> {
    const { channels } = this.#options;
    using held = channels.hold(parent.offer.ip, parent.offer.port);
    while (!this.#ended && parent.state === "in-use") {
      try {
        await this.#hear(parent, held.channel);
        if (this.#ended || this.#missing().length === 0) return;
        if (this.#missing().every((index) => parent.has(index))) return; // it has told all there is to know
        throw new AnaxError("rpc.aborted", { reason: "the parent stopped telling its pieces" });
      } catch (thrown) {
        if (this.#ended || this.#scope.signal.aborted) return;
        parent.silent(errorOf(thrown));
        this.#afterFailure();
        if (parent.state === "in-use") await this.#options.clock.sleep(parent.silenceMs, this.#scope.signal).catch(() => undefined);
      }
    }
  }

  async #hear(parent: Parent, channel: ReturnType<PeerChannels["hold"]>["channel"]): Promise<void> {
    const { stored, hostId } = this.#options;
    const request = { hostId, taskId: stored.meta.id, interestedPieceNumbers: this.#missing() };
    const options = { signal: this.#scope.signal, connectTimeoutMs: CONNECT_MS };
    for await (const piece of channel.serverStream(DfdaemonUploadService.syncPieces, request, options)) {
      if (!parent.note(piece, stored.meta))
        throw new AnaxError("vortex.malformed", { reason: "a piece that is not of this task", piece: piece.number });
      parent.heard();
      this.#pump();
    }
  }

  #missing(): number[] {
    const { finished, meta } = this.#options.stored;
    const missing: number[] = [];
    for (let index = 0; index < meta.pieceCount; index++) if (!finished.has(index)) missing.push(index);
    return missing;
  }

  /** Starts as many requests as there are slots and pieces for. */
  #pump(): void {
    const { stored, config, random } = this.#options;
    if (this.#ended) return;
    if (stored.finished.count === stored.meta.pieceCount) {
      this.#end();
      this.#options.onComplete();
      return;
    }
    const holders = [...this.#parents.values()];
    while (this.#inFlight.size < config.piecesInFlightMax) {
      const choice = choosePiece({
        pieceCount: stored.meta.pieceCount,
        wanted: (index) => !stored.finished.has(index) && !this.#inFlight.has(index) && !this.#options.isElsewhere(index),
        holders,
        inFlightMax: perParentMax(holders.filter(({ ready }) => ready).length, config.piecesInFlightMax),
        random,
      });
      if (choice === undefined) break;
      this.#inFlight.add(choice.index);
      this.#options.onRequest(choice.index, true);
      this.#run(this.#fetch(choice.index, choice.holder));
    }
    if (this.#inFlight.size < config.piecesInFlightMax) this.#lookAgainLater();
  }

  #lookAgainLater(): void {
    this.#lookAgain?.[Symbol.dispose]();
    this.#lookAgain = this.#options.clock.timer(LOOK_AGAIN_MS, () => this.#pump());
  }

  async #fetch(index: number, parent: Parent): Promise<void> {
    const { pieceClient, stored, priority, clock, config, onPiece } = this.#options;
    using deadline = clock.deadline(config.pieceMs, this.#scope.signal);
    try {
      const open = (head: PieceHead) => this.#open(head, index, parent);
      const { signal } = deadline;
      const receipt = await pieceClient.fetch({ parent: parent.address, taskId: stored.meta.id, index, priority, open, signal });
      this.#landed(index);
      parent.succeeded();
      this.#progressMs = clock.nowMs();
      const piece = stored.piece(index);
      if (receipt.outcome === "stored" && piece !== undefined) onPiece(piece, receipt.costMs);
    } catch (thrown) {
      this.#landed(index);
      if (this.#ended || this.#scope.signal.aborted) return;
      this.#pieceFailed(index, parent, errorOf(thrown));
    }
    this.#pump();
  }

  #landed(index: number): void {
    this.#inFlight.delete(index);
    this.#options.onRequest(index, false);
  }

  #open(head: PieceHead, index: number, parent: Parent) {
    const { stored } = this.#options;
    const range = pieceRangeOf(stored.meta, index);
    if (head.index !== index || head.offsetBytes !== range.start || head.lengthBytes !== range.length) {
      throw new AnaxError("vortex.malformed", { reason: "another piece than the one asked for", index, told: head.index });
    }
    return stored.writePiece({ index, expectedCrc32: head.crc32, traffic: "remote-peer", parentId: parent.offer.peerId });
  }

  #pieceFailed(index: number, parent: Parent, error: AnaxError): void {
    if (error.code.startsWith("disk.")) return this.#fail(error);
    const state = parent.failed(error);
    this.#options.onPieceFailed({ index, peerId: parent.offer.peerId, error, temporary: state === "in-use" });
    this.#afterFailure();
  }

  #afterFailure(): void {
    const parents = [...this.#parents.values()];
    if (this.#toldUseless || parents.some((parent) => parent.state === "in-use")) return;
    this.#toldUseless = true;
    this.#options.onUseless(parents.map((parent) => parent.offer));
  }

  /** A piece on its way is watched by its own deadline and by the piece client; this is for when there is none. */
  #watch(): void {
    const { clock, config, onNoProgress } = this.#options;
    this.#watchdog = clock.timer(config.noProgressMs, () => {
      if (this.#ended) return;
      if (this.#inFlight.size === 0 && clock.nowMs() - this.#progressMs >= config.noProgressMs) onNoProgress();
      this.#watch();
    });
  }
}
