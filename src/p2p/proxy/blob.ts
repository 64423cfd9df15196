import { isPriority, type Priority } from "../model/types.ts";
import type { DownloadRequest } from "../daemon/types.ts";
import type { AccessQuestion, Granted } from "./access.ts";
import type { ProxyContext } from "./context.ts";
import { replyError, type Exchange } from "./exchange.ts";
import type { RequestOutcome } from "./metrics.ts";
import { originOf, type Endpoint } from "./endpoint.ts";
import { passThrough, type Destination } from "./pass-through.ts";
import { headerRecord, OF_ONE_REQUEST, passedHeaders } from "./raw-headers.ts";
import { isOurFailure, serveTask, type TaskReply } from "./serve-task.ts";

/** A registry blob: content that its URL names by digest, and that therefore never changes. */
export interface Blob {
  readonly endpoint: Endpoint;
  readonly path: string;
  /** `sha256:…` */
  readonly digest: string;
  /** Whether this origin's permission is enough for content that came from another; see `Registry.trusted`. */
  readonly trusted: boolean;
  /** Credentials of settings, for clients that bring none. */
  readonly authorization?: string | undefined;
}

/** Answers GET and HEAD of a blob: from peers and this disk, once the registry has agreed that this client may have it. */
export async function serveBlob(context: ProxyContext, exchange: Exchange, blob: Blob): Promise<RequestOutcome> {
  const question = questionOf(exchange, blob, blob.authorization);
  if (exchange.request.method === "HEAD") return serveBlobHead(context, exchange, blob, question);
  const access = await context.access.check(question);
  if (access.kind === "refused") return passThrough(context, exchange, blob);
  if (access.kind === "unknown") {
    replyError(exchange, access.error);
    context.log.warn("proxy.unauthorizable", { url: originOf(blob.endpoint) + blob.path, reason: access.error.message });
    return "failed";
  }
  if (notModified(exchange, blob.digest)) return reply304(exchange, blob.digest);
  const reply: TaskReply = {
    download: downloadOf(context, exchange, blob, access.granted.contentLength),
    headersOf: () => blobHeaders(blob.digest),
    range: rangeOfBlob(exchange, blob.digest),
  };
  const served = await serveTask(context, exchange, reply);
  if (served.kind === "served") return served.outcome;
  if (served.kind === "outdated") return "failed"; // cannot be: a digest is never outdated
  return orPassThrough(context, exchange, { to: blob, error: served.error, taskId: context.downloads.taskIdOf(reply.download) });
}

/** The last resort when a download gave no byte: stream from the origin without keeping anything, so that our trouble is not the client's. */
export async function orPassThrough(
  context: ProxyContext,
  exchange: Exchange,
  failed: { readonly to: Destination; readonly error: Error & Parameters<typeof isOurFailure>[0]; readonly taskId: string },
): Promise<RequestOutcome> {
  const { to, error, taskId } = failed;
  const falls = context.config.passThroughOnFailure && isOurFailure(error) && exchange.asked.outputPath === undefined;
  context.log.warn(falls ? "proxy.download-bypassed" : "proxy.download-failed", { taskId, code: error.code, reason: error.message });
  if (falls) return (await passThrough(context, exchange, to)) === "pass" ? "fallback" : "refused";
  replyError(exchange, error);
  return "failed";
}

/** The registry's own answer, which also tells whether this client may have the blob; while it is unreachable, what it said before. */
async function serveBlobHead(context: ProxyContext, exchange: Exchange, blob: Blob, question: AccessQuestion): Promise<RequestOutcome> {
  const known = context.access.fresh(question);
  if (known?.contentLength !== undefined) return replyHead(exchange, blob.digest, known.contentLength);
  try {
    return await passThrough(context, exchange, blob, (reply) => {
      if ((reply.statusCode ?? 502) < 400) context.access.remember(question, reply);
    });
  } catch (thrown) {
    const before: Granted | undefined = exchange.response.headersSent ? undefined : context.access.stale(question);
    if (exchange.signal.aborted || before?.contentLength === undefined) throw thrown;
    return replyHead(exchange, blob.digest, before.contentLength);
  }
}

function replyHead(exchange: Exchange, digest: string, contentLength: number): RequestOutcome {
  exchange.response.writeHead(200, { ...blobHeaders(digest), "Accept-Ranges": "bytes", "Content-Length": contentLength });
  exchange.response.end();
  return "hit";
}

const blobHeaders = (digest: string): Readonly<Record<string, string>> => ({
  "Content-Type": "application/octet-stream",
  "Docker-Content-Digest": digest,
  ETag: `"${digest}"`,
  "Cache-Control": "private, max-age=31536000, immutable",
});

export function notModified(exchange: Exchange, digest: string): boolean {
  const asked = exchange.request.headers["if-none-match"];
  return asked !== undefined && (asked.trim() === "*" || asked.split(",").some((tag) => tag.trim().replace(/^W\//, "") === `"${digest}"`));
}

export function reply304(exchange: Exchange, digest: string): RequestOutcome {
  exchange.response.writeHead(304, { ETag: `"${digest}"`, "Docker-Content-Digest": digest });
  exchange.response.end();
  return "hit";
}

/** A range is valid only for the content that the client has a part of (RFC 9110 §13.1.5). */
function rangeOfBlob(exchange: Exchange, digest: string): string | undefined {
  const { range, "if-range": ifRange } = exchange.request.headers;
  return ifRange === undefined || ifRange === `"${digest}"` ? range : undefined;
}

/** What the origin is asked about this client and this content. */
export function questionOf(
  exchange: Exchange,
  to: Pick<Destination, "endpoint" | "path">,
  authorization: string | undefined,
): AccessQuestion {
  const { headers } = exchange.request;
  const told = (["accept", "user-agent"] as const).flatMap((name) => (headers[name] === undefined ? [] : [name, headers[name]]));
  return {
    endpoint: to.endpoint,
    path: to.path,
    credentials: { authorization: headers.authorization ?? authorization, cookie: undefined },
    headers: told,
    redirectGrants: true,
    askAlways: false,
    signal: exchange.signal,
  };
}

function downloadOf(context: ProxyContext, exchange: Exchange, blob: Blob, contentLength: number | undefined): DownloadRequest {
  return {
    ...commonOf(context, exchange),
    url: originOf(blob.endpoint) + blob.path,
    digest: blob.digest,
    filteredQueryParams: exchange.asked.filteredQueryParams ?? context.config.filteredQueryParams,
    requestHeader: sourceHeaders(exchange, blob.authorization),
    // Named by its URL otherwise: whoever runs an origin of his own must not get at all that is cached by knowing a digest.
    taskIdFromBlobDigest: blob.trusted && (exchange.asked.blobDigestTaskId ?? true),
    certificateChain: blob.endpoint.tls?.ca,
    knownContentLength: contentLength,
  };
}

/** What every task of the proxy takes from the client's `X-Dragonfly-*` fields. */
export function commonOf(
  context: ProxyContext,
  exchange: Exchange,
): Pick<
  DownloadRequest,
  "tag" | "application" | "pieceLength" | "contentForTaskId" | "priority" | "disableBackToSource" | "needBackToSource" | "timeoutMs"
> {
  const { asked } = exchange;
  return {
    tag: asked.tag,
    application: asked.application,
    pieceLength: asked.pieceLength,
    contentForTaskId: asked.contentForTaskId,
    priority: priorityOf(asked.priority),
    disableBackToSource: false,
    needBackToSource: false,
    timeoutMs: context.config.taskTimeoutMs,
  };
}

/** Priority of a proxy's request that names none, as upstream has it. */
const DEFAULT_PRIORITY: Priority = 6;

const priorityOf = (asked: number | undefined): Priority => (asked !== undefined && isPriority(asked) ? asked : DEFAULT_PRIORITY);

/** What the reader of the source sends: what the client sent, but for what concerns only this connection, this part or this version. */
export function sourceHeaders(exchange: Exchange, authorization: string | undefined): Record<string, string> {
  const record = headerRecord(
    passedHeaders(exchange.request.rawHeaders, (name) => OF_ONE_REQUEST.has(name) || name.startsWith("x-dragonfly-")),
  );
  return authorization === undefined || record["authorization"] !== undefined ? record : { ...record, authorization };
}
