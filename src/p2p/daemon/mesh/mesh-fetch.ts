import type { Clock } from "../../../base/clock.ts";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import { ANY_PIECE } from "../../../wire/mesh/frames.ts";
import { pieceRangeOf } from "../../model/piece.ts";
import type { StoredTask } from "../../pieces/types.ts";
import type { RateLimits } from "../rates/types.ts";
import type { BlockClient } from "./block-client.ts";
import type { MeshConfig } from "./config.ts";
import type { Feed } from "./feed.ts";
import type { MeshMetrics } from "./metrics.ts";
import type { Neighbour } from "./neighbour.ts";
import { Patience } from "./patience.ts";
import { PieceReceiver, type Received } from "./piece-receiver.ts";
import type { TrustedKeys } from "./proof.ts";
import type { Swarm, SwarmChoice } from "./swarm.ts";
import type { MeshListener } from "./types.ts";

export interface MeshFetchOptions {
  readonly stored: StoredTask;
  readonly swarm: Swarm<Neighbour>;
  readonly feed: Feed;
  readonly keys: TrustedKeys;
  readonly client: BlockClient;
  readonly config: MeshConfig;
  readonly clock: Clock;
  readonly metrics: MeshMetrics;
  readonly listener: MeshListener;
  readonly noProgressMs: number;
  readonly limits: RateLimits;
  readonly neighbours: () => Iterable<Neighbour>;
  readonly onArriving: (piece: number) => void;
  /** It gave a piece that does not match its checksum. */
  readonly onDamaged: (neighbour: Neighbour, piece: number) => void;
  /** It lied, or cannot be reached any more. */
  readonly onUseless: (neighbour: Neighbour, error: AnaxError) => void;
  /** Something is missing, nobody is known to have it, and nothing has come for a while: what is known may be wrong. */
  readonly onStandstill: () => void;
}

/** Deadlines of neighbours and stalls are looked at this often while something is missing. */
const LOOK_MS = 50;
/** A neighbour that failed so often in a row is given up. */
const FAILURES_MAX = 4;
/**
 * One whose disk damages its content still has the rest, and may be the only one: it is given up once this many pieces were damaged, and more of them
 * than one in so many that were not. Until then each costs the transfer of a piece.
 */
const DAMAGED_MAX = 4;
const DAMAGED_ONE_IN = 4;
/** Where all that is missing is damaged at those who had it, there is not much to wait for. */
const DAMAGED_MS = 1000;
/** A neighbour that had nothing for us is left alone so long. */
const WAIT_AGAIN_MS = 250;
/** After so many times the patience with one piece without any, neighbours are asked to tell anew what they have; again after twice as long. */
const RETELL_PATIENCE = 3;
const RETELL_PAUSE_MAX_MS = 60_000;

/** Made once: a fresh error for each of many small files is a cost of its own. */
const OVER = new AnaxError("download.cancelled", { reason: "no longer fetching from neighbours" });

/** What the swarm chose, or any piece. */
type Request = Omit<SwarmChoice<Neighbour>, "piece"> & { readonly piece: number | undefined };

interface Asked {
  readonly receiver: PieceReceiver;
  readonly neighbour: Neighbour;
  readonly startedMs: number;
  /** The piece that counts as on its way: the neighbour may choose another than the one asked for, or any. */
  piece: number | undefined;
}

/** Fetches what is missing of a task from its neighbours until all is here or it is disposed: performs what the swarm chooses. */
export class MeshFetch implements AsyncDisposable {
  readonly #options: MeshFetchOptions;
  readonly #asked = new Set<Asked>();
  readonly #work = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  readonly #patience: Patience;
  #timer: Disposable | undefined;
  #ended = false;
  #progressMs: number;
  #rescheduledMs = 0;
  /** Missing pieces of which somebody had a damaged one. */
  readonly #damaged = new Set<number>();
  /** Until when something was asked for, or neighbours were asked anew. */
  #stillMs: number;
  #retellPauseMs: number;
  #missing: number;

  constructor(options: MeshFetchOptions) {
    this.#options = options;
    this.#patience = new Patience(options.config.stallMs, LOOK_MS, options.clock.nowMs());
    this.#progressMs = this.#stillMs = options.clock.nowMs();
    this.#retellPauseMs = options.config.stallMs * RETELL_PATIENCE;
    this.#missing = options.swarm.missingCount;
    this.#look();
  }

  /** Makes as many requests as there are slots and pieces for. */
  pump(): void {
    const { stored, swarm, clock, listener } = this.#options;
    if (this.#ended) return;
    if (stored.finished.full) {
      this.#end();
      listener.onComplete();
      return;
    }
    for (let choice = swarm.next(clock.nowMs()); choice !== undefined; choice = swarm.next(clock.nowMs())) this.#start(choice);
    this.#waitForUnique();
  }

  /** Whoever sends each piece once gets a request to hold open, so that its next piece is on its way here without a question first. */
  #waitForUnique(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const neighbour of this.#options.neighbours()) {
      if (!neighbour.unique || neighbour.waiting || nowMs < neighbour.waitAgainMs) continue;
      neighbour.waiting = true;
      this.#start({ piece: undefined, neighbour, duplicate: false });
    }
  }

  /** The neighbour is gone: what it was to give is asked of others. */
  lost(neighbour: Neighbour, because: AnaxError): void {
    for (const asked of this.#asked) if (asked.neighbour === neighbour) asked.receiver.fail(because);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end();
    for (const { receiver } of this.#asked) receiver.fail(OVER);
    await Promise.allSettled(this.#work);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stop.abort(OVER);
    this.#timer?.[Symbol.dispose]();
    for (const { receiver } of this.#asked) receiver.ended("done"); // duplicates of the last pieces
  }

  #look(): void {
    this.#timer = this.#options.clock.timer(LOOK_MS, () => {
      this.#noticeProgress();
      this.#noticeStalls();
      this.#noticeNoProgress();
      this.#noticeStandstill();
      this.pump();
      if (!this.#ended) this.#look();
    });
  }

  /** Bytes from neighbours, or a piece from anywhere. */
  #noticeProgress(): void {
    const { clock, config, swarm } = this.#options;
    const nowMs = clock.nowMs();
    this.#patience.look(nowMs);
    for (const { receiver } of this.#asked)
      if (receiver.receivedBytes > 0 && this.#patience.came(receiver.progressMs)) this.#progressMs = nowMs;
    if (swarm.missingCount === this.#missing) return;
    this.#missing = swarm.missingCount;
    this.#progressMs = nowMs;
    this.#retellPauseMs = config.stallMs * RETELL_PATIENCE;
  }

  #noticeStalls(): void {
    const { metrics, swarm } = this.#options;
    for (const { receiver } of this.#asked) {
      const waits = receiver.piece === ANY_PIECE && !receiver.begun;
      const afterMs = waits || receiver.settled || !receiver.sent ? undefined : this.#patience.exceededBy(receiver, swarm.pieceMs);
      if (afterMs === undefined) continue;
      metrics.stalls.inc();
      receiver.fail(new AnaxError("rpc.deadline-exceeded", { piece: receiver.piece, reason: "nothing came", afterMs }));
    }
  }

  /** What neighbours told may have been lost or overtaken, so that they wait for us and we for them. */
  #noticeStandstill(): void {
    const { clock, onStandstill } = this.#options;
    const nowMs = clock.nowMs();
    if (this.#isWorking) this.#stillMs = nowMs;
    if (nowMs - Math.max(this.#stillMs, this.#progressMs) < this.#retellPauseMs) return;
    this.#stillMs = nowMs;
    this.#retellPauseMs = Math.min(RETELL_PAUSE_MAX_MS, this.#retellPauseMs * 2);
    onStandstill();
  }

  /** Something is still missing that was damaged, and that nobody is known to have. */
  get #lacksDamaged(): boolean {
    const { stored, swarm } = this.#options;
    for (const piece of this.#damaged) {
      if (stored.finished.has(piece)) this.#damaged.delete(piece);
      else if (!swarm.isThere(piece)) return true;
    }
    return false;
  }

  get #isWorking(): boolean {
    return this.#asked.values().some(({ piece }) => piece !== undefined);
  }

  #noticeNoProgress(): void {
    const { clock, noProgressMs, listener } = this.#options;
    const patienceMs = !this.#isWorking && this.#lacksDamaged ? Math.min(noProgressMs, DAMAGED_MS) : noProgressMs;
    if (clock.nowMs() - Math.max(this.#progressMs, this.#rescheduledMs) < patienceMs) return;
    this.#rescheduledMs = clock.nowMs();
    listener.onNoProgress();
  }

  #start(choice: Request): void {
    const work = this.#fetch(choice).finally(() => this.#work.delete(work));
    this.#work.add(work);
  }

  async #fetch({ piece, neighbour, duplicate }: Request): Promise<void> {
    const { stored, swarm, clock, client, feed, keys, onArriving } = this.#options;
    const startedMs = clock.nowMs();
    const generation = neighbour.heardGeneration;
    const receiver = new PieceReceiver({
      stored,
      feed,
      piece: piece ?? ANY_PIECE,
      orAnother: !duplicate,
      parentId: neighbour.peerId,
      isProven: (facts, proof) => keys.proves(stored.meta, facts, proof),
      onStart: (told) => this.#begins(asked, told),
      onArriving,
      onEnding: () => this.#ending(asked),
      nowMs: () => this.#patience.nowMs,
    });
    const asked: Asked = { receiver, neighbour, piece, startedMs };
    this.#asked.add(asked);
    try {
      await this.#pay(piece === undefined ? stored.meta.pieceLength : pieceRangeOf(stored.meta, piece).length);
      client.connectionTo(neighbour.address).request(receiver);
      this.#received(asked, await receiver.done, generation);
    } catch (thrown) {
      this.#failed(asked, errorOf(thrown));
    } finally {
      this.#asked.delete(asked);
      if (asked.piece !== undefined) swarm.ended(asked.piece, neighbour);
      if (piece === undefined && !receiver.begun) neighbour.waiting = false;
    }
    this.pump();
  }

  /** Whoever is to be slow does not ask before it may. */
  async #pay(bytes: number): Promise<void> {
    const { limits, stored, listener } = this.#options;
    for (let left = bytes; left > 0;) {
      const part = Math.min(left, limits.downloadTurnBytes);
      left -= part;
      if (limits.tryDownload(stored.meta.id, listener.rateClass, part)) continue;
      await limits.download(stored.meta.id, listener.rateClass, part, this.#stop.signal);
    }
  }

  /** The neighbour may have chosen another piece, which is welcome unless it is here or on its way. */
  #begins(asked: Asked, told: number): boolean {
    const { swarm, clock, stored } = this.#options;
    const { neighbour, receiver } = asked;
    if (receiver.piece === ANY_PIECE) {
      neighbour.waiting = false;
      this.#waitForUnique();
    }
    if (told === asked.piece) return !stored.finished.has(told);
    if (!swarm.isWanted(told)) return false;
    if (asked.piece !== undefined) swarm.ended(asked.piece, neighbour);
    asked.piece = told;
    swarm.begun(told, neighbour, clock.nowMs());
    return true;
  }

  #ending({ piece, neighbour }: Asked): void {
    if (piece === undefined) return;
    this.#options.swarm.ending(piece, neighbour);
    this.pump();
  }

  #received({ neighbour, piece, startedMs }: Asked, received: Received, generation: number): void {
    const { stored, swarm, clock, metrics, listener } = this.#options;
    metrics.requests.inc({ outcome: received.kind === "ended" ? received.end : received.kind });
    if (received.kind !== "ended") {
      neighbour.failures = 0;
      neighbour.given++;
      this.#patience.came(this.#patience.nowMs);
      this.#progressMs = clock.nowMs();
      swarm.free(neighbour);
      swarm.got(received.piece);
      metrics.receivedBytes.inc(received.lengthBytes);
      if (piece !== undefined) swarm.took(clock.nowMs() - startedMs);
      const info = stored.piece(received.piece);
      if (received.kind === "stored" && info !== undefined) listener.onPiece(info, clock.nowMs() - startedMs);
    } else if (piece === undefined) neighbour.waitAgainMs = clock.nowMs() + WAIT_AGAIN_MS;
    else if (received.end === "busy") swarm.busy(neighbour, clock.nowMs());
    // An answer that what it told since has overtaken says nothing of that.
    else if (received.end !== "done" && generation === neighbour.heardGeneration) swarm.hasNot(neighbour, piece);
  }

  #failed({ neighbour, piece, startedMs }: Asked, error: AnaxError): void {
    const { swarm, clock, config, metrics, listener, onDamaged, onUseless } = this.#options;
    if (this.#ended) return;
    metrics.requests.inc({ outcome: "failed" });
    if (error.code.startsWith("disk.") || error.code === "task.not-found") {
      this.#end();
      return listener.onFailed(error);
    }
    const isDamaged = error.code === "piece.digest-mismatch";
    if (isDamaged) {
      neighbour.damaged++;
      if (piece !== undefined) {
        this.#damaged.add(piece);
        onDamaged(neighbour, piece);
      }
    }
    const lied = error.code === "vortex.malformed" || neighbour.damaged > DAMAGED_MAX + neighbour.given / DAMAGED_ONE_IN;
    // Requests that were on their way together tell of the same trouble.
    if (neighbour.failures === 0 || startedMs >= neighbour.failedMs) {
      neighbour.failures++;
      neighbour.failedMs = clock.nowMs();
    }
    const givenUp = lied || neighbour.failures >= FAILURES_MAX;
    // A damaged piece says nothing of the next one.
    const pauseMs = isDamaged ? 0 : config.avoidMs;
    neighbour.waitAgainMs = clock.nowMs() + pauseMs;
    listener.onPieceFailed({ index: piece ?? 0, peerId: neighbour.peerId, error, temporary: !givenUp });
    swarm.avoid(neighbour, clock.nowMs() + pauseMs * 2 ** (neighbour.failures - 1));
    if (piece !== undefined) swarm.hasNot(neighbour, piece);
    if (givenUp) onUseless(neighbour, error);
  }
}
