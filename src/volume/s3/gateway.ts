import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, InvariantError, systemCodeOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Registry } from "../../base/metrics.ts";
import { Volumes } from "../lifecycle/volumes.ts";
import { Access } from "./access.ts";
import { Buckets } from "./buckets.ts";
import type { S3Config } from "./config.ts";
import { sendXml, type Exchange } from "./exchange.ts";
import { createS3Metrics, type S3Metrics } from "./metrics.ts";
import { operationOf, type Operation } from "./operations.ts";
import { parseRequest, textOfBytes, type S3Request } from "./request.ts";
import { S3Error, s3ErrorOf } from "./s3-error.ts";
import { xmlError } from "./xml.ts";

export interface GatewayOptions {
  readonly config: S3Config;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export interface Gateway extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  /** Requests that are being answered. */
  readonly inFlight: number;
}

/** How long what a client still sends is taken, once it has been refused: it reads the answer only then. */
const REFUSED_MS = 5000;

/** Serves the volumes of a data directory as S3 does buckets. Throws `listen.*`, `config.invalid`; nothing is left open then. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { config, clock, log, dataDir } = options;
  await using scope = new AsyncDisposableStack();
  const metrics = createS3Metrics(options.registry);
  const volumes = new Volumes(dataDir, clock);
  const buckets = scope.use(new Buckets({ dataDir, config, clock, log, metrics }));
  const front = new Front({ ...options, metrics, volumes, buckets, access: new Access({ volumes, config, clock }) });
  const server = serverOf(config);
  server.on("request", (request, response) => front.accept(request, response, false));
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => front.accept(request, response, true));
  server.listen(config.port, config.listenHost);
  await once(server, "listening").catch((cause: unknown) => {
    const code = systemCodeOf(cause) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed";
    throw new AnaxError(code, { address: `${config.listenHost}:${config.port}` }, { cause });
  });
  scope.defer(async () => {
    const closed = once(server, "close");
    server.close();
    server.closeIdleConnections();
    using _late = clock.timer(config.drainMs, () => server.closeAllConnections());
    await front.drained();
    server.closeAllConnections();
    await closed;
  });
  const { address, port } = server.address() as AddressInfo; // a listening TCP server has one
  const owned = scope.move();
  return {
    host: address,
    port,
    secure: config.tlsCertFile !== undefined,
    get inFlight() {
      return front.inFlight;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function serverOf(config: S3Config): Server {
  const { tlsCertFile, tlsKeyFile } = config;
  const options: ServerOptions = {
    maxHeaderSize: config.headerBytesMax,
    headersTimeout: config.headersTimeoutMs,
    requestTimeout: config.requestTimeoutMs,
    keepAliveTimeout: config.keepAliveMs,
  };
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined))
    throw new AnaxError("config.invalid", { problems: ["volume.s3: tlsCertFile and tlsKeyFile belong together"] });
  const server =
    tlsCertFile === undefined || tlsKeyFile === undefined ? createServer(options) : secureServer(options, tlsCertFile, tlsKeyFile);
  server.maxConnections = config.connectionsMax;
  server.timeout = config.idleMs;
  return server;
}

function secureServer(options: ServerOptions, certFile: string, keyFile: string): Server {
  try {
    return createSecureServer({ ...options, cert: readFileSync(certFile), key: readFileSync(keyFile) });
  } catch (thrown) {
    throw new AnaxError(
      "config.invalid",
      { problems: [`volume.s3.tlsCertFile, tlsKeyFile: ${errorOf(thrown).message}`] },
      { cause: thrown },
    );
  }
}

interface FrontOptions extends GatewayOptions {
  readonly metrics: S3Metrics;
  readonly volumes: Volumes;
  readonly buckets: Buckets;
  readonly access: Access;
}

/** Where every request comes in: limits it, finds out what it is and whose, answers it, counts it. */
class Front {
  readonly #options: FrontOptions;
  readonly #running = new Set<Promise<void>>();

  constructor(options: FrontOptions) {
    this.#options = options;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  accept(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean): void {
    request.on("error", ignore); // seen by whoever reads the body
    response.on("error", ignore);
    const done = this.#serve(request, response, expectsContinue).finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  async drained(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #serve(http: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const { metrics, clock } = this.#options;
    const startedMs = clock.nowMs();
    const requestId = randomBytes(8).toString("hex").toUpperCase();
    response.setHeader("x-amz-request-id", requestId);
    response.setHeader("server", "Anax");
    let operation: Operation | undefined;
    let request: S3Request | undefined;
    metrics.inFlight.inc();
    try {
      if (this.#running.size >= this.#options.config.requestsMax) throw new S3Error("SlowDown");
      request = parseRequest(http, this.#options.config.domain);
      operation = operationOf(request);
      await this.#run(operation, { request, response, expectsContinue });
    } catch (thrown) {
      try {
        this.#fail(thrown, { http, response, request, operation, requestId });
      } catch (error) {
        if (error instanceof InvariantError) throw error;
        response.destroy(); // a header that no answer may have, from an attribute that a mount has written
      }
    } finally {
      const name = operation?.name ?? "none";
      metrics.inFlight.dec();
      metrics.requests.inc({ operation: name, status: `${Math.floor(response.statusCode / 100)}xx` });
      metrics.durations.observe({ operation: name }, (clock.nowMs() - startedMs) / 1000);
    }
  }

  async #run(
    operation: Operation,
    { request, response, expectsContinue }: Pick<Exchange, "request" | "response"> & { readonly expectsContinue: boolean },
  ): Promise<void> {
    const { access, buckets, config, volumes, metrics } = this.#options;
    const caller = access.caller(request);
    const wantBody = (): void => {
      if (expectsContinue) response.writeContinue();
    };
    const exchange: Exchange = { request, response, caller, config, access, volumes, buckets, metrics, wantBody };
    if (operation.needs === "nothing") return operation.run(exchange);
    const record = access.bucket(request.bucket!, caller); // operations on the service need none
    await buckets.use(record, (bucket) => operation.run({ ...exchange, bucket }));
  }

  /** One failed request, one line, which names no query: that may hold a signature. A client that left is no failure. */
  #fail(thrown: unknown, { http, response, request, operation, requestId }: Failed): void {
    if (thrown instanceof InvariantError) throw thrown;
    const { log } = this.#options;
    const known = s3ErrorOf(thrown);
    if (known === undefined && (http.errored !== null || response.destroyed)) return void response.destroy();
    const error = known ?? new S3Error("InternalError");
    const fields = { requestId, operation: operation?.name, bucket: request?.bucket, code: error.code, reason: errorOf(thrown).message };
    if (known === undefined) log.error("s3.failed", { ...fields, stack: thrown instanceof Error ? thrown.stack : undefined });
    else log[error.status >= 500 ? "warn" : "debug"]("s3.refused", fields);
    if (response.headersSent) return void response.destroy(); // the client sees that it is not whole
    for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
    if (!http.complete) this.#dropSlowly(http);
    if (error.status === 304 || http.method === "HEAD") return void response.writeHead(error.status).end();
    const resource = request === undefined ? "" : textOfBytes(`/${request.bucket ?? ""}${request.key === "" ? "" : `/${request.key}`}`);
    sendXml(
      { response },
      xmlError([
        ["Code", error.code],
        ["Message", error.message],
        ["Resource", resource],
        ["RequestId", requestId],
      ]),
      error.status,
    );
  }

  /** Many clients read the answer only when they have sent everything. */
  #dropSlowly(http: IncomingMessage): void {
    http.resume();
    const late = this.#options.clock.timer(REFUSED_MS, () => http.destroy());
    http.once("close", () => late[Symbol.dispose]());
  }
}

interface Failed {
  readonly http: IncomingMessage;
  readonly response: ServerResponse;
  readonly request: S3Request | undefined;
  readonly operation: Operation | undefined;
  readonly requestId: string;
}

const ignore = (): void => undefined;
