import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import type { SecureContext } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import type { AddressPolicy } from "../source/address-policy.ts";
import { hostMatcher, type HostMatcher } from "../source/host-patterns.ts";
import { Trust } from "../source/trust.ts";
import type { SourceConfig } from "../source/config.ts";
import type { ProxyConfig } from "./config.ts";
import { originOf, type Endpoint } from "./endpoint.ts";

export interface OriginRequest {
  readonly endpoint: Endpoint;
  readonly method: string;
  /** Path and query exactly as they go on the wire. */
  readonly path: string;
  /** Name, value, name, value…; without `Host`, which is the endpoint's. */
  readonly headers: readonly string[];
  /** The client's request when its body goes upstream. */
  readonly body?: IncomingMessage | undefined;
  /** Called when the origin wants the body of a request that came with `Expect: 100-continue`. */
  readonly onContinue?: (() => void) | undefined;
  readonly signal: AbortSignal;
}

/** How a TLS connection is judged; the pool keys its connections by `ca`, which a secure context alone would not do. */
interface TlsOptions {
  readonly secureContext: SecureContext;
  readonly rejectUnauthorized: boolean;
  readonly servername: string;
}

/**
 * Requests to origins for what streams through untouched. Node's own client and not the source reader: it keeps the spelling and
 * order of fields, repeated ones, trailers and `100 Continue`, which a proxy must not change.
 */
export class Origins implements Disposable {
  readonly #config: ProxyConfig;
  readonly #clock: Clock;
  readonly #policy: AddressPolicy;
  readonly #trust: Trust;
  readonly #insecure: HostMatcher;
  readonly #proxyEnv: http.ProxyEnv;
  readonly #pools = new Map<string, http.Agent>();

  constructor(parts: {
    readonly config: ProxyConfig;
    readonly clock: Clock;
    readonly policy: AddressPolicy;
    readonly source: OriginSettings;
  }) {
    this.#config = parts.config;
    this.#clock = parts.clock;
    this.#policy = parts.policy;
    this.#trust = new Trust(parts.source.caFiles);
    this.#insecure = hostMatcher(parts.source.insecureHosts, { subdomains: false });
    this.#proxyEnv = proxyEnvOf(parts.source);
  }

  /** The head of the reply; its body must be read or destroyed. Throws `source.denied`, `source.unreachable`, or the signal's reason. */
  async send(request: OriginRequest): Promise<IncomingMessage> {
    request.signal.throwIfAborted();
    this.#policy.checkHost(request.endpoint.hostname);
    const tls = await this.#tlsOf(request.endpoint);
    const repeatable = request.body === undefined && REPEATABLE.has(request.method);
    for (;;) {
      const tried = await this.#attempt(request, tls, repeatable);
      if (tried.kind === "reply") return tried.reply;
      // The origin closed a kept connection just as we used it: says nothing about the request, and a kept one may be stale again.
      if (repeatable && tried.reused && !request.signal.aborted) continue;
      throw this.#failureOf(request, tried.error);
    }
  }

  [Symbol.dispose](): void {
    for (const pool of this.#pools.values()) pool.destroy();
  }

  #attempt(request: OriginRequest, tls: TlsOptions | undefined, repeatable: boolean): Promise<Attempt> {
    const { endpoint } = request;
    return new Promise((resolve) => {
      const options: https.RequestOptions = {
        host: endpoint.hostname,
        port: endpoint.port,
        method: request.method,
        path: request.path,
        headers: ["Host", endpoint.authority, ...request.headers],
        lookup: this.#policy.lookup,
        agent: this.#poolOf(endpoint, tls, repeatable),
        maxHeaderSize: this.#config.headerBytesMax,
        ...tls,
      };
      const outgoing = endpoint.protocol === "https:" ? https.request(options) : http.request(options);
      const connecting = this.#clock.timer(this.#config.connectTimeoutMs, () => outgoing.destroy(timeoutError("ETIMEDOUT", "connecting")));
      const onAbort = (): void => void outgoing.destroy(request.signal.reason as Error);
      request.signal.addEventListener("abort", onAbort, { once: true });
      outgoing.setTimeout(this.#config.originIdleMs, () => outgoing.destroy(timeoutError("ETIMEDOUT", "idle")));
      outgoing.once("socket", (socket) => {
        if (!socket.connecting) connecting[Symbol.dispose]();
        else socket.once(endpoint.protocol === "https:" ? "secureConnect" : "connect", () => connecting[Symbol.dispose]());
      });
      if (request.onContinue !== undefined) outgoing.once("continue", request.onContinue);
      outgoing.once("response", (reply) => resolve({ kind: "reply", reply }));
      outgoing.on("error", (error) => resolve({ kind: "failed", error, reused: outgoing.reusedSocket }));
      outgoing.once("close", () => {
        connecting[Symbol.dispose]();
        request.signal.removeEventListener("abort", onAbort);
        resolve({ kind: "failed", error: timeoutError("ECONNRESET", "closed without a reply"), reused: false });
      });
      sendBody(request.body, outgoing);
    });
  }

  /** A body cannot be sent twice, so it never goes over a kept connection, which may turn out to be stale. */
  #poolOf(endpoint: Endpoint, tls: TlsOptions | undefined, keepAlive: boolean): http.Agent {
    const key = JSON.stringify([tls === undefined, keepAlive, endpoint.tls?.ca, tls?.rejectUnauthorized]);
    const known = this.#pools.get(key);
    if (known !== undefined) return known;
    const maxSockets = this.#config.originConnectionsPerHostMax;
    const options: http.AgentOptions = { keepAlive, maxSockets, maxTotalSockets: maxSockets * 16, maxFreeSockets: 16, scheduling: "lifo" };
    const made =
      tls === undefined
        ? new http.Agent({ ...options, proxyEnv: this.#proxyEnv })
        : new https.Agent({ ...options, proxyEnv: this.#proxyEnv });
    this.#pools.set(key, made); // as many as settings differ between registries, which clients cannot add to
    return made;
  }

  async #tlsOf(endpoint: Endpoint): Promise<TlsOptions | undefined> {
    if (endpoint.protocol !== "https:") return undefined;
    const skip = endpoint.tls?.insecureSkipVerify === true || this.#insecure(new URL(originOf(endpoint)));
    const secureContext = await this.#trust.contextOf(endpoint.tls?.ca ?? []);
    return { secureContext, rejectUnauthorized: !skip, servername: serverNameOf(endpoint.hostname) };
  }

  #failureOf(request: OriginRequest, error: Error): Error {
    if (request.signal.aborted) return request.signal.reason as Error;
    if (error instanceof AnaxError) return error;
    const details = { url: originOf(request.endpoint), systemCode: systemCodeOf(error), reason: error.message };
    return new AnaxError("source.unreachable", details, { cause: error });
  }
}

export type OriginSettings = Pick<SourceConfig, "caFiles" | "insecureHosts" | "proxyUrl" | "noProxy">;

/** The proxy that stands between this machine and its origins; what is on this machine is always reached directly. */
function proxyEnvOf(source: OriginSettings): http.ProxyEnv {
  if (source.proxyUrl === undefined) return {};
  const noProxy = ["localhost", "127.0.0.1-127.255.255.255", "::1", ...source.noProxy].join(",");
  return { HTTP_PROXY: source.proxyUrl, HTTPS_PROXY: source.proxyUrl, NO_PROXY: noProxy };
}

type Attempt =
  | { readonly kind: "reply"; readonly reply: IncomingMessage }
  | { readonly kind: "failed"; readonly error: Error; readonly reused: boolean };

const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS"]);

function sendBody(body: IncomingMessage | undefined, outgoing: http.ClientRequest): void {
  if (body === undefined) return void outgoing.end();
  outgoing.flushHeaders();
  body.pipe(outgoing, { end: false });
  body.once("end", () => {
    if (body.rawTrailers.length > 0) outgoing.addTrailers(pairsOf(body.rawTrailers));
    outgoing.end();
  });
  // A client that leaves in the middle must not look to the origin like one that has finished.
  body.once("close", () => {
    if (!body.complete) outgoing.destroy(timeoutError("ECONNRESET", "the client left"));
  });
}

export function pairsOf(raw: readonly string[]): [string, string][] {
  return Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]); // within the length
}

/** TLS names are names: an address must not be sent as one (RFC 6066 §3). */
const serverNameOf = (hostname: string): string => (/^[\d.]+$|:/.test(hostname) ? "" : hostname);

function timeoutError(code: string, what: string): Error {
  return Object.assign(new Error(what), { code });
}
