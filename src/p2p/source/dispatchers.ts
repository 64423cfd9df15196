import type { Socket } from "node:net";
import { Agent, buildConnector, ProxyAgent, type Dispatcher } from "undici";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { AddressPolicy } from "./address-policy.ts";
import type { SourceConfig } from "./config.ts";
import { chainKeyOf, type Trust } from "./trust.ts";

/** How a connection must be made; requests that agree share their connections. */
export interface Route {
  readonly tls: boolean;
  readonly viaProxy: boolean;
  readonly insecure: boolean;
  readonly certificates: readonly string[];
}

/** Keep-alive connection pools, one set per kind of route. */
export class Dispatchers {
  readonly #config: SourceConfig;
  readonly #clock: Clock;
  readonly #policy: AddressPolicy;
  readonly #trust: Trust;
  readonly #open = new Map<string, Dispatcher>();
  readonly #closing = new Set<Promise<void>>();

  constructor(parts: { readonly config: SourceConfig; readonly clock: Clock; readonly policy: AddressPolicy; readonly trust: Trust }) {
    this.#config = parts.config;
    this.#clock = parts.clock;
    this.#policy = parts.policy;
    this.#trust = parts.trust;
  }

  async for(route: Route): Promise<Dispatcher> {
    const tls = route.tls ? { ...(await this.#tlsOptions(route)) } : {};
    const key = [route.tls, route.viaProxy, route.insecure, chainKeyOf(route.certificates)].join("|");
    const known = this.#open.get(key);
    this.#open.delete(key); // set again below, so that the map is ordered by last use
    const dispatcher = known ?? (route.viaProxy && route.tls ? this.#tunnel(tls) : this.#direct(tls, route));
    this.#open.set(key, dispatcher);
    this.#evict();
    return dispatcher;
  }

  /** Ends every request with this reason. */
  async destroy(reason: AnaxError): Promise<void> {
    await Promise.all([...[...this.#open.values()].map((dispatcher) => dispatcher.destroy(reason)), ...this.#closing]);
    this.#open.clear();
  }

  async #tlsOptions(route: Route): Promise<buildConnector.BuildOptions> {
    return { secureContext: await this.#trust.contextOf(route.certificates), rejectUnauthorized: !route.insecure };
  }

  /** To the host itself, or to the proxy for requests in absolute form: its address is the operator's choice and not judged. */
  #direct(tls: buildConnector.BuildOptions, route: Route): Agent {
    const connect = this.#connector(route.viaProxy ? {} : { ...tls, lookup: this.#policy.lookup });
    return new Agent({ ...this.#common(), connect });
  }

  /** CONNECT through the proxy, which resolves the target. */
  #tunnel(tls: buildConnector.BuildOptions): ProxyAgent {
    const timeout = this.#config.connectTimeoutMs;
    const uri = this.#config.proxyUrl ?? "";
    const token = basicAuthorization(new URL(uri));
    return new ProxyAgent({
      ...this.#common(),
      uri,
      ...(token !== undefined && { token }),
      requestTls: { ...tls, timeout },
      proxyTls: { timeout },
    });
  }

  #common(): Agent.Options {
    // Silence is judged by our own clock, in the transport (head) and in BodyChunks (body).
    return { keepAliveTimeout: this.#config.keepAliveMs, headersTimeout: 0, bodyTimeout: 0, pipelining: 1 };
  }

  #connector(socketOptions: buildConnector.BuildOptions): buildConnector.connector {
    const open = buildConnector({ ...socketOptions, timeout: 0 });
    return (options, callback) => {
      const { connectTimeoutMs } = this.#config;
      // undici's types hide it, but the connector returns the socket that it is opening.
      const socket = open(options, (...result) => {
        late[Symbol.dispose]();
        callback(...result);
      }) as unknown as Socket;
      const late = this.#clock.timer(connectTimeoutMs, () => {
        const reason = `no connection in ${connectTimeoutMs} ms`;
        socket.destroy(new AnaxError("source.unreachable", { host: options.hostname, systemCode: "ETIMEDOUT", reason }));
      });
    };
  }

  #evict(): void {
    const [oldest] = this.#open;
    if (this.#open.size <= DISPATCHERS_MAX || oldest === undefined) return;
    this.#open.delete(oldest[0]);
    const closed = oldest[1].close().finally(() => this.#closing.delete(closed)); // requests under way finish first
    this.#closing.add(closed);
  }
}

const DISPATCHERS_MAX = 32;

/** `Basic …` for the user and password in a URL (RFC 7617), if it has them. */
export function basicAuthorization(url: URL): string | undefined {
  if (url.username === "") return undefined;
  return `Basic ${Buffer.from(`${decoded(url.username)}:${decoded(url.password)}`).toString("base64")}`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray percent sign stands for itself
  }
}
