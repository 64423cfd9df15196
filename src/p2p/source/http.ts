import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { isHopByHop } from "../../wire/http/headers.ts";
import { formatRange, parseContentRange, type ByteRange } from "../../wire/http/range.ts";
import { BodyChunks } from "./body.ts";
import type { SourceConfig } from "./config.ts";
import { basicAuthorization } from "./dispatchers.ts";
import { lengthsOf, parseLength, shownUrl, statusError, type ReplyHead } from "./failures.ts";
import type { Reply, Transport } from "./transport.ts";
import type { Source, SourceBody, SourceRequest, SourceStat } from "./types.ts";

interface Parts {
  readonly config: SourceConfig;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly onBytes: (count: number) => void;
}

/** HTTP and HTTPS origins (RFC 9110). */
export function createHttpSource(parts: Parts): Source {
  return {
    schemes: ["http", "https"],
    stat: (request) => stat(parts, request),
    read: (request) => read(parts, request),
  };
}

/** HEAD; where it is refused or tells no length, a GET of the first byte. */
async function stat(parts: Parts, request: SourceRequest): Promise<SourceStat> {
  const head = await follow(parts, request, "HEAD");
  await head.discard();
  const contentLength = parseLength(head.headers["content-length"]);
  if (isSuccess(head) && contentLength !== undefined)
    return statOf(head, contentLength, /\bbytes\b/i.test(head.headers["accept-ranges"] ?? ""));
  if (!isSuccess(head) && !HEAD_REFUSED.has(head.status)) throw statusError(request.url, head);
  return statByGet(parts, request);
}

/** Some servers refuse HEAD, and pre-signed URLs are signed for GET alone. */
const HEAD_REFUSED: ReadonlySet<number> = new Set([400, 403, 405, 406, 501]);

async function statByGet(parts: Parts, request: SourceRequest): Promise<SourceStat> {
  const reply = await follow(parts, request, "GET", { start: 0, length: 1 });
  const range = parseContentRange(reply.headers["content-range"]);
  await reply.discard();
  if (reply.status === 416 && range?.totalBytes === 0) return statOf(reply, 0, true); // empty content has no first byte
  if (!isSuccess(reply)) throw statusError(request.url, reply);
  if (reply.status === 206) return statOf(reply, range?.totalBytes, range?.kind === "range" && range.range.start === 0);
  return statOf(reply, parseLength(reply.headers["content-length"]), false);
}

function statOf(reply: ReplyHead, contentLength: number | undefined, acceptsRanges: boolean): SourceStat {
  const { "content-range": _, "content-length": __, ...rest } = reply.headers; // they may describe one byte only
  const length = contentLength === undefined ? {} : { "content-length": String(contentLength) };
  return { contentLength, acceptsRanges, isDirectory: false, responseHeader: { ...rest, ...length } };
}

async function read(parts: Parts, request: SourceRequest & { readonly range?: ByteRange | undefined }): Promise<SourceBody> {
  const reply = await follow(parts, request, "GET", request.range);
  try {
    const partial = reply.status === 206 && request.range === undefined;
    if (!isSuccess(reply) || partial) throw statusError(request.url, reply);
    const { contentLength, totalLength } = lengthsOf(request.url, request.range, reply);
    const chunks = new BodyChunks(reply.body, {
      url: request.url,
      clock: parts.clock,
      signal: request.signal,
      idleTimeoutMs: parts.config.idleTimeoutMs,
      expectedBytes: contentLength,
      onBytes: parts.onBytes,
    });
    return { contentLength, totalLength, responseHeader: reply.headers, chunks };
  } catch (thrown) {
    await reply.discard();
    throw thrown;
  }
}

/** Sends the request and follows redirects by hand, so that credentials stay with the origin that they were given for. */
async function follow(parts: Parts, request: SourceRequest, method: "GET" | "HEAD", range?: ByteRange): Promise<Reply> {
  let url = parseHttpUrl(request.url);
  let headers = withUserInfo(requestHeaders(parts.config, request.headers, range), url);
  for (let hop = 0; ; hop++) {
    const bare = withoutUserInfo(url);
    const certificates = request.certificateChain;
    const reply = await parts.transport.exchange({ url: bare, method, headers, certificates, signal: request.signal });
    const location = REDIRECTS.has(reply.status) ? reply.headers["location"] : undefined;
    if (location === undefined) return reply;
    await reply.discard();
    if (hop >= parts.config.redirectsMax) {
      throw new AnaxError("source.refused", { url: shownUrl(request.url), reason: `more than ${parts.config.redirectsMax} redirects` });
    }
    url = parseHttpUrl(location, bare);
    headers = withUserInfo(url.origin === bare.origin ? headers : withoutCredentials(headers), url);
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

function parseHttpUrl(text: string, base?: URL): URL {
  const url = URL.parse(text, base?.href);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  if (base === undefined) throw new AnaxError("input.invalid", { reason: "not an HTTP URL" });
  throw new AnaxError("source.refused", { url: shownUrl(base.href), reason: "redirect to something else than HTTP" });
}

function withUserInfo(headers: Readonly<Record<string, string>>, url: URL): Readonly<Record<string, string>> {
  const authorization = basicAuthorization(url);
  return authorization === undefined ? headers : { ...headers, authorization };
}

function withoutUserInfo(url: URL): URL {
  const bare = new URL(url);
  bare.username = "";
  bare.password = "";
  bare.hash = "";
  return bare;
}

/** Ours to set, besides what concerns the connection; the range comes as an argument. */
const DROPPED: ReadonlySet<string> = new Set(["content-length", "expect", "host", "http2-settings", "range"]);

function requestHeaders(config: SourceConfig, given: SourceRequest["headers"], range: ByteRange | undefined): Record<string, string> {
  const own = Object.entries(given)
    .map(([name, value]) => [name.toLowerCase(), value] as const)
    .filter(([name]) => !DROPPED.has(name) && !isHopByHop(name));
  // `identity`: ranges, lengths and digests are those of the content, not of a compressed form of it.
  const headers = { accept: "*/*", "accept-encoding": "identity", "user-agent": config.userAgent, ...Object.fromEntries(own) };
  return range === undefined ? headers : { ...headers, range: formatRange(range) };
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  const { authorization: _, cookie: __, ...rest } = headers;
  return rest;
}

const isSuccess = (reply: ReplyHead): boolean => reply.status === 200 || reply.status === 203 || reply.status === 206;
