import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { BufferPool } from "../../../base/buffer-pool.ts";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../../base/errors.ts";
import { Semaphore } from "../../../base/limits.ts";
import type { Log } from "../../../base/log.ts";
import { loadNativeSocket } from "../../../disk/native-socket.ts";
import type { PieceStore } from "../../pieces/types.ts";
import { NO_LIMITS } from "../rates/no-limits.ts";
import type { RateLimits } from "../rates/types.ts";
import type { TransferConfig } from "./config.ts";
import type { TransferMetrics } from "./metrics.ts";
import type { PieceServer } from "./types.ts";
import { Undecided } from "./undecided.ts";
import { UploadConnection } from "./upload-connection.ts";
import type { UploadContext } from "./upload.ts";

export interface PieceServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly store: Pick<PieceStore, "find">;
  readonly config: TransferConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: TransferMetrics;
  readonly limits?: RateLimits | undefined;
  /** Where our own peers ask for blocks: takes over a connection that begins with their greeting. Without it they are answered as strangers. */
  readonly blocks?: BlockHandover | undefined;
}

/** Takes over a connection of our own peers; undefined while nobody can. */
export type BlockHandover = (
  connection: { readonly socket: Socket; readonly first: Buffer } & Pick<
    UploadContext,
    "config" | "clock" | "log" | "limits" | "buffers" | "native"
  >,
) => PeerConnection | undefined;

/** A connection that is served until it is closed, whatever it speaks. */
export interface PeerConnection {
  run(): Promise<void>;
  /** Takes no further request. */
  drain(): void;
  destroy(): void;
}

/**
 * Serves stored pieces over Vortex TCP, to our own peers (which keep connections and pipeline) and to Dragonfly's (a connection per piece).
 * Throws `listen.address-in-use`, `listen.failed`.
 */
export async function startPieceServer(options: PieceServerOptions): Promise<PieceServer> {
  const { config, metrics, log } = options;
  const slots = new Semaphore({ slots: config.uploadsMax, waitingMax: config.uploadsWaitingMax });
  const buffers = new BufferPool({ bufferBytes: config.uploadBufferBytes, count: config.uploadsMax, waitingMax: config.uploadsMax });
  const native = config.sendfile ? await loadNativeSocket() : undefined;
  const context: UploadContext = { ...options, limits: options.limits ?? NO_LIMITS, slots, buffers, native };
  const connections = new Map<PeerConnection, Promise<void>>();
  // Half-open: a peer may close its side after its last request and still wants the answer.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    const connection =
      options.blocks === undefined ? new UploadConnection(socket, context) : new Undecided(socket, context, options.blocks);
    metrics.uploadConnections.inc();
    const served = async (): Promise<void> => {
      await connection.run();
      connections.delete(connection);
      metrics.uploadConnections.dec();
    };
    connections.set(connection, served());
  });
  server.maxConnections = config.uploadConnectionsMax;
  server.on("drop", () => metrics.uploadConnectionsRefused.inc());
  await listen(server, options);
  server.on("error", (error) => log.warn("piece-server.accept-failed", { reason: error.message }));
  log.info("piece-server.listening", { host: options.host, port: portOf(server), sendfile: native !== undefined });
  let stopped: Promise<void> | undefined;
  return {
    port: portOf(server),
    get uploadsInFlight() {
      return slots.inFlight;
    },
    [Symbol.asyncDispose]: () => (stopped ??= stop(server, connections, options)),
  };
}

async function listen(server: Server, at: { readonly host: string; readonly port: number }): Promise<void> {
  try {
    server.listen({ host: at.host, port: at.port });
    await once(server, "listening");
  } catch (cause) {
    const system = systemCodeOf(cause);
    const code = system === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed";
    throw new AnaxError(code, { host: at.host, port: at.port, reason: system }, { cause });
  }
}

const portOf = (server: Server): number => (server.address() as AddressInfo).port; // it listens on TCP

/** Answers that are on their way may finish for a while; then every socket goes. */
async function stop(server: Server, connections: ReadonlyMap<PeerConnection, Promise<void>>, options: PieceServerOptions): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  for (const connection of connections.keys()) connection.drain();
  using _ = options.clock.timer(options.config.uploadDrainMs, () => {
    for (const connection of connections.keys()) connection.destroy();
  });
  await Promise.all(connections.values());
  await closed;
}
