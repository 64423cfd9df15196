import type { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { Dispatcher } from "undici";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { isHopByHop } from "../../wire/http/headers.ts";
import { createAddressPolicy, type AddressPolicy } from "./address-policy.ts";
import type { SourceConfig } from "./config.ts";
import { basicAuthorization, Dispatchers } from "./dispatchers.ts";
import { parseLength, shownUrl, unreachableError, type ReplyHead } from "./failures.ts";
import { HostLimits } from "./host-limits.ts";
import { bareHostOf, hostMatcher, type HostMatcher } from "./host-patterns.ts";
import { Trust } from "./trust.ts";

export interface Exchange {
  readonly url: URL;
  readonly method: "GET" | "HEAD";
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly certificates?: readonly string[] | undefined;
  readonly insecure?: boolean | undefined;
  /** Ends the request and, later, its body. */
  readonly signal: AbortSignal;
}

export interface Reply extends ReplyHead {
  /** Must be read to its end, destroyed, or left to the signal: until then it holds a connection and one of the host's slots. */
  readonly body: Readable;
  /**
   * Lets go of the body. A short one is read to its end in the background, which keeps the connection usable; an empty one is
   * waited for, so that the next request can take the connection at once.
   */
  discard(): Promise<void>;
}

/** One HTTP request and its reply: address policy, proxy, TLS, limits and deadlines; no redirects, no retries, no judgement of the status. */
export class Transport implements AsyncDisposable {
  readonly #config: SourceConfig;
  readonly #clock: Clock;
  readonly #policy: AddressPolicy;
  readonly #dispatchers: Dispatchers;
  readonly #limits: HostLimits;
  readonly #bypassesProxy: HostMatcher;
  readonly #isInsecure: HostMatcher;
  #closed = false;

  constructor(config: SourceConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
    this.#policy = createAddressPolicy(config);
    this.#dispatchers = new Dispatchers({ config, clock, policy: this.#policy, trust: new Trust(config.caFiles) });
    this.#limits = new HostLimits({ slots: config.connectionsPerHostMax, waitingMax: config.waitingPerHostMax });
    this.#bypassesProxy = hostMatcher([...LOOPBACK, ...config.noProxy], { subdomains: true });
    this.#isInsecure = hostMatcher(config.insecureHosts, { subdomains: false });
  }

  /** Throws `source.denied`, `source.unreachable`, `limit.exceeded`, `download.cancelled` once disposed, or the signal's reason. */
  async exchange(request: Exchange): Promise<Reply> {
    const { url, signal } = request;
    signal.throwIfAborted();
    if (this.#closed) throw closedError();
    this.#policy.checkHost(bareHostOf(url));
    const slot = await this.#limits.acquire(url.host, signal);
    const controller = new AbortController(); // ends with the caller's signal, or alone when the head is late
    const onAbort = (): void => controller.abort(signal.reason);
    const release = (): void => {
      slot[Symbol.dispose]();
      signal.removeEventListener("abort", onAbort);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      using _ = this.#clock.timer(this.#config.headersTimeoutMs, () => controller.abort(this.#lateError(url)));
      if (this.#closed) throw closedError(); // it may have waited long for its slot
      const reply = await this.#send(request, controller.signal);
      reply.body.on("error", ignore); // whoever reads the body learns of it there
      reply.body.once("close", release);
      const headers = flatten(reply.headers);
      const bodyBytes = request.method === "HEAD" ? 0 : parseLength(headers["content-length"]);
      return { status: reply.statusCode, headers, body: reply.body, discard: () => this.#discard(reply.body, bodyBytes) };
    } catch (thrown) {
      release();
      throw unreachableError(url.href, thrown, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#dispatchers.destroy(closedError());
  }

  async #send(request: Exchange, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const { url, method } = request;
    const { proxyUrl } = this.#config;
    const tls = url.protocol === "https:";
    const viaProxy = proxyUrl !== undefined && !this.#bypassesProxy(url);
    const dispatcher = await this.#dispatchers.for({
      tls,
      viaProxy,
      insecure: request.insecure === true || this.#isInsecure(url),
      certificates: request.certificates ?? [],
    });
    const path = url.pathname + url.search;
    // `reset`: undici would close the connection after each HEAD; the GET that follows nearly always can use it.
    const common = { method, signal, reset: false } as const;
    if (!viaProxy || tls) return dispatcher.request({ ...common, origin: url.origin, path, headers: request.headers });
    const proxy = new URL(proxyUrl);
    const authorization = basicAuthorization(proxy);
    const headers = { ...request.headers, host: url.host, ...(authorization !== undefined && { "proxy-authorization": authorization }) };
    return dispatcher.request({ ...common, origin: proxy.origin, path: url.origin + path, headers });
  }

  async #discard(body: Readable, bodyBytes: number | undefined): Promise<void> {
    if (bodyBytes === undefined || bodyBytes > DISCARD_BYTES_MAX) return void body.destroy();
    const late = this.#clock.timer(this.#config.idleTimeoutMs, () => body.destroy());
    const closed = new Promise<void>((resolve) => body.once("close", resolve)).then(() => late[Symbol.dispose]());
    body.resume();
    if (bodyBytes > 0) return;
    await closed;
    await setImmediate(); // undici gives a connection back one turn of the event loop later
  }

  #lateError(url: URL): AnaxError {
    const reason = `no reply in ${this.#config.headersTimeoutMs} ms`;
    return new AnaxError("source.unreachable", { url: shownUrl(url.href), systemCode: "ETIMEDOUT", reason });
  }
}

/** Not to be tried again, unlike a source that went away. */
const closedError = (): AnaxError => new AnaxError("download.cancelled", { reason: "shutting down" });

const DISCARD_BYTES_MAX = 16 * 1024;

/** A proxy elsewhere cannot know what our loopback is. */
const LOOPBACK = ["localhost", "127.0.0.0/8", "::1"];

/** Without what concerns the connection only; repeated fields joined as RFC 9110 §5.2 allows. */
function flatten(headers: Dispatcher.ResponseData["headers"]): Readonly<Record<string, string>> {
  const flat: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase();
    if (value !== undefined && !isHopByHop(lower)) flat[lower] = Array.isArray(value) ? value.join(", ") : value;
  }
  return flat;
}

const ignore = (): void => undefined;
