import { connect, isIP, type Socket } from "node:net";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf, specOf, systemCodeOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { AddressPolicy } from "../source/address-policy.ts";
import { hostMatcher, type HostMatcher } from "../source/host-patterns.ts";
import type { CertificateAuthority } from "./certificates.ts";
import type { ProxyConfig } from "./config.ts";
import { authorityOf } from "./endpoint.ts";
import { errorTypeOf } from "./exchange.ts";
import type { Loops } from "./loops.ts";
import { countRequest, type ProxyMetrics } from "./metrics.ts";
import { checkProxyAuthorization, PROXY_CHALLENGE } from "./proxy-auth.ts";
import type { Registries } from "./registries.ts";

/** Whom the client of a hijacked tunnel believes to talk to. */
export interface TunnelTarget {
  /** Without brackets. */
  readonly hostname: string;
  readonly port: number;
}

interface Parts {
  readonly config: ProxyConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ProxyMetrics;
  readonly policy: AddressPolicy;
  readonly loops: Loops;
  readonly registries: Registries;
  /** Absent where no host is to be hijacked. */
  readonly authority: CertificateAuthority | undefined;
  /** Takes a decrypted connection on which requests for `target` come. */
  readonly onHijacked: (socket: TLSSocket, target: TunnelTarget) => void;
}

/** Answers CONNECT: for chosen hosts in their name, with a certificate of our authority; for all others by a blind tunnel. */
export class Tunnels implements Disposable {
  readonly #parts: Parts;
  readonly #hijacks: HostMatcher;
  readonly #open = new Set<Socket>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#hijacks = parts.authority === undefined ? () => false : hijackMatcher(parts.config, parts.registries);
  }

  /** Never throws: whatever goes wrong is answered on the socket. */
  async accept(request: IncomingMessage, client: Duplex, head: Buffer): Promise<void> {
    client.on("error", ignore); // a client that resets its tunnel is no event
    try {
      const target = this.#admit(request);
      const socket = client as Socket; // `connect` always gives the client's own socket
      socket.setTimeout(0);
      if (this.#hijacks(new URL(`https://${authorityOf(target)}`))) await this.#hijack(target, socket, head);
      else await this.#tunnel(target, socket, head);
    } catch (thrown) {
      this.#refuse(request, client, errorOf(thrown));
    }
  }

  get count(): number {
    return this.#open.size;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#open) socket.destroy();
  }

  #admit(request: IncomingMessage): TunnelTarget {
    const { config, loops, policy } = this.#parts;
    checkProxyAuthorization(request, config);
    loops.checkRequest(request);
    const target = parseAuthority(request.url ?? "");
    loops.checkEndpoint(target);
    policy.checkHost(target.hostname);
    if (request.socket instanceof TLSSocket) throw new AnaxError("input.invalid", { reason: "a tunnel inside a hijacked one" });
    if (this.#open.size >= config.tunnelsMax) throw new AnaxError("limit.exceeded", { tunnelsMax: config.tunnelsMax });
    return target;
  }

  #refuse(request: IncomingMessage, client: Duplex, error: AnaxError): void {
    countRequest(this.#parts.metrics, "tunnel", specOf(error).http < 500 ? "refused" : "failed");
    this.#parts.log.warn("proxy.tunnel-failed", { target: (request.url ?? "").slice(0, 256), code: error.code, reason: error.message });
    if (!client.writable) return void client.destroy();
    const status = specOf(error).http;
    const challenge = status === 407 ? `Proxy-Authenticate: ${PROXY_CHALLENGE["Proxy-Authenticate"]}\r\n` : "";
    client.end(
      `HTTP/1.1 ${status} ${error.code}\r\n${challenge}X-Dragonfly-Error-Type: ${errorTypeOf(error)}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
      () => client.destroy(),
    );
  }

  async #hijack(target: TunnelTarget, client: Socket, head: Buffer): Promise<void> {
    const { authority, clock, config, metrics, log } = this.#parts;
    const secureContext = await authority?.contextFor(target.hostname);
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) client.unshift(head);
    this.#keep(client);
    const secure = new TLSSocket(client, { isServer: true, secureContext, ALPNProtocols: ["http/1.1"] });
    const late = clock.timer(config.headersTimeoutMs, () => void secure.destroy());
    secure.once("close", () => (late[Symbol.dispose](), client.destroy()));
    secure.on("error", (error) => log.debug("proxy.hijack-tls", { host: target.hostname, reason: error.message })); // most often: our authority is not trusted
    secure.once("secure", () => {
      late[Symbol.dispose]();
      countRequest(metrics, "hijack", "pass");
      this.#parts.onHijacked(secure, target);
    });
  }

  async #tunnel(target: TunnelTarget, client: Socket, head: Buffer): Promise<void> {
    const origin = await this.#dial(target, client);
    const { tunnelIdleMs } = this.#parts.config;
    this.#keep(client);
    client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
    if (head.length > 0) origin.write(head);
    for (const [from, to] of [
      [client, origin],
      [origin, client],
    ] as const) {
      from.setTimeout(tunnelIdleMs, () => from.destroy());
      from.on("error", ignore);
      from.pipe(to); // ends `to` when `from` ends: each direction closes on its own
      from.once("close", () => to.destroy());
    }
    countRequest(this.#parts.metrics, "tunnel", "pass");
  }

  #dial(target: TunnelTarget, client: Socket): Promise<Socket> {
    const { clock, config, policy } = this.#parts;
    return new Promise((resolve, reject) => {
      const origin = connect({ host: target.hostname, port: target.port, lookup: policy.lookup, noDelay: true, allowHalfOpen: true });
      const fail = (error: Error): void => {
        late[Symbol.dispose]();
        client.off("close", onLeft);
        origin.destroy();
        const details = { host: target.hostname, port: target.port, systemCode: systemCodeOf(error), reason: error.message };
        reject(error instanceof AnaxError ? error : new AnaxError("source.unreachable", details, { cause: error }));
      };
      const onLeft = (): void => fail(new AnaxError("socket.closed"));
      const late = clock.timer(config.connectTimeoutMs, () => fail(new Error(`no connection in ${config.connectTimeoutMs} ms`)));
      client.once("close", onLeft);
      origin.once("error", fail);
      origin.once("connect", () => {
        late[Symbol.dispose]();
        client.off("close", onLeft);
        origin.off("error", fail);
        resolve(origin);
      });
    });
  }

  #keep(client: Socket): void {
    this.#open.add(client);
    this.#parts.metrics.tunnels.inc();
    client.once("close", () => {
      this.#open.delete(client);
      this.#parts.metrics.tunnels.dec();
    });
  }
}

/** Settings say whose traffic is worth reading: only registries can be served from peers, everything else stays private. */
function hijackMatcher(config: ProxyConfig, registries: Registries): HostMatcher {
  const hosts = [...config.hijackHosts, ...(config.hijackRegistries ? registries.hosts.map(withPort) : [])];
  return hostMatcher(hosts, { subdomains: false });
}

/** A registry without a port is meant at 443 only. */
const withPort = (host: string): string => (/:\d+$/.test(host) ? host : `${host}:443`);

/** `host:port` of a CONNECT request. Throws `input.invalid`. */
export function parseAuthority(text: string): TunnelTarget {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const hostname = (match?.[1] ?? match?.[2] ?? "").toLowerCase().replace(/\.$/, "");
  const port = Number(match?.[3]);
  const sound = hostname !== "" && port > 0 && port <= 65_535 && (match?.[1] === undefined || isIP(hostname) === 6);
  if (!sound || URL.parse(`https://${authorityOf({ hostname, port })}`) === null) {
    throw new AnaxError("input.invalid", { reason: "CONNECT wants host:port", target: text.slice(0, 256) });
  }
  return { hostname, port };
}

const ignore = (): void => undefined;
