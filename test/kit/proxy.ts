import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { BufferPool } from "../../src/base/buffer-pool.ts";
import { realClock, type Clock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRegistry, type Registry } from "../../src/base/metrics.ts";
import { createRandom } from "../../src/base/random.ts";
import { loadNativeSocket } from "../../src/disk/native-socket.ts";
import { PeerChannels } from "../../src/p2p/daemon/channels.ts";
import { DaemonConfig } from "../../src/p2p/daemon/config.ts";
import { createDownloads, type RunningDownloads } from "../../src/p2p/daemon/downloads.ts";
import { daemonMetricsOf } from "../../src/p2p/daemon/metrics.ts";
import { NO_LIMITS } from "../../src/p2p/daemon/rates/no-limits.ts";
import { PeerIds } from "../../src/p2p/daemon/peer-ids.ts";
import { RunningRecord } from "../../src/p2p/daemon/resume/running-record.ts";
import { TaskStories } from "../../src/p2p/daemon/task-story.ts";
import type { PieceClient } from "../../src/p2p/daemon/transfer/types.ts";
import { PiecesConfig } from "../../src/p2p/pieces/config.ts";
import { openPieceStore } from "../../src/p2p/pieces/store.ts";
import type { PieceStore } from "../../src/p2p/pieces/types.ts";
import { ProxyConfig } from "../../src/p2p/proxy/config.ts";
import { startProxy, type Proxy } from "../../src/p2p/proxy/proxy.ts";
import { insecureHostsOf } from "../../src/p2p/proxy/registries.ts";
import { SourceConfig } from "../../src/p2p/source/config.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { aMemoryBudget } from "./memory.ts";
import { aSources } from "./sources.ts";

export interface TestProxy extends AsyncDisposable {
  readonly proxy: Proxy;
  readonly dir: string;
  readonly store: PieceStore;
  readonly downloads: RunningDownloads;
  readonly metrics: Registry;
  /** `http://127.0.0.1:port` */
  readonly url: string;
}

export interface TestProxyOptions {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly pieces?: Readonly<Record<string, unknown>>;
  readonly source?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
}

/** A proxy before a real store and real sources, on a machine without other peers. */
export async function aProxy(options: TestProxyOptions = {}): Promise<TestProxy> {
  await using scope = new AsyncDisposableStack();
  const clock = options.clock ?? realClock;
  const directory = scope.use(await temporaryDirectory());
  const metrics = createRegistry({ runtime: false });
  const store = scope.use(
    await openPieceStore({
      dir: join(directory.path, "pieces"),
      config: PiecesConfig.parse(options.pieces ?? {}),
      clock,
      log: silentLog,
      metrics,
    }),
  );
  const config = ProxyConfig.parse({ port: 0, drainMs: "0s", ...options.config });
  const sources = scope.use(aSources({ ...options.source, insecureHosts: insecureHostsOf(config) }));
  const record = scope.use(
    new RunningRecord({ path: join(directory.path, "running-downloads.json"), enabled: true, clock, log: silentLog }),
  );
  const downloads = scope.use(
    createDownloads({
      record,
      store,
      sources,
      pieceClient: NO_PEERS,
      limits: NO_LIMITS,
      memory: aMemoryBudget(),
      schedulers: { announce: () => Promise.resolve(undefined), changed: () => undefined },
      channels: scope.use(new PeerChannels({ clock })),
      hostId: "127.0.0.1-test",
      place: () => undefined,
      mesh: undefined,
      config: DaemonConfig.parse({ sourceAttemptsMax: 1, sourceBackoffMs: "10ms" }),
      clock,
      random: createRandom(1),
      log: silentLog,
      metrics: daemonMetricsOf(metrics),
      stories: new TaskStories({ wallMs: () => clock.wallMs() }),
      peerIds: new PeerIds({ ip: "127.0.0.1", hostname: "test", seed: false }),
      isForeign: () => false,
    }),
  );
  const proxy = scope.use(
    await startProxy({
      config,
      source: SourceConfig.parse(options.source ?? {}),
      downloads,
      clock,
      log: silentLog,
      metrics,
      host: { ip: "127.0.0.1" },
      caDir: join(directory.path, "ca"),
      buffers: new BufferPool({ bufferBytes: 128 * 1024, count: 4, waitingMax: 64 }),
      native: await loadNativeSocket(),
    }),
  );
  const owned = scope.move();
  return {
    proxy,
    dir: directory.path,
    store,
    downloads,
    metrics,
    url: `http://127.0.0.1:${proxy.port}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Nobody offers a parent where there is no scheduler, so none is ever asked. */
const NO_PEERS: PieceClient = {
  fetch: () => Promise.reject(new Error("there are no peers")),
  inFlight: () => 0,
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

export interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly trailers: IncomingMessage["trailers"];
  readonly body: Buffer;
  /** What the client's end of the connection was bound to: equal ports mean the same connection. */
  readonly localPort: number;
}

export interface AskOptions {
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  readonly trailers?: Readonly<Record<string, string>>;
  readonly agent?: http.Agent | false;
  /** The request target when it is not the URL's path: an absolute URL for a proxy. */
  readonly target?: string;
}

/** One request; rejects when the reply breaks off. */
export async function ask(url: string, options: AskOptions = {}): Promise<Reply> {
  const { hostname, port, pathname, search } = new URL(url);
  const request = http.request({
    hostname,
    port,
    path: options.target ?? pathname + search,
    method: options.method ?? "GET",
    headers: options.headers ?? {},
    agent: options.agent ?? false,
  });
  if (options.trailers !== undefined) request.flushHeaders();
  if (options.body !== undefined) request.write(options.body);
  if (options.trailers !== undefined) request.addTrailers(options.trailers);
  request.end();
  const [reply] = (await once(request, "response")) as [IncomingMessage];
  const localPort = reply.socket.localPort ?? 0;
  const chunks: Buffer[] = [];
  for await (const chunk of reply) chunks.push(chunk as Buffer);
  return { status: reply.statusCode ?? 0, headers: reply.headers, trailers: reply.trailers, body: Buffer.concat(chunks), localPort };
}

/** Sends bytes as they are and returns everything that comes back until the other side closes. */
export async function sendRaw(port: number, bytes: string | readonly string[]): Promise<string> {
  const socket: Socket = connect(port, "127.0.0.1");
  for (const part of [bytes].flat()) socket.write(part);
  return text(socket);
}
