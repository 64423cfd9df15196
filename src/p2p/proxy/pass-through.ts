import type { IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import type { ProxyContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Exchange } from "./exchange.ts";
import { countServed } from "./metrics.ts";
import { pairsOf } from "./origin.ts";
import { passedHeaders, rawHeader } from "./raw-headers.ts";
import { guardStall } from "./stall.ts";

export interface Destination {
  readonly endpoint: Endpoint;
  /** Path and query as they go on the wire. */
  readonly path: string;
  /** Credentials of settings, for clients that bring none. */
  readonly authorization?: string | undefined;
}

/** How long an origin may keep a client waiting for `100 Continue` before we give it: some never send it (RFC 9110 §10.1.1). */
const CONTINUE_WAIT_MS = 1000;

/**
 * Streams the client's request to the origin and the answer back, both untouched but for what belongs to one connection. The origin's answer,
 * errors included, is the client's. Throws before the answer began (`source.unreachable`…); later failures cut the connection and throw too.
 */
export async function passThrough(
  context: ProxyContext,
  exchange: Exchange,
  to: Destination,
  onHead?: (reply: IncomingMessage) => void,
): Promise<"pass" | "refused"> {
  const { request, response } = exchange;
  let continued = !exchange.expectsContinue;
  const giveContinue = (): void => {
    if (continued || response.headersSent) return;
    continued = true;
    response.writeContinue();
  };
  using _late = context.clock.timer(exchange.expectsContinue ? CONTINUE_WAIT_MS : 0, giveContinue);
  const reply = await context.origins.send({
    endpoint: to.endpoint,
    method: request.method ?? "GET",
    path: to.path,
    headers: requestHeaders(context, request, to.authorization),
    body: hasBody(request) ? request : undefined,
    onContinue: exchange.expectsContinue ? giveContinue : undefined,
    signal: exchange.signal,
  });
  onHead?.(reply);
  await relay(context, exchange, reply, !continued);
  return reply.statusCode === 401 || reply.statusCode === 403 ? "refused" : "pass";
}

/** Sends an origin's answer on to the client. */
export async function relay(context: ProxyContext, exchange: Exchange, reply: IncomingMessage, close = false): Promise<void> {
  const { request, response } = exchange;
  try {
    response.writeHead(reply.statusCode ?? 502, reply.statusMessage, replyHeaders(context, exchange, reply, close));
    response.flushHeaders();
    using _guard = guardStall(response, context.clock, context.config.clientStallMs);
    let bytes = 0;
    reply.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    await pipeline(reply, response, { end: false });
    countServed(context.metrics, "origin", bytes);
    if (reply.rawTrailers.length > 0 && !response.hasHeader("content-length")) response.addTrailers(pairsOf(reply.rawTrailers));
    response.end();
  } catch (thrown) {
    reply.destroy();
    response.destroy(); // a part must not look like the whole
    throw thrown;
  } finally {
    if (!request.complete) {
      request.unpipe(); // an origin that answered early did not want the rest; the client may still be sending it
      request.resume();
    }
  }
}

/** A message has a body when it is framed as having one, whatever its method (RFC 9112 §6). */
export const hasBody = (request: IncomingMessage): boolean =>
  request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;

function requestHeaders(context: ProxyContext, request: IncomingMessage, authorization: string | undefined): string[] {
  const replaces = authorization !== undefined;
  const headers = passedHeaders(request.rawHeaders, (name) => OURS(name) || (replaces && name === "authorization"));
  if (replaces) headers.push("Authorization", authorization);
  if (request.headers["transfer-encoding"] !== undefined) headers.push("Transfer-Encoding", "chunked");
  else if (request.headers["content-length"] === undefined && BODIED.has(request.method ?? "")) headers.push("Content-Length", "0");
  if (request.headers["trailer"] !== undefined) headers.push("Trailer", request.headers["trailer"]);
  if (/\btrailers\b/i.test(String(request.headers["te"] ?? ""))) headers.push("TE", "trailers", "Connection", "TE");
  headers.push("Via", context.loops.via(request.httpVersion));
  return headers;
}

/** Methods for which an origin may insist on a length (411). */
const BODIED: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/** What only the proxy reads; `Host` is set to the origin's. */
const OURS = (name: string): boolean => name === "host" || name.startsWith("x-dragonfly-");

function replyHeaders(context: ProxyContext, exchange: Exchange, reply: IncomingMessage, close: boolean): string[] {
  const headers = passedHeaders(reply.rawHeaders, () => false);
  const chunked = rawHeader(headers, "content-length") === undefined && exchange.request.httpVersion === "1.1";
  const trailer = reply.headers["trailer"];
  if (trailer !== undefined && chunked && exchange.request.method !== "HEAD") headers.push("Trailer", trailer);
  headers.push("Via", context.loops.via(reply.httpVersion));
  if (close) headers.push("Connection", "close"); // the client never got its 100, so where its next request starts is open
  return headers;
}
