import { AnaxError, errorOf, type ErrorCode } from "../../base/errors.ts";
import { sendFile, writeChunk } from "../../disk/send-file.ts";
import { DRAGONFLY_RESPONSE_HEADERS } from "../../wire/http/dragonfly-headers.ts";
import { formatContentRange, rangeOf, type ByteRange } from "../../wire/http/range.ts";
import type { Download, DownloadRequest } from "../daemon/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { ProxyContext } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { countServed, type RequestOutcome } from "./metrics.ts";
import { guardStall, type StallGuard } from "./stall.ts";

export interface TaskReply {
  readonly download: DownloadRequest;
  /** Fields that describe the content (`Content-Type`, `ETag`…). */
  headersOf(stored: StoredTask): Readonly<Record<string, string>>;
  /** Whether what is stored is still what the origin has; asked once it is known what is stored. Absent: content never changes. */
  isCurrent?(stored: StoredTask): boolean;
  /** The `Range` field, or undefined when the whole is to be sent. */
  readonly range: string | undefined;
}

/** How a task was served; `unserved`: not a byte was sent, and `error` says why. */
export type TaskOutcome =
  | { readonly kind: "served"; readonly outcome: RequestOutcome }
  | { readonly kind: "unserved"; readonly error: AnaxError }
  | { readonly kind: "outdated" };

/** Failures of the origin or of the request: asking the origin again, by streaming from it, would end the same way. */
const NOT_OURS: ReadonlySet<ErrorCode> = new Set([
  "daemon.stopping",
  "download.cancelled",
  "input.invalid",
  "output.unwritable",
  "socket.closed",
  "source.bad-status",
  "source.denied",
  "source.forbidden",
  "source.not-found",
  "source.truncated",
  "source.unauthorized",
  "source.unsupported",
  "task.digest-mismatch",
  "task.range-unsatisfiable",
]);

export const isOurFailure = (error: AnaxError): boolean => !NOT_OURS.has(error.code);

/**
 * Answers with a task's content while it is being downloaded, in order, or from disk when it is here. Nothing is sent before the first byte
 * is at hand, so that every earlier failure can still become a proper answer. Throws only once an answer has begun: the connection is cut then.
 */
export async function serveTask(context: ProxyContext, exchange: Exchange, reply: TaskReply): Promise<TaskOutcome> {
  const download = context.downloads.start(reply.download);
  using hold = new DisposableStack();
  hold.use(download);
  download.done.catch(ignore); // reported through `stored` and the stream; a download that nobody awaits must not stop the process
  const opened = await open(context, exchange, reply, download);
  if (opened.kind !== "ready") return opened;
  if (reply.range !== undefined && (exchange.asked.prefetch ?? context.config.prefetch)) context.prefetches.start(reply.download);
  await using body = opened.body;
  const { stored, range, whole } = opened;
  using guard = guardStall(exchange.response, context.clock, context.config.clientStallMs);
  writeHead(context, exchange, {
    stored,
    range,
    whole,
    finished: opened.wasFinished,
    headers: reply.headersOf(stored),
    taskId: download.taskId,
  });
  await body.send(guard);
  exchange.response.end();
  // All pieces are here, but not yet durable: letting go now would cancel that.
  if (!opened.wasFinished && stored.finished.full) void download.done.then(ignore, ignore).finally(holdOn(hold.move()));
  return { kind: "served", outcome: opened.wasFinished ? "hit" : "download" };
}

const holdOn = (hold: DisposableStack) => (): void => hold.dispose();

type Opened =
  | Exclude<TaskOutcome, { readonly kind: "served" }>
  | { readonly kind: "served"; readonly outcome: "refused" }
  | {
      readonly kind: "ready";
      readonly stored: StoredTask;
      readonly range: ByteRange;
      readonly whole: boolean;
      readonly wasFinished: boolean;
      readonly body: Body;
    };

async function open(context: ProxyContext, exchange: Exchange, reply: TaskReply, download: Download): Promise<Opened> {
  try {
    const stored = await orAbort(download.stored, exchange.signal);
    if (reply.isCurrent !== undefined && !reply.isCurrent(stored)) return { kind: "outdated" };
    const total = stored.meta.contentLength;
    const asked = rangeOf(reply.range, total);
    if (asked === "unsatisfiable") {
      exchange.response.writeHead(416, { "Content-Range": formatContentRange(undefined, total), "Content-Length": 0 });
      exchange.response.end();
      return { kind: "served", outcome: "refused" };
    }
    const wasFinished = stored.state === "finished";
    if (exchange.asked.outputPath !== undefined) await writeOutput(context, exchange, stored, download);
    const range = asked ?? { start: 0, length: total };
    const body = await bodyOf(context, exchange, { stored, range, download });
    return { kind: "ready", stored, range, whole: asked === null, wasFinished, body };
  } catch (thrown) {
    if (exchange.signal.aborted) throw exchange.signal.reason;
    return { kind: "unserved", error: errorOf(thrown) };
  }
}

/** Content that is about to be sent, its first byte at hand. */
interface Body extends AsyncDisposable {
  send(guard: StallGuard): Promise<void>;
}

const NO_BODY: Body = { send: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };

async function bodyOf(
  context: ProxyContext,
  exchange: Exchange,
  content: { readonly stored: StoredTask; readonly range: ByteRange; readonly download: Download },
): Promise<Body> {
  const { stored, range } = content;
  if (range.length === 0) await orAbort(content.download.done, exchange.signal); // an empty content may still be the wrong one
  if (exchange.request.method === "HEAD" || range.length === 0) return NO_BODY;
  return stored.state === "finished" ? fileBody(context, exchange, stored, range) : streamBody(context, exchange, stored, range);
}

/** From disk, by the kernel where the socket is a plain one. */
function fileBody(context: ProxyContext, exchange: Exchange, stored: StoredTask, range: ByteRange): Body {
  const lease = stored.lease("proxy-read");
  return {
    async send(guard) {
      const { response, signal } = exchange;
      const span = { fd: stored.fd, offsetBytes: range.start, lengthBytes: range.length, buffers: context.buffers, signal };
      const onProgress = (bytes: number): void => {
        guard.progress();
        countServed(context.metrics, "store", bytes);
      };
      response.flushHeaders();
      const { socket } = response;
      if (socket === null) throw new AnaxError("socket.closed"); // its turn has come, so it can only have lost it
      await sendFile({ ...span, onProgress, socket, native: context.native }); // past the HTTP layer, which has the length and needs no more
    },
    async [Symbol.asyncDispose]() {
      lease[Symbol.dispose]();
    },
  };
}

/** While it arrives: chunks in order, each the stream's own until it is flushed to the client. */
async function streamBody(context: ProxyContext, exchange: Exchange, stored: StoredTask, range: ByteRange): Promise<Body> {
  const chunks = stored.stream(range, exchange.signal)[Symbol.asyncIterator]();
  let step = await chunks.next(); // failures up to here can still be answered
  return {
    async send() {
      let sent = 0;
      for (; step.done !== true; step = await chunks.next()) {
        await writeChunk(exchange.response, step.value);
        sent += step.value.length;
        countServed(context.metrics, "download", step.value.length);
      }
      if (sent !== range.length)
        throw new AnaxError("internal", { reason: "the store ended a stream early", sent, promised: range.length });
    },
    async [Symbol.asyncDispose]() {
      await chunks.return?.();
    },
  };
}

async function writeOutput(context: ProxyContext, exchange: Exchange, stored: StoredTask, download: Download): Promise<void> {
  const { outputPath = "", forceHardLink } = exchange.asked;
  const path = await context.outputs.check(outputPath);
  await orAbort(download.done, exchange.signal);
  await context.outputs.write(stored, path, { hardLinkOnly: forceHardLink });
}

interface Head {
  readonly stored: StoredTask;
  readonly range: ByteRange;
  readonly whole: boolean;
  readonly finished: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly taskId: string;
}

function writeHead(context: ProxyContext, exchange: Exchange, head: Head): void {
  exchange.response.writeHead(head.whole ? 200 : 206, {
    ...head.headers,
    "Accept-Ranges": "bytes",
    "Content-Length": head.range.length,
    ...(head.whole ? {} : { "Content-Range": formatContentRange(head.range, head.stored.meta.contentLength) }),
    [DRAGONFLY_RESPONSE_HEADERS.taskId]: head.taskId,
    [DRAGONFLY_RESPONSE_HEADERS.taskDownloadFinished]: String(head.finished),
    [DRAGONFLY_RESPONSE_HEADERS.serverIp]: context.hostIp,
  });
}

/** The promise, or the signal's reason as soon as it aborts. */
export async function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  let onAbort = ignore;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const ignore = (): void => undefined;
