import { once } from "node:events";
import { chmodSync, lstatSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, type ListenOptions, type Server, type Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import type { ParameterName, ParameterValues } from "../parameters/parameters.ts";
import { createTlsServer } from "./tls.ts";

const START_MS = 10_000;

/** Parameters that say where to listen. */
export const LISTENING: readonly ParameterName[] = ["port", "tls-port", "bind", "unixsocket"];

/** One place to listen at. */
interface Place {
  readonly kind: "plain" | "tls" | "unix";
  /** An address, a name, or the path of a socket. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
  /** It may be missing on this machine. */
  readonly optional: boolean;
}

interface Opened {
  /** With the port that it has got. */
  readonly place: Place;
  readonly server: Server;
}

const keyOf = ({ kind, host, port }: Place): string => `${kind} ${host} ${port}`;

/** Where a store listens: as `bind`, `port`, `tls-port` and `unixsocket` say, which may change while it runs. */
export class Listeners implements Disposable {
  readonly #parameters: ParameterValues;
  readonly #clock: Clock;
  readonly #accept: (socket: Socket) => void;
  #open = new Map<string, Opened>();
  /** Being changed. */
  busy = false;

  constructor(parameters: ParameterValues, clock: Clock, accept: (socket: Socket) => void) {
    this.#parameters = parameters;
    this.#clock = clock;
    this.#accept = accept;
  }

  /** Servers for clients without TLS. */
  *plain(): Iterable<Server> {
    for (const { place, server } of this.#open.values()) if (place.kind !== "tls") yield server;
  }

  /** The first address. */
  get host(): string {
    for (const { place } of this.#open.values()) return place.host;
    return "";
  }

  /** The port of the servers of a kind, 0: there are none. */
  port(kind: "plain" | "tls"): number {
    return portOf(this.#open.values(), kind);
  }

  /**
   * Listens where the parameters say, and nowhere else; `port` -1: without plain TCP, 0: at a free one. Where one of the places cannot be had all stays as it was. Throws
   * `listen.address-in-use`, `listen.failed`, or `config.invalid` for certificates.
   */
  async apply(ports: { readonly plain: number; readonly tls: number }): Promise<void> {
    const wanted = placesOf(this.#parameters, ports);
    const opened = new Map<string, Opened>();
    this.busy = true;
    try {
      for (const each of wanted) {
        const place = each.port === 0 ? { ...each, port: portOf(opened.values(), each.kind) } : each; // all addresses have one port
        const known = this.#open.get(keyOf(place));
        const server = known?.server ?? (await this.#listen(place));
        if (server !== undefined) opened.set(keyOf(place), { place: at(place, server), server });
      }
    } catch (thrown) {
      const kept = new Set([...this.#open.values()].map(({ server }) => server));
      for (const { server } of opened.values()) if (!kept.has(server)) server.close();
      throw thrown;
    } finally {
      this.busy = false;
    }
    const kept = new Set([...opened.values()].map(({ server }) => server));
    for (const { server } of this.#open.values()) if (!kept.has(server)) server.close();
    this.#open = new Map([...opened.values()].map((each) => [keyOf(each.place), each]));
  }

  /** Undefined: it need not be, and cannot. */
  async #listen(place: Place): Promise<Server | undefined> {
    const server =
      place.kind === "tls" ? createTlsServer(this.#parameters, this.#accept) : createServer({ pauseOnConnect: true }, this.#accept);
    using deadline = this.#clock.deadline(START_MS);
    try {
      server.listen({ ...whereOf(place), backlog: this.#parameters["tcp-backlog"] });
      await once(server, "listening", { signal: deadline.signal });
    } catch (cause) {
      server.close();
      const code = systemCodeOf(cause);
      if (place.optional && ["EADDRNOTAVAIL", "EAFNOSUPPORT", "ENOPROTOOPT"].includes(code ?? "")) return undefined;
      throw new AnaxError(
        code === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed",
        { host: place.host, port: place.port },
        { cause },
      );
    }
    const mode = Number.parseInt(this.#parameters.unixsocketperm, 8);
    if (place.kind === "unix" && mode !== 0) chmodSync(place.host, mode);
    return server;
  }

  /**
   * Stops listening. Not to be waited for: a server counts the connections that it has accepted, and never hears of the end of those that `Connection` has taken over. They
   * are closed by whoever made them.
   */
  [Symbol.dispose](): void {
    for (const { server } of this.#open.values()) server.close();
    this.#open.clear();
  }
}

function whereOf({ kind, host, port }: Place): ListenOptions {
  if (kind !== "unix") return { host, port, ipv6Only: host.includes(":") };
  if (lstatSync(host, { throwIfNoEntry: false })?.isSocket() === true) rmSync(host); // of an earlier run
  return { path: host };
}

const portOf = (opened: Iterable<Opened>, kind: Place["kind"]): number => {
  for (const { place } of opened) if (place.kind === kind) return place.port;
  return 0;
};

const at = (place: Place, server: Server): Place =>
  place.kind === "unix" ? place : { ...place, port: (server.address() as AddressInfo).port }; // a listening TCP server has one

function placesOf(parameters: ParameterValues, ports: { readonly plain: number; readonly tls: number }): Place[] {
  const hosts = parameters.bind.split(/\s+/).filter((word) => word !== "");
  const places: Place[] = [];
  for (const [kind, port] of [
    ["plain", ports.plain],
    ["tls", ports.tls],
  ] as const)
    if (port >= 0) for (const host of hosts) places.push({ kind, host: hostOf(host), port, optional: host.startsWith("-") });
  if (parameters.unixsocket !== "") places.push({ kind: "unix", host: parameters.unixsocket, port: 0, optional: false });
  return places;
}

const hostOf = (word: string): string => {
  const host = word.replace(/^-/, "");
  return host === "*" ? "0.0.0.0" : host === "::*" ? "::" : host;
};
