import { open } from "node:fs/promises";
import { createServer as createHttpServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { resolve, sep } from "node:path";
import { realClock, type Clock } from "../../src/base/clock.ts";
import { formatHttpDate } from "../../src/base/http-date.ts";
import { formatContentRange, rangeOf, type ByteRange } from "../../src/wire/http/range.ts";
import { fillGenerated, type GeneratedContent } from "./generated-content.ts";

/** What a path holds: bytes at hand, or bytes that follow from a seed. */
export type OriginContent = Uint8Array | string | GeneratedContent;

/** How an origin misbehaves for one path. Several can be combined. */
export interface Fault {
  /** Only the first so many requests suffer; then the path is healthy. Default: all. */
  readonly times?: number;
  /** Default: every method. */
  readonly methods?: readonly ("GET" | "HEAD")[];
  /** Answer with this status and a short text. */
  readonly status?: number;
  /** Added to the reply, whatever it is. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Answer a range request with 200 and everything, and do not announce ranges. */
  readonly ignoreRange?: boolean;
  /** Answer a range request with 206 and the range shifted by so many bytes. */
  readonly shiftRangeBytes?: number;
  /** No Content-Length, chunked transfer coding. */
  readonly chunked?: boolean;
  /** Close the connection after so many bytes of the body. */
  readonly truncateAfterBytes?: number;
  /** Send nothing more after so many bytes; -1: not even the head. */
  readonly stallAfterBytes?: number;
  readonly bytesPerSecond?: number;
  /** Where to send the client: an absolute URL or a path. */
  readonly redirectTo?: string;
  /** Default 302. */
  readonly redirectStatus?: number;
  /** Reset the connection instead of answering. */
  readonly reset?: boolean;
  /** Announce so many bytes more than come (negative: fewer). */
  readonly contentLengthError?: number;
  /** Refuse HEAD with this status. */
  readonly headStatus?: number;
  readonly auth?: OriginAuth;
}

export type OriginAuth =
  | { readonly kind: "basic"; readonly user: string; readonly password: string }
  | { readonly kind: "bearer"; readonly token: string };

export interface OriginOptions {
  /** Serve the files below this directory. */
  readonly directory?: string;
  /** Path (`/file`) to content. */
  readonly content?: Readonly<Record<string, OriginContent>>;
  readonly faults?: Readonly<Record<string, Fault>>;
  /** Wanted for every path. */
  readonly auth?: OriginAuth;
  /** PEM; makes it an HTTPS origin. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default: a free one. */
  readonly port?: number;
  /** Paces slow replies. */
  readonly clock?: Clock;
  /** Sees each request first; true when it has answered. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse, path: string) => boolean;
  /** The text that goes with an error status. */
  readonly errorText?: (status: number, path: string) => string;
}

export interface OriginStats {
  readonly gets: number;
  readonly heads: number;
  /** Bytes of bodies handed to the system, without heads. */
  readonly bytesSent: number;
}

export interface RecordedRequest {
  readonly method: string;
  readonly path: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A real HTTP origin that counts what it sends and misbehaves on demand. */
export interface Origin extends AsyncDisposable {
  readonly port: number;
  url(path: string): string;
  stats(path: string): OriginStats;
  totals(): OriginStats;
  /** The latest requests, oldest first, at most 1000. */
  readonly requests: readonly RecordedRequest[];
  /** TCP connections accepted so far. */
  readonly connections: number;
  put(path: string, content: OriginContent): void;
  setFault(path: string, fault: Fault | undefined): void;
  /** Resolves once `condition` holds, asked after every request and every chunk of a body. */
  until(condition: () => boolean): Promise<void>;
}

export async function startOrigin(options: OriginOptions = {}): Promise<Origin> {
  const site = new Site(options);
  const listener: RequestListener = (request, response) => void site.answer(request, response);
  const server = options.tls === undefined ? createHttpServer(listener) : createHttpsServer(options.tls, listener);
  server.on("connection", () => site.connections++);
  server.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // listening on TCP
  const scheme = options.tls === undefined ? "http" : "https";
  return {
    port,
    url: (path) => `${scheme}://${options.host ?? "127.0.0.1"}:${port}${path}`,
    stats: (path) => site.statsOf(path),
    totals: () => site.totals(),
    get requests() {
      return site.requests;
    },
    get connections() {
      return site.connections;
    },
    put: (path, content) => site.put(path, content),
    setFault: (path, fault) => site.setFault(path, fault),
    until: (condition) => site.until(condition),
    [Symbol.asyncDispose]: () => closeServer(server),
  };
}

async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, "close");
  server.close();
  server.closeAllConnections();
  await closed;
}

interface Entity {
  readonly bytes: number;
  readonly etag: string;
  readonly modifiedMs: number;
  /** Fills the buffer from `offset` on. */
  fill(offset: number, target: Buffer): Promise<void> | void;
}

const REQUESTS_KEPT = 1000;
const CHUNK_BYTES = 256 * 1024;
const FIXED_MODIFIED_MS = 1_700_000_000_000;

class Site {
  readonly requests: RecordedRequest[] = [];
  connections = 0;
  readonly #options: OriginOptions;
  readonly #content: Map<string, OriginContent>;
  readonly #faults: Map<string, { readonly fault: Fault; left: number }>;
  readonly #stats = new Map<string, { gets: number; heads: number; bytesSent: number }>();
  readonly #watchers = new Set<() => void>();

  constructor(options: OriginOptions) {
    this.#options = options;
    this.#content = new Map(Object.entries(options.content ?? {}));
    this.#faults = new Map();
    for (const [path, fault] of Object.entries(options.faults ?? {})) this.setFault(path, fault);
  }

  put(path: string, content: OriginContent): void {
    this.#content.set(path, content);
  }

  setFault(path: string, fault: Fault | undefined): void {
    if (fault === undefined) this.#faults.delete(path);
    else this.#faults.set(path, { fault, left: fault.times ?? Infinity });
  }

  statsOf(path: string): OriginStats {
    return { ...this.#countersOf(path) };
  }

  totals(): OriginStats {
    const sum = { gets: 0, heads: 0, bytesSent: 0 };
    for (const { gets, heads, bytesSent } of this.#stats.values()) {
      sum.gets += gets;
      sum.heads += heads;
      sum.bytesSent += bytesSent;
    }
    return sum;
  }

  until(condition: () => boolean): Promise<void> {
    return new Promise((resolvePromise) => {
      const check = (): void => {
        if (!condition()) return;
        this.#watchers.delete(check);
        resolvePromise();
      };
      this.#watchers.add(check);
      check();
    });
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on("error", () => response.destroy());
    const path = pathOf(request);
    this.#record(request, path);
    try {
      await this.#serve(request, response, path);
    } catch {
      response.destroy();
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const fault = this.#faultFor(path, request.method ?? "GET");
    if (fault.reset === true) return void request.socket.resetAndDestroy();
    if (fault.stallAfterBytes === -1) return; // until the client gives up or the origin closes
    for (const [name, value] of Object.entries(fault.headers ?? {})) response.setHeader(name, value);
    const refuse = (status: number): void => this.#refuse(response, path, status);
    if (request.method !== "GET" && request.method !== "HEAD") return refuse(405);
    const wanted = fault.auth ?? this.#options.auth;
    if (wanted !== undefined && request.headers.authorization !== authorizationOf(wanted)) {
      response.setHeader("www-authenticate", wanted.kind === "basic" ? 'Basic realm="origin"' : 'Bearer realm="origin"');
      return refuse(401);
    }
    if (fault.redirectTo !== undefined) {
      response.setHeader("location", fault.redirectTo);
      return refuse(fault.redirectStatus ?? 302);
    }
    if (fault.status !== undefined) return refuse(fault.status);
    if (request.method === "HEAD" && fault.headStatus !== undefined) return refuse(fault.headStatus);
    if (this.#options.intercept?.(request, response, path) === true) return;
    await using entity = await this.#open(path);
    if (entity === undefined) return refuse(404);
    await this.#send(request, response, { entity, fault, path });
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    { entity, fault, path }: { readonly entity: Entity; readonly fault: Fault; readonly path: string },
  ): Promise<void> {
    response.setHeader("etag", entity.etag);
    response.setHeader("last-modified", formatHttpDate(entity.modifiedMs));
    response.setHeader("content-type", "application/octet-stream");
    if (fault.ignoreRange !== true) response.setHeader("accept-ranges", "bytes");
    if (request.headers["if-none-match"]?.includes(entity.etag) === true) return void response.writeHead(304).end();
    const asked = fault.ignoreRange === true ? null : rangeOf(request.headers.range, entity.bytes);
    if (asked === "unsatisfiable") {
      response.setHeader("content-range", formatContentRange(undefined, entity.bytes));
      return this.#refuse(response, path, 416);
    }
    const range = asked ?? { start: 0, length: entity.bytes };
    if (asked !== null) {
      const start = asked.start + (fault.shiftRangeBytes ?? 0);
      response.setHeader("content-range", formatContentRange({ start, length: asked.length }, entity.bytes));
    }
    if (fault.chunked !== true) response.setHeader("content-length", range.length + (fault.contentLengthError ?? 0));
    response.writeHead(asked === null ? 200 : 206);
    if (request.method === "HEAD") return void response.end();
    await this.#sendBody(response, { entity, fault, path, range });
  }

  async #sendBody(
    response: ServerResponse,
    { entity, fault, path, range }: { readonly entity: Entity; readonly fault: Fault; readonly path: string; readonly range: ByteRange },
  ): Promise<void> {
    const clock = this.#options.clock ?? realClock;
    const counters = this.#countersOf(path);
    const stopAt = Math.min(fault.truncateAfterBytes ?? Infinity, fault.stallAfterBytes ?? Infinity, range.length);
    const buffer = Buffer.allocUnsafe(Math.max(1, Math.min(CHUNK_BYTES, fault.bytesPerSecond ?? CHUNK_BYTES, stopAt)));
    response.flushHeaders();
    for (let sent = 0; sent < stopAt;) {
      const part = buffer.subarray(0, Math.min(buffer.length, stopAt - sent));
      await entity.fill(range.start + sent, part);
      await write(response, part); // the system has it, so the buffer may be used again
      sent += part.length;
      counters.bytesSent += part.length;
      this.#notify();
      if (fault.bytesPerSecond !== undefined) await clock.sleep((part.length / fault.bytesPerSecond) * 1000);
    }
    if (stopAt < range.length && fault.stallAfterBytes === stopAt) return;
    if (stopAt < range.length || (fault.contentLengthError ?? 0) > 0) return void response.socket?.end(); // a clean close in mid-body
    response.end();
  }

  async #open(path: string): Promise<(Entity & AsyncDisposable) | undefined> {
    const content = this.#content.get(path);
    if (content !== undefined) return inMemory(content);
    const { directory } = this.#options;
    if (directory === undefined) return undefined;
    const file = resolve(directory, `.${path}`);
    return file.startsWith(resolve(directory) + sep) ? onDisk(file) : undefined;
  }

  #faultFor(path: string, method: string): Fault {
    const entry = this.#faults.get(path);
    if (entry === undefined || entry.left <= 0) return {};
    if (entry.fault.methods?.includes(method as "GET" | "HEAD") === false) return {};
    entry.left--;
    return entry.fault;
  }

  #refuse(response: ServerResponse, path: string, status: number): void {
    const text = this.#options.errorText?.(status, path) ?? `${status}\n`;
    response.setHeader("content-length", Buffer.byteLength(text));
    response.writeHead(status).end(response.req.method === "HEAD" ? undefined : text);
  }

  #record(request: IncomingMessage, path: string): void {
    const counters = this.#countersOf(path);
    if (request.method === "HEAD") counters.heads++;
    else counters.gets++;
    if (this.requests.length === REQUESTS_KEPT) this.requests.shift();
    this.requests.push({ method: request.method ?? "", path, headers: request.headers });
    this.#notify();
  }

  #countersOf(path: string): { gets: number; heads: number; bytesSent: number } {
    const known = this.#stats.get(path) ?? { gets: 0, heads: 0, bytesSent: 0 };
    this.#stats.set(path, known);
    return known;
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }
}

const nothingToClose = async (): Promise<void> => undefined;

function inMemory(content: OriginContent): Entity & AsyncDisposable {
  if (typeof content === "object" && "seed" in content) {
    const { bytes, seed } = content;
    const fill = (offset: number, target: Buffer): void => fillGenerated(seed, offset, target);
    return { bytes, etag: `"g${seed}-${bytes}"`, modifiedMs: FIXED_MODIFIED_MS, fill, [Symbol.asyncDispose]: nothingToClose };
  }
  const data = Buffer.from(content);
  const fill = (offset: number, target: Buffer): void => void data.copy(target, 0, offset, offset + target.length);
  return { bytes: data.length, etag: `"d${data.length}"`, modifiedMs: FIXED_MODIFIED_MS, fill, [Symbol.asyncDispose]: nothingToClose };
}

async function onDisk(file: string): Promise<(Entity & AsyncDisposable) | undefined> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return undefined;
  const stats = await handle.stat();
  if (!stats.isFile()) {
    await handle.close();
    return undefined;
  }
  return {
    bytes: stats.size,
    etag: `"${stats.size.toString(16)}-${Math.trunc(stats.mtimeMs).toString(16)}"`,
    modifiedMs: stats.mtimeMs,
    async fill(offset, target) {
      for (let done = 0; done < target.length;) {
        const { bytesRead } = await handle.read(target, done, target.length - done, offset + done);
        if (bytesRead === 0) throw new Error(`${file} became shorter`);
        done += bytesRead;
      }
    },
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

/** Resolves when the bytes have left our memory; rejects when the client is gone. */
function write(response: ServerResponse, part: Buffer): Promise<void> {
  return new Promise((resolvePromise, reject) => {
    const onClose = (): void => reject(new Error("the client is gone"));
    response.once("close", onClose);
    response.write(part, (error) => {
      response.off("close", onClose);
      if (error) reject(error);
      else resolvePromise();
    });
  });
}

/** The path as a person writes it, without escapes. */
function pathOf(request: IncomingMessage): string {
  const { pathname } = new URL(request.url ?? "/", "http://origin");
  try {
    return decodeURIComponent(pathname);
  } catch {
    return pathname;
  }
}

const authorizationOf = (auth: OriginAuth): string =>
  auth.kind === "bearer" ? `Bearer ${auth.token}` : `Basic ${Buffer.from(`${auth.user}:${auth.password}`).toString("base64")}`;
