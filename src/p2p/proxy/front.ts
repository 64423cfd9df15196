import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { AnaxError, errorOf, specOf } from "../../base/errors.ts";
import { parseDragonflyRequest } from "../../wire/http/dragonfly-headers.ts";
import type { TunnelTarget } from "./connect.ts";
import type { ProxyContext } from "./context.ts";
import { authorityOf } from "./endpoint.ts";
import { hasLeft, replyError, type Exchange } from "./exchange.ts";
import { serveForward, type Served } from "./forward.ts";
import { countRequest } from "./metrics.ts";
import { serveMirror } from "./mirror.ts";
import { checkProxyAuthorization, PROXY_CHALLENGE } from "./proxy-auth.ts";

export interface Arrival {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly expects: boolean;
  /** The registry that the port stands for. */
  readonly portRegistry?: string | undefined;
  /** Whom the client of a hijacked tunnel means. */
  readonly target?: TunnelTarget | undefined;
}

/** Where every request comes in: limits it, finds out what it is, answers it, counts it. */
export class Front {
  readonly #context: ProxyContext;
  readonly #targets = new WeakMap<Socket, TunnelTarget>();
  readonly #running = new Map<AbortController, Promise<void>>();
  /** Requests that came before the answer to the one before them had ended, by connection. */
  readonly #pipelined = new WeakMap<Socket, number>();
  #drained: Promise<void> | undefined;

  constructor(context: ProxyContext) {
    this.#context = context;
  }

  setTarget(socket: Socket, target: TunnelTarget): void {
    this.#targets.set(socket, target);
  }

  targetOf(request: IncomingMessage): TunnelTarget | undefined {
    return this.#targets.get(request.socket);
  }

  accept(arrival: Arrival): void {
    const controller = new AbortController();
    const { request, response } = arrival;
    request.on("error", ignore); // seen as `close` on the response, and by whoever reads the body
    response.on("error", ignore);
    response.once("close", () => {
      if (!response.writableFinished) controller.abort(new AnaxError("socket.closed"));
    });
    const done = this.#serve(arrival, controller.signal).finally(() => this.#running.delete(controller));
    this.#running.set(controller, done);
  }

  /** Waits for running requests as long as settings allow, then ends them. */
  drain(): Promise<void> {
    return (this.#drained ??= this.#drain());
  }

  async #drain(): Promise<void> {
    const { clock, config } = this.#context;
    using _late = clock.timer(config.drainMs, () => {
      for (const controller of this.#running.keys()) controller.abort(new AnaxError("download.cancelled", { reason: "the proxy stops" }));
    });
    await Promise.all(this.#running.values());
  }

  async #serve(arrival: Arrival, signal: AbortSignal): Promise<void> {
    const { metrics } = this.#context;
    const { request, response } = arrival;
    const exchange: Exchange = {
      request,
      response,
      signal,
      asked: parseDragonflyRequest(request.headers),
      expectsContinue: arrival.expects,
    };
    metrics.inFlight.inc();
    try {
      if (response.socket === null) await this.#turnOf(request, response);
      const { kind, outcome } = await this.#answer(arrival, exchange);
      countRequest(metrics, kind, outcome);
    } catch (thrown) {
      this.#fail(exchange, thrown);
    } finally {
      metrics.inFlight.dec();
    }
  }

  /** Pipelined requests are answered one after the other: one that waits must hold nothing. */
  async #turnOf(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { socket } = request;
    const waiting = (this.#pipelined.get(socket) ?? 0) + 1;
    if (waiting > PIPELINED_MAX) {
      socket.destroy();
      throw new AnaxError("socket.closed", { reason: "too many requests without waiting for answers" });
    }
    this.#pipelined.set(socket, waiting);
    await new Promise<void>((resolve, reject) => {
      const onClose = (): void => reject(new AnaxError("socket.closed"));
      socket.once("close", onClose);
      response.once("socket", () => {
        socket.off("close", onClose);
        resolve();
      });
    }).finally(() => this.#pipelined.set(socket, (this.#pipelined.get(socket) ?? 1) - 1));
  }

  async #answer(arrival: Arrival, exchange: Exchange): Promise<Served> {
    const { config, loops } = this.#context;
    if (this.#running.size >= config.requestsMax) throw new AnaxError("limit.exceeded", { requestsMax: config.requestsMax });
    loops.checkRequest(exchange.request);
    const text = exchange.request.url ?? "";
    if (/^https?:\/\//i.test(text)) return this.#forward(exchange, text);
    if (!text.startsWith("/"))
      throw new AnaxError("input.invalid", { reason: "neither a path nor an http URL", target: text.slice(0, 256) });
    if (arrival.target === undefined) return serveMirror(this.#context, exchange, arrival.portRegistry);
    return serveForward(this.#context, exchange, parseUrl(`https://${authorityOf(arrival.target)}${text}`), text);
  }

  async #forward(exchange: Exchange, text: string): Promise<Served> {
    const inTunnel = this.targetOf(exchange.request) !== undefined; // whose CONNECT was checked
    if (!inTunnel) checkProxyAuthorization(exchange.request, this.#context.config);
    const url = parseUrl(text);
    const path = text.replace(/^https?:\/\/[^/?#]*/i, "");
    return serveForward(this.#context, exchange, url, path.startsWith("/") ? path : `/${path}`);
  }

  /** One failed request, one line. A client that left is no failure. */
  #fail(exchange: Exchange, thrown: unknown): void {
    const { metrics, log } = this.#context;
    const { request, response } = exchange;
    if (hasLeft(exchange, thrown)) {
      countRequest(metrics, "rejected", "aborted");
      return void response.destroy();
    }
    const error = errorOf(thrown);
    const refused = specOf(error).http < 500;
    countRequest(metrics, "rejected", refused ? "refused" : "failed");
    const level = error.code === "internal" ? "error" : error.code === "proxy.unauthorized" ? "debug" : "warn"; // every client's first try lacks a password
    log[level]("proxy.request-failed", {
      method: request.method,
      target: withoutQuery(request.url ?? ""),
      code: error.code,
      reason: error.message,
    });
    replyError(exchange, error, error.code === "proxy.unauthorized" ? PROXY_CHALLENGE : {});
  }
}

/** More than any client does, and few enough that one connection cannot use up `requestsMax`. */
const PIPELINED_MAX = 6;

function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || url.hostname === "") throw new AnaxError("input.invalid", { reason: "not a URL", target: text.slice(0, 256) });
  url.username = "";
  url.password = "";
  url.hash = "";
  return url;
}

/** Queries may carry signatures that open what they name. */
const withoutQuery = (target: string): string => target.slice(0, 512).replace(/\?.*$/, "?…");

const ignore = (): void => undefined;
