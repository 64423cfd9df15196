import { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { NativeSocket } from "../../../disk/native-socket.ts";
import { BEYOND_BYTES, BlockConnection } from "./block-connection.ts";
import type { MeshConfig } from "./config.ts";

export interface BlockAddress {
  readonly ip: string;
  readonly port: number;
}

export interface BlockClientOptions {
  readonly config: MeshConfig;
  readonly clock: Clock;
  readonly native: NativeSocket | undefined;
  /** Who we are. */
  readonly hostId: () => string;
}

/** A buffer of this many sizes at most; a size is that of a task's blocks, so there are few. */
const POOLS_MAX = 16;
/** Blocks that are shorter, as the last of a piece may be, share the smallest buffers. */
const UP_TO_BYTES_MIN = 64 * 1024;
const WAITING_MAX = 4096;

/** Our connections to neighbours, one to each, shared by all tasks; and the memory that blocks arrive in. */
export class BlockClient implements AsyncDisposable {
  readonly #options: BlockClientOptions;
  readonly #connections = new Map<string, BlockConnection>();
  readonly #pools = new Map<number, BufferPool>();
  readonly #closing = new Set<Promise<void>>();

  constructor(options: BlockClientOptions) {
    this.#options = options;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /** The connection to this neighbour, if it stands. */
  established(address: BlockAddress): BlockConnection | undefined {
    const connection = this.#connections.get(keyOf(address));
    return connection?.established === true ? connection : undefined;
  }

  /** The connection to this neighbour, opened where there is none. Throws `limit.exceeded`. */
  connectionTo(address: BlockAddress): BlockConnection {
    const key = keyOf(address);
    const known = this.#connections.get(key);
    if (known !== undefined && !known.ended) return known;
    const { config } = this.#options;
    if (this.#connections.size >= config.connectionsMax)
      throw new AnaxError("limit.exceeded", { what: "connections to neighbours", max: config.connectionsMax });
    const closed = Promise.withResolvers<void>();
    this.#closing.add(closed.promise);
    const connection: BlockConnection = new BlockConnection({
      address,
      hostId: this.#options.hostId(),
      config,
      clock: this.#options.clock,
      native: this.#options.native,
      poolFor: (blockBytes) => this.#poolFor(blockBytes),
      onClosed: () => {
        if (this.#connections.get(key) === connection) this.#connections.delete(key);
        this.#closing.delete(closed.promise);
        closed.resolve();
      },
    });
    this.#connections.set(key, connection);
    return connection;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopping = new AnaxError("download.cancelled", { reason: "the daemon stops" });
    for (const connection of this.#connections.values()) connection.close(stopping);
    await Promise.all(this.#closing);
  }

  /** Buffers for blocks up to the next power of two. */
  #poolFor(blockBytes: number): BufferPool {
    let upToBytes = UP_TO_BYTES_MIN;
    while (upToBytes < blockBytes) upToBytes *= 2;
    const known = this.#pools.get(upToBytes);
    if (known !== undefined) return known;
    if (this.#pools.size >= POOLS_MAX) throw new AnaxError("limit.exceeded", { what: "sizes of blocks", max: POOLS_MAX });
    const bufferBytes = upToBytes + BEYOND_BYTES;
    const count = Math.max(2, Math.floor(this.#options.config.receiveBytesMax / bufferBytes));
    const pool = new BufferPool({ bufferBytes, count, waitingMax: WAITING_MAX });
    this.#pools.set(upToBytes, pool);
    return pool;
  }
}

const keyOf = ({ ip, port }: BlockAddress): string => `${ip} ${port}`;
