import { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { Semaphore } from "../../../base/limits.ts";
import type { Log } from "../../../base/log.ts";
import { linkedSignal, type LinkedSignal } from "../linked-signal.ts";
import { NO_LIMITS } from "../rates/no-limits.ts";
import type { RateLimits } from "../rates/types.ts";
import type { TransferConfig } from "./config.ts";
import { Exchange, type ExchangeOutcome } from "./exchange.ts";
import type { TransferMetrics } from "./metrics.ts";
import type { ParentConnection } from "./parent-connection.ts";
import { ParentLink } from "./parent-link.ts";
import type { ParentAddress, PieceClient, PieceReceipt } from "./types.ts";

export interface PieceClientOptions {
  readonly config: TransferConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: TransferMetrics;
  readonly limits?: RateLimits | undefined;
}

type FetchOptions = Parameters<PieceClient["fetch"]>[0];

export function createPieceClient(options: PieceClientOptions): PieceClient {
  return new Client(options);
}

/** Times that a request is sent again because somebody else's failure took its connection away. */
const RETRIES_MAX = 1;

class Client implements PieceClient {
  readonly #options: PieceClientOptions;
  readonly #buffers: BufferPool;
  /** One slot per socket to any parent. */
  readonly #sockets: Semaphore;
  readonly #links = new Map<string, ParentLink>();
  readonly #fetches = new Map<LinkedSignal, Promise<unknown>>();
  readonly #closing = new Set<Promise<void>>();
  #disposed: Promise<void> | undefined;

  constructor(options: PieceClientOptions) {
    const { config } = options;
    this.#options = options;
    this.#buffers = new BufferPool({
      bufferBytes: config.fetchBufferBytes,
      count: config.fetchBuffersMax,
      waitingMax: config.fetchConnectionsMax,
    });
    this.#sockets = new Semaphore({ slots: config.fetchConnectionsMax, waitingMax: config.fetchWaitingMax });
  }

  async fetch(options: FetchOptions): Promise<PieceReceipt> {
    if (this.#disposed !== undefined) throw new AnaxError("download.cancelled", { reason: "the daemon stops" });
    using scope = linkedSignal(options.signal);
    const fetching = this.#fetch({ ...options, signal: scope.signal });
    this.#fetches.set(scope, fetching);
    try {
      const receipt = await fetching;
      this.#count(receipt);
      return receipt;
    } catch (thrown) {
      this.#options.metrics.fetches.inc({ outcome: scope.signal.aborted ? "cancelled" : "failed" });
      throw thrown;
    } finally {
      this.#fetches.delete(scope);
    }
  }

  inFlight(parent: ParentAddress): number {
    return this.#links.get(keyOf(parent))?.inFlight ?? 0;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#disposed ??= this.#stop());
  }

  async #stop(): Promise<void> {
    const stopping = new AnaxError("download.cancelled", { reason: "the daemon stops" });
    for (const scope of this.#fetches.keys()) scope.abort(stopping);
    await Promise.allSettled(this.#fetches.values());
    for (const link of this.#links.values()) for (const connection of link.connections()) connection.close(stopping);
    await Promise.all(this.#closing);
  }

  async #fetch(options: FetchOptions): Promise<PieceReceipt> {
    const link = this.#linkTo(options.parent);
    try {
      using _ = await link.slots.acquire(options.signal);
      for (let retries = 0; ;) {
        const outcome = await this.#attempt(link, options);
        if (outcome.kind === "done") return outcome.receipt;
        if (!outcome.deliberate && ++retries > RETRIES_MAX) throw outcome.because;
        this.#options.metrics.fetchRetries.inc();
        this.#options.log.debug("piece.asked-again", {
          taskId: options.taskId,
          pieceIndex: options.index,
          reason: outcome.because.message,
        });
      }
    } finally {
      this.#forget(options.parent, link);
    }
  }

  async #attempt(link: ParentLink, options: FetchOptions): Promise<ExchangeOutcome> {
    const connection = await this.#connectionOf(link, options);
    options.signal.throwIfAborted();
    const exchange = new Exchange({ ...options, clock: this.#options.clock });
    connection.request(exchange);
    return exchange.done;
  }

  /** An idle connection, else a new one while there may be more, else the least busy. */
  async #connectionOf(link: ParentLink, options: FetchOptions): Promise<ParentConnection> {
    const best = link.leastBusy();
    if (best !== undefined && (best.inFlight === 0 || !link.mayOpen)) return best;
    const socket = this.#sockets.tryAcquire();
    if (socket !== undefined) return this.#connect(link, options.parent, socket);
    if (best !== undefined) return best;
    this.#closeAnIdleOne();
    const freed = await this.#sockets.acquire(options.signal);
    if (!options.signal.aborted) return this.#connect(link, options.parent, freed);
    freed[Symbol.dispose]();
    throw options.signal.reason;
  }

  #connect(link: ParentLink, parent: ParentAddress, socket: Disposable): ParentConnection {
    const { metrics } = this.#options;
    metrics.fetchConnects.inc();
    metrics.fetchConnections.inc();
    const closed = Promise.withResolvers<void>();
    this.#closing.add(closed.promise);
    return link.connect({
      onIdle: (connection) => {
        if (this.#sockets.waiting > 0) makeRoom(connection);
      },
      onClosed: () => {
        metrics.fetchConnections.dec();
        socket[Symbol.dispose]();
        this.#closing.delete(closed.promise);
        this.#forget(parent, link);
        closed.resolve();
      },
    });
  }

  /** When all sockets are taken, one that does nothing makes room. */
  #closeAnIdleOne(): void {
    for (const link of this.#links.values()) {
      const idle = link.idleOne();
      if (idle !== undefined) return makeRoom(idle);
    }
  }

  #linkTo(parent: ParentAddress): ParentLink {
    const key = keyOf(parent);
    const link =
      this.#links.get(key) ??
      new ParentLink({ ...this.#options, limits: this.#options.limits ?? NO_LIMITS, parent, buffers: this.#buffers });
    this.#links.set(key, link);
    return link;
  }

  #forget(parent: ParentAddress, link: ParentLink): void {
    const key = keyOf(parent);
    if (link.unused && this.#links.get(key) === link) this.#links.delete(key);
  }

  #count(receipt: PieceReceipt): void {
    const { metrics } = this.#options;
    metrics.fetches.inc({ outcome: receipt.outcome });
    metrics.fetchedBytes.inc(receipt.head.lengthBytes);
    metrics.fetchSeconds.observe(receipt.costMs / 1000);
  }
}

const keyOf = (parent: ParentAddress): string => `${parent.ip} ${parent.port} ${parent.keepsConnection}`;

const makeRoom = (connection: ParentConnection): void =>
  connection.close(new AnaxError("rpc.unavailable", { reason: "room for another parent" }));
