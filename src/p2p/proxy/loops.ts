import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { networkInterfaces } from "node:os";
import { AnaxError } from "../../base/errors.ts";
import { isLoopback, type Endpoint } from "./endpoint.ts";

/** Keeps a request from going round in circles: through this proxy again, directly or by way of others. */
export class Loops {
  readonly #name = `anax-${randomBytes(6).toString("hex")}`;
  readonly #hostIp: string;
  readonly #ports = new Set<number>();

  constructor(hostIp: string) {
    this.#hostIp = hostIp;
  }

  /** A port that this proxy listens on. */
  addPort(port: number): void {
    this.#ports.add(port);
  }

  /** The value of `Via` for a message that came in as `httpVersion`. */
  via(httpVersion: string): string {
    return `${httpVersion} ${this.#name}`;
  }

  /** Throws `proxy.loop` when the request has been here before. */
  checkRequest(request: Pick<IncomingMessage, "headers">): void {
    const via = request.headers["via"] ?? "";
    if (via.includes(this.#name)) throw new AnaxError("proxy.loop", { via: via.slice(0, 256) });
  }

  /** Throws `proxy.loop` when the endpoint is this proxy itself. */
  checkEndpoint(endpoint: Pick<Endpoint, "hostname" | "port">): void {
    if (this.#ports.has(endpoint.port) && this.#isOurs(endpoint.hostname)) {
      throw new AnaxError("proxy.loop", { host: endpoint.hostname, port: endpoint.port });
    }
  }

  #isOurs(hostname: string): boolean {
    if (isLoopback(hostname) || hostname === this.#hostIp || hostname === "0.0.0.0" || hostname === "::") return true;
    return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === hostname));
  }
}
