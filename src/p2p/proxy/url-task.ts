import type { DownloadRequest } from "../daemon/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { Access, AccessQuestion, Granted } from "./access.ts";
import { commonOf, orPassThrough, sourceHeaders } from "./blob.ts";
import type { ProxyContext } from "./context.ts";
import { originOf, type Endpoint } from "./endpoint.ts";
import { replyError, type Exchange } from "./exchange.ts";
import type { RequestOutcome } from "./metrics.ts";
import { passThrough, type Destination } from "./pass-through.ts";
import { isHopByHop } from "../../wire/http/headers.ts";
import { serveTask, type TaskReply } from "./serve-task.ts";

export interface UrlTask {
  readonly endpoint: Endpoint;
  /** Path and query in the normal form in which the daemon asks for them: permission and content must be of one and the same URL. */
  readonly path: string;
  readonly filteredQueryParams: readonly string[];
  /** The request as it came, for streaming through. */
  readonly direct: Destination;
}

/** Answers a GET with the content of a URL that no digest names: from peers and this disk while the origin says that it is still the same. */
export async function serveUrlTask(context: ProxyContext, exchange: Exchange, task: UrlTask): Promise<RequestOutcome> {
  const question = questionOf(exchange, task);
  const access = await accessOf(context, question);
  if (access.kind === "refused") return passThrough(context, exchange, task.direct);
  if (access.kind === "unknown" && hasCredentials(question)) {
    replyError(exchange, access.error);
    context.log.warn("proxy.unauthorizable", { url: originOf(task.endpoint), reason: access.error.message });
    return "failed";
  }
  const granted = access.kind === "allowed" && !access.stale ? access.granted : undefined;
  const reply = replyOf(exchange, downloadOf(context, exchange, task, granted), granted);
  const served = await serveTask(context, exchange, reply);
  const last = served.kind === "outdated" ? await serveVersion(context, exchange, reply, granted) : served;
  if (last.kind === "served") return last.outcome;
  if (last.kind === "outdated") return passThrough(context, exchange, task.direct);
  return orPassThrough(context, exchange, { to: task.direct, error: last.error, taskId: context.downloads.taskIdOf(reply.download) });
}

/**
 * What is stored is of an older version. The new one is a task of its own, named by what the origin calls it, so that every machine
 * finds it under the same name.
 */
async function serveVersion(
  context: ProxyContext,
  exchange: Exchange,
  reply: TaskReply,
  granted: Granted | undefined,
): ReturnType<typeof serveTask> {
  const version = granted?.etag ?? granted?.lastModified;
  if (version === undefined || reply.download.contentForTaskId !== undefined) return { kind: "outdated" };
  const contentForTaskId = JSON.stringify([reply.download.url, version, granted?.contentLength ?? null]);
  return serveTask(context, exchange, { ...reply, download: { ...reply.download, contentForTaskId } });
}

/** Content that anybody may read is not asked for permission, but (unless settings say no) for its version. */
async function accessOf(context: ProxyContext, question: AccessQuestion): Promise<Access | { readonly kind: "unasked" }> {
  if (!hasCredentials(question) && !context.config.revalidate) return { kind: "unasked" };
  return context.access.check(question);
}

const hasCredentials = ({ credentials }: AccessQuestion): boolean =>
  credentials.authorization !== undefined || credentials.cookie !== undefined;

function questionOf(exchange: Exchange, task: UrlTask): AccessQuestion {
  const { authorization, cookie, accept, "user-agent": userAgent } = exchange.request.headers;
  return {
    endpoint: task.endpoint,
    path: task.path,
    credentials: { authorization, cookie },
    headers: [...(accept === undefined ? [] : ["Accept", accept]), ...(userAgent === undefined ? [] : ["User-Agent", userAgent])],
    redirectGrants: authorization === undefined && cookie === undefined,
    askAlways: true,
    signal: exchange.signal,
  };
}

function downloadOf(context: ProxyContext, exchange: Exchange, task: UrlTask, granted: Granted | undefined): DownloadRequest {
  return {
    ...commonOf(context, exchange),
    url: originOf(task.endpoint) + task.path,
    filteredQueryParams: exchange.asked.filteredQueryParams ?? task.filteredQueryParams,
    requestHeader: sourceHeaders(exchange, undefined),
    taskIdFromBlobDigest: false,
    certificateChain: task.endpoint.tls?.ca,
    knownContentLength: granted?.contentLength,
  };
}

function replyOf(exchange: Exchange, download: DownloadRequest, granted: Granted | undefined): TaskReply {
  return {
    download,
    headersOf: (stored) => contentHeaders(stored.meta.responseHeader),
    isCurrent: (stored) => granted === undefined || agrees(granted, stored),
    range: exchange.request.headers.range,
  };
}

/** Whether the origin's word about its content fits what is stored. Where it says nothing that can be compared, it fits. */
function agrees(granted: Granted, stored: StoredTask): boolean {
  const before = stored.meta.responseHeader;
  if (granted.contentLength !== undefined && granted.contentLength !== stored.meta.contentLength) return false;
  if (granted.etag !== undefined && before["etag"] !== undefined) return bare(granted.etag) === bare(before["etag"]);
  return granted.lastModified === undefined || before["last-modified"] === undefined || granted.lastModified === before["last-modified"];
}

/** A server that compresses on the fly marks its tags as weak; length and content are the same here. */
const bare = (etag: string): string => etag.replace(/^W\//, "");

/** The origin's fields that describe the content, not the one reply in which it came. */
function contentHeaders(stored: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(stored).filter(([name]) => !OF_ONE_REPLY.has(name) && !isHopByHop(name) && /^[\w-]+$/.test(name)),
  );
}

const OF_ONE_REPLY: ReadonlySet<string> = new Set([
  "accept-ranges",
  "age",
  "content-length",
  "content-range",
  "date",
  "set-cookie",
  "via",
  "www-authenticate",
]);
