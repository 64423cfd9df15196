import { once } from "node:events";
import http, { type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { BufferPool } from "../../base/buffer-pool.ts";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Registry as MetricRegistry } from "../../base/metrics.ts";
import type { NativeSocket } from "../../disk/native-socket.ts";
import type { Downloads } from "../daemon/types.ts";
import { createAddressPolicy } from "../source/address-policy.ts";
import type { SourceConfig } from "../source/config.ts";
import { AccessChecks } from "./access.ts";
import { openAuthority, type CertificateAuthority } from "./certificates.ts";
import type { ProxyConfig } from "./config.ts";
import { Tunnels, type TunnelTarget } from "./connect.ts";
import type { ProxyContext } from "./context.ts";
import { Front } from "./front.ts";
import { Logins } from "./login.ts";
import { Loops } from "./loops.ts";
import { ManifestCache } from "./manifest-cache.ts";
import { createProxyMetrics } from "./metrics.ts";
import { Origins, type OriginSettings } from "./origin.ts";
import { OutputWriter } from "./output.ts";
import { Prefetches } from "./prefetch.ts";
import { Registries } from "./registries.ts";
import { Rules } from "./rules.ts";

export interface ProxyOptions {
  readonly config: ProxyConfig;
  /** The daemon's settings for reaching origins, which hold for what streams through as well. */
  readonly source: OriginSettings & Pick<SourceConfig, "allowNetworks" | "denyNetworks">;
  readonly downloads: Downloads;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: MetricRegistry;
  readonly host: { readonly ip: string };
  /** Where the authority for hijacked hosts is kept. */
  readonly caDir: string;
  /** For bytes that the kernel cannot copy by itself. */
  readonly buffers: BufferPool;
  readonly native: NativeSocket | undefined;
}

export interface Proxy extends AsyncDisposable {
  readonly port: number;
  /** The port of each registry of `mirrors`, in their order. */
  readonly mirrorPorts: readonly number[];
  /** PEM file that clients of hijacked hosts have to trust; undefined where nothing is hijacked. */
  readonly caCertPath: string | undefined;
}

/** Starts the registry mirror and HTTP proxy. Throws `listen.*`, `config.*`; nothing is left open then. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  await using scope = new AsyncDisposableStack();
  const { config, clock, log, downloads } = options;
  const metrics = createProxyMetrics(options.metrics);
  const policy = createAddressPolicy(options.source);
  const registries = await Registries.open(config);
  const authority = await authorityOf(options, registries);
  const origins = scope.use(new Origins({ config, clock, policy, source: options.source }));
  const loops = new Loops(options.host.ip);
  const context: ProxyContext = {
    config,
    downloads,
    clock,
    log,
    metrics,
    hostIp: options.host.ip,
    buffers: options.buffers,
    native: options.native,
    origins,
    registries,
    access: new AccessChecks({ config, clock, metrics, origins }),
    logins: new Logins({ config, clock, origins }),
    loops,
    manifests: new ManifestCache(config.manifestCacheBytes),
    outputs: new OutputWriter(config.outputRoots),
    prefetches: scope.use(new Prefetches({ downloads, max: config.prefetchesMax, log })),
    rules: new Rules(config),
  };
  const front = new Front(context);
  const hijacked = serverOf(config, (request, response, expects) =>
    front.accept({ request, response, expects, target: front.targetOf(request) }),
  );
  const tunnels = scope.use(
    new Tunnels({ config, clock, log, metrics, policy, loops, registries, authority, onHijacked: handOver(front, hijacked) }),
  );
  scope.defer(() => hijacked.closeAllConnections());
  scope.defer(() => front.drain());
  const listen = async (port: number, registry: string | undefined): Promise<number> => {
    const server = serverOf(config, (request, response, expects) => front.accept({ request, response, expects, portRegistry: registry }));
    server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => void tunnels.accept(request, socket, head));
    const taken = await listening(server, config.listenIp, port);
    scope.defer(() => closed(server, front, tunnels));
    loops.addPort(taken);
    return taken;
  };
  hijacked.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => void tunnels.accept(request, socket, head));
  const port = await listen(config.port, undefined);
  const mirrorPorts: number[] = [];
  for (const mirror of config.mirrors) mirrorPorts.push(await listen(mirror.port, mirror.registry));
  log.info("proxy.listening", { ip: config.listenIp, port, mirrorPorts, caCertPath: authority?.certPath });
  const owned = scope.move();
  return { port, mirrorPorts, caCertPath: authority?.certPath, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** An authority is made only where a host could be hijacked, so that no key lies about that nobody needs. */
async function authorityOf(options: ProxyOptions, registries: Registries): Promise<CertificateAuthority | undefined> {
  const { config, clock } = options;
  const hijacks = config.hijackHosts.length > 0 || (config.hijackRegistries && registries.hosts.length > 0);
  if (!hijacks) return undefined;
  const { caCertFile: certFile, caKeyFile: keyFile } = config;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new AnaxError("config.invalid", { problems: ["p2p.proxy: caCertFile and caKeyFile belong together"] });
  }
  return openAuthority({ dir: options.caDir, certFile, keyFile, leavesMax: config.leafCertificatesMax, clock });
}

function serverOf(config: ProxyConfig, accept: (request: IncomingMessage, response: ServerResponse, expects: boolean) => void): Server {
  const server = http.createServer({
    maxHeaderSize: config.headerBytesMax,
    headersTimeout: config.headersTimeoutMs,
    requestTimeout: config.requestTimeoutMs,
    keepAliveTimeout: config.keepAliveMs,
    connectionsCheckingInterval: Math.min(config.headersTimeoutMs, 5000),
    insecureHTTPParser: false,
    noDelay: true,
  });
  server.maxConnections = config.connectionsMax;
  server.on("request", (request: IncomingMessage, response: ServerResponse) => accept(request, response, false));
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => accept(request, response, true));
  server.on("clientError", refuseMalformed);
  return server;
}

/** What is no HTTP, too long or too slow. The connection ends: where the next request would start is unknown. */
function refuseMalformed(error: Error, socket: Duplex): void {
  const code = systemCodeOf(error);
  if (!socket.writable || code === "ECONNRESET") return void socket.destroy();
  const status =
    code === "HPE_HEADER_OVERFLOW"
      ? "431 Request Header Fields Too Large"
      : code === "ERR_HTTP_REQUEST_TIMEOUT"
        ? "408 Request Timeout"
        : "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nX-Dragonfly-Error-Type: proxy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`, () =>
    socket.destroy(),
  );
}

function handOver(front: Front, server: Server): (socket: Socket, target: TunnelTarget) => void {
  return (socket, target) => {
    front.setTarget(socket, target);
    server.emit("connection", socket);
  };
}

async function listening(server: Server, host: string, port: number): Promise<number> {
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (thrown) {
    const code = systemCodeOf(thrown) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed";
    throw new AnaxError(code, { ip: host, port, reason: systemCodeOf(thrown) }, { cause: thrown });
  }
  return (server.address() as AddressInfo).port; // a listening TCP server has one
}

/** Takes no further connection, lets requests end while there is time, then cuts what is left. */
async function closed(server: Server, front: Front, tunnels: Tunnels): Promise<void> {
  const done = once(server, "close");
  server.close();
  server.closeIdleConnections();
  await front.drain();
  tunnels[Symbol.dispose](); // they are connections of the server, which it does not know any more
  server.closeAllConnections();
  await done;
}
