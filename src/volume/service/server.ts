import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { BlockList, isIP, type AddressInfo } from "node:net";
import { Readable } from "node:stream";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, specOf, systemCodeOf, type ErrorCode } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Registry } from "../../base/metrics.ts";
import { Volumes } from "../lifecycle/volumes.ts";
import type { VolumeServiceConfig } from "./config.ts";
import { contentTo } from "./framing.ts";
import { argumentsAs, isMethod, runMethod, SERVED, type MethodName } from "./methods.ts";
import { createServiceMetrics } from "./metrics.ts";
import { isSame, ownToken, tokenFileIn } from "./token.ts";

export interface VolumeServerOptions {
  readonly config: VolumeServiceConfig;
  readonly dataDir: string;
  /** Unix socket of this machine's daemon, whether or not it runs. */
  readonly daemonSocket?: string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export interface VolumeServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly callsInFlight: number;
}

/**
 * `POST PATH/METHOD` with the arguments as a JSON array; what `load` sends comes after it and a line feed. The answer: lines of JSON, empty ones while it works,
 * `{progress}`, content as framing.ts has it, in the end `{result}` or `{error}`.
 */
export const PATH = "/v1/volumes/";

const BODY_BYTES_MAX = 64 * 1024;
/** For a request's head, and for its arguments; and so long a caller that sends content may be silent. */
const REQUEST_TIMEOUT_MS = 10_000;
const SILENCE_MS = 60_000;
/** Progress is told as often at most. */
const PROGRESS_MS = 100;
/** So that nobody in between takes a long call for a dead one. */
const ALIVE_MS = 5000;
const CONNECTIONS_MAX = 256;

/** Serves the volumes of a data directory to whoever knows its token. Throws `config.invalid`, `listen.*`. */
export async function startVolumeServer({
  config,
  dataDir,
  daemonSocket,
  clock,
  log,
  registry,
}: VolumeServerOptions): Promise<VolumeServer> {
  const metrics = createServiceMetrics(registry);
  const token = ownToken(config.tokenFile ?? tokenFileIn(dataDir));
  const server = serverOf(config);
  const volumes = new Volumes(dataDir, clock);
  const running = new Set<Promise<void>>();
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const call = answer(request, response).catch((thrown: unknown) => {
      const error = errorOf(thrown);
      metrics.refused.inc({ reason: REASONS[error.code] ?? "request" });
      void refuse(request, response, { error, clock }); // it takes no place among the calls
    });
    running.add(call);
    void call.finally(() => running.delete(call));
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const given = /^Bearer (?<token>\S+)$/.exec(request.headers.authorization ?? "")?.groups?.["token"] ?? "";
    if (!isSame(given, token)) throw new AnaxError("volume.service-denied");
    if (running.size >= config.callsMax) throw new AnaxError("limit.exceeded", { calls: running.size, callsMax: config.callsMax });
    const name = (request.url ?? "").startsWith(PATH) ? request.url!.slice(PATH.length) : ""; // just checked
    if (request.method !== "POST" || !(isMethod(name) || isServed(name)))
      throw new AnaxError("input.invalid", { method: name.slice(0, 100), reason: "no such method" });
    const args = await argumentsOf(request, { clock, more: name === "load" });
    log.info("volume.call", {
      method: name,
      volume: Array.isArray(args) && typeof args[0] === "string" ? args[0] : undefined,
      peer: request.socket.remoteAddress,
    });
    response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
    response.flushHeaders();
    const tell = (line: unknown): void => void response.write(`${JSON.stringify(line)}\n`);
    const alive = new AbortController();
    const living = stayAlive(response, clock, alive.signal);
    const startedMs = clock.nowMs();
    metrics.inFlight.inc();
    let outcome: "done" | "failed" = "done";
    try {
      tell({ result: await perform(name, args, { request, response, tell }) });
    } catch (thrown) {
      outcome = "failed";
      tell(errorLine(errorOf(thrown), log));
    }
    metrics.inFlight.dec();
    metrics.calls.inc({ method: name, outcome });
    metrics.durations.observe({ method: name }, (clock.nowMs() - startedMs) / 1000);
    alive.abort();
    await living;
    if (name === "load") await takeRest(request, clock);
    response.end();
  };
  const perform = async (name: MethodName | keyof typeof SERVED, args: unknown, { request, response, tell }: Call): Promise<unknown> => {
    if (name === "dump") return volumes.dumpTo(argumentsAs(name, SERVED.dump, args)[0], contentTo(response, clock));
    if (name === "load") {
      const [{ name: other, meta }] = argumentsAs(name, SERVED.load, args);
      return volumes.loadFrom(Readable.from(heard(request, clock)), other, meta);
    }
    if (name === "place" && !config.mounts)
      throw new AnaxError("volume.mount-failed", {
        reason: "the service tells nobody where metadata are",
        setting: "volume.service.mounts",
      });
    let toldMs = Number.NEGATIVE_INFINITY;
    const onProgress = (progress: unknown): void => {
      const nowMs = clock.nowMs();
      if (nowMs - toldMs < PROGRESS_MS || response.writableNeedDrain) return;
      toldMs = nowMs;
      tell({ progress });
    };
    if (name !== "warm") return runMethod(volumes, name, args, onProgress);
    const [volume, { path, peerWaitMs: waitMs }] = argumentsAs(name, SERVED.warm, args);
    const left = new AbortController();
    response.once("close", () => left.abort(new AnaxError("download.cancelled", { reason: "the caller has left" })));
    const peers = daemonSocket === undefined ? undefined : { daemonSocket, waitMs };
    return volumes.warm(volume, { path, peers, cacheDir: undefined, signal: left.signal, onProgress });
  };
  server.listen(config.port, config.listenHost);
  await once(server, "listening").catch((cause: unknown) => {
    const code = systemCodeOf(cause) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed";
    throw new AnaxError(code, { address: `${config.listenHost}:${config.port}` }, { cause });
  });
  const { address, port } = server.address() as AddressInfo; // a listening TCP server has one
  return {
    host: address,
    port,
    secure: config.tlsCertFile !== undefined,
    get callsInFlight() {
      return running.size;
    },
    async [Symbol.asyncDispose]() {
      const closed = server[Symbol.asyncDispose]();
      server.closeIdleConnections();
      using _late = clock.timer(config.drainMs, () => server.closeAllConnections());
      await Promise.all(running);
      server.closeAllConnections();
      await closed;
    },
  };
}

const REASONS: Partial<Record<ErrorCode, "token" | "busy">> = { "volume.service-denied": "token", "limit.exceeded": "busy" };

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly tell: (line: unknown) => void;
}

const isServed = (name: string): name is keyof typeof SERVED => Object.hasOwn(SERVED, name);

const wrong = (problem: string, cause?: unknown): AnaxError =>
  new AnaxError("config.invalid", { problems: [`volume.service: ${problem}`] }, { cause });

function serverOf(config: VolumeServiceConfig): Server {
  const { tlsCertFile, tlsKeyFile, listenHost } = config;
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined)) throw wrong("tlsCertFile and tlsKeyFile belong together");
  // How long a whole request takes is up to what is in it: see `argumentsOf` and `heard`.
  const options = { maxHeaderSize: 16_384, headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: 0 };
  if (tlsCertFile === undefined && !isOfThisMachine(listenHost))
    throw wrong(`listenHost ${listenHost} is open to others: give tlsCertFile and tlsKeyFile`);
  let server: Server;
  try {
    server =
      tlsCertFile === undefined || tlsKeyFile === undefined
        ? createServer(options)
        : createSecureServer({ ...options, cert: readFileSync(tlsCertFile), key: readFileSync(tlsKeyFile) });
  } catch (thrown) {
    throw wrong(`tlsCertFile, tlsKeyFile: ${errorOf(thrown).message}`, thrown);
  }
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

function isOfThisMachine(host: string): boolean {
  const kind = isIP(host);
  return host === "localhost" || (kind !== 0 && LOOPBACK.check(host, kind === 6 ? "ipv6" : "ipv4"));
}

/** All of the request, or with `more` its first line. */
async function argumentsOf(request: IncomingMessage, { clock, more }: { readonly clock: Clock; readonly more: boolean }): Promise<unknown> {
  using _late = clock.timer(REQUEST_TIMEOUT_MS, () => void request.destroy(new AnaxError("socket.closed", { reason: "no request" })));
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    const end = more ? chunk.indexOf("\n") : -1;
    const part = end === -1 ? chunk : chunk.subarray(0, end);
    bytes += part.length;
    if (bytes > BODY_BYTES_MAX) throw new AnaxError("input.invalid", { reason: "the request is too long", bytesMax: BODY_BYTES_MAX });
    parts.push(part);
    if (end === -1) continue;
    request.unshift(chunk.subarray(end + 1));
    break;
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString()) as unknown;
  } catch (cause) {
    throw new AnaxError("input.invalid", { expected: "a JSON array" }, { cause });
  }
}

/** What comes after the arguments. Whoever stops to listen leaves the request open, so that the caller can be told why. */
async function* heard(request: IncomingMessage, clock: Clock): AsyncGenerator<Buffer> {
  const chunks = request.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  const next = async (): Promise<IteratorResult<Buffer>> => {
    using _late = clock.timer(SILENCE_MS, () => void request.destroy(new AnaxError("socket.closed", { reason: "nothing comes" })));
    return await chunks.next();
  };
  try {
    for (let { done, value } = await next(); done !== true; { done, value } = await next()) yield value;
  } finally {
    await chunks.return?.();
  }
}

/** A caller that is still sending would not hear a connection that is closed upon it. */
async function takeRest(request: IncomingMessage, clock: Clock): Promise<void> {
  if (request.complete || request.destroyed) return;
  using _late = clock.timer(REQUEST_TIMEOUT_MS, () => void request.destroy());
  const over = once(request, "close").catch(() => undefined);
  request.resume();
  await Promise.race([over, once(request, "end").catch(() => undefined)]);
}

async function stayAlive(response: ServerResponse, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(ALIVE_MS, signal).catch(() => undefined);
    if (signal.aborted) return;
    response.write("\n");
  }
}

function errorLine(error: AnaxError, log: Log): unknown {
  if (error.code === "internal") log.error("volume.call-failed", { reason: error.message, stack: error.stack });
  return { error: { code: error.code, details: error.details } };
}

async function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  { error, clock }: { readonly error: AnaxError; readonly clock: Clock },
): Promise<void> {
  if (response.headersSent) return void response.destroy();
  response.writeHead(specOf(error).http, { "content-type": "application/x-ndjson", connection: "close" });
  response.write(`${JSON.stringify({ error: { code: error.code, details: error.details } })}\n`);
  await takeRest(request, clock);
  response.end();
}
