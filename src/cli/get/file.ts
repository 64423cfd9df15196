import { basename } from "node:path";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { TrafficType, type Download, type Piece, type Range } from "../../wire/grpc/gen/common/v2/common.ts";
import {
  DfdaemonDownloadService,
  type DownloadTaskResponse,
  type DownloadTaskStartedResponse,
} from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { wallMsOf } from "../../wire/grpc/time.ts";
import { BEGUN_BEFORE, type LocalDaemon } from "../connect.ts";
import { printJson } from "../output.ts";
import { startProgress, type ProgressState } from "../progress.ts";
import type { Delivered } from "./delivered.ts";
import { checkOutput } from "./output.ts";
import { downloadOf, type GetOptions } from "./request.ts";

export interface GetSummary {
  readonly url: string;
  readonly output: string;
  readonly taskId: string;
  readonly bytes: number;
  readonly bytesFromPeers: number;
  readonly bytesFromSource: number;
  /** Bytes that lay on this machine before. */
  readonly bytesFromDisk: number;
  readonly seconds: number;
}

/** The last line for a program. */
export const doneOf = (summary: GetSummary): object => ({ event: "done", ...summary });

/** One file with progress and a closing line. */
export async function getFile(daemon: LocalDaemon, url: string, options: GetOptions, signal: AbortSignal): Promise<void> {
  const toStdout = options.output === "-";
  const lines = options.json === true || !process.stderr.isTTY || (!process.stdout.isTTY && !toStdout);
  const kind = options.progress ? (lines ? (toStdout ? "none" : "json") : "bar") : "none";
  const progress = await startProgress(kind, titleOf(url), realClock);
  let summary: GetSummary;
  try {
    summary = await download(daemon, { url, options, signal, onProgress: (state) => progress.update(state) });
  } finally {
    progress.stop();
  }
  if (toStdout) return;
  if (lines) return printJson(doneOf(summary));
  process.stderr.write(`${sentenceOf(summary)}\n`);
}

export const titleOf = (url: string): string => basename(new URL(url).pathname) || url;

/** What the daemon's own deadline may take to be told. */
export const DAEMON_SILENCE_MS = 5000;

export interface Order {
  readonly url: string;
  readonly options: GetOptions;
  readonly signal: AbortSignal;
  readonly onProgress: (state: ProgressState) => void;
}

/** Fetches one file to `options.output`, which appears whole or not at all. */
export async function download(daemon: LocalDaemon, order: Order): Promise<GetSummary> {
  const { url, options, signal, onProgress } = order;
  const startedMs = realClock.nowMs();
  const transfer = options.output === "-" || sendsContent(daemon, options);
  if (options.output !== "-") await checkOutput(options.output, options.overwrite === true || BEGUN_BEFORE);
  await using part = await partOf(daemon, order);
  await using sink = transfer ? await (await import("./sink.ts")).openSink(options.output, options.overwrite === true) : undefined;
  const tally = new Tally(part.range);
  let attempts = BEGUN_BEFORE ? 1 : 0;
  const take = async (): Promise<void> => {
    if (tally.isAllDelivered) return;
    const wanted = { ...options, timeout: Math.max(1, options.timeout - (realClock.nowMs() - startedMs)) };
    const mayBeThere = attempts++ > 0 && !transfer && options.overwrite !== true && part.range === undefined;
    const delivered = mayBeThere ? await outputOfTheDead(options.output) : undefined;
    const delivery = transfer ? "send" : delivered === undefined ? { to: options.output } : "keep";
    const request = downloadOf(url, wanted, delivery, tally.rest);
    for await (const response of answers(daemon, request, order)) {
      delivered?.hear(response);
      const content = tally.add(response);
      if (content !== undefined) await sink?.write(content);
      onProgress(tally.state);
    }
    await delivered?.check();
  };
  await surviving(take, { ...order, daemon, tally });
  if (sink !== undefined) {
    signal.throwIfAborted(); // the answer may have ended together with the wish for it
    await sink.commit();
  }
  return { url, output: options.output, ...tally.result, seconds: Number(((realClock.nowMs() - startedMs) / 1000).toFixed(3)) };
}

/** The content comes through the socket, and is written here. */
export const sendsContent = (daemon: LocalDaemon, options: GetOptions): boolean =>
  daemon.foreignUser || options.transferFromDaemon === true || options.transferFromDfdaemon === true;

/** There was no output when this command began: what is there now may have been put there by the daemon that died. */
async function outputOfTheDead(output: string): Promise<Delivered | undefined> {
  if (!process.getBuiltinModule("node:fs").existsSync(output)) return undefined;
  return new (await import("./delivered.ts")).Delivered(output);
}

/** The work, also across the death of the daemon. */
async function surviving<T>(work: () => Promise<T>, of: Order & { readonly daemon: LocalDaemon; readonly tally: Tally }): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const { goOn } = await import("./reconnect.ts");
    const { tally, daemon, signal, options, onProgress } = of;
    return goOn(thrown, work, {
      daemon,
      signal,
      waitMs: options.reconnectTimeout,
      heard: () => tally.heard,
      doneBytes: () => tally.state.doneBytes,
      onWaiting: () => onProgress({ ...tally.state, waitingForDaemon: true }),
    });
  }
}

export function answers(daemon: LocalDaemon, wanted: Download, { options, signal }: Order): AsyncGenerator<DownloadTaskResponse> {
  // The daemon has the deadline and says why; this one is for a daemon that stopped answering.
  const timeoutMs = options.timeout + DAEMON_SILENCE_MS;
  return daemon.channel.serverStream(DfdaemonDownloadService.downloadTask, { download: wanted }, { signal, timeoutMs });
}

/**
 * The range that is asked for, if any. The wire counts from the start, so that for "the last so many bytes" the length must be known: the
 * download is begun to learn it, and goes on for as long as the result is held, so that nothing is fetched twice.
 */
async function partOf(daemon: LocalDaemon, order: Order): Promise<AsyncDisposable & { readonly range: Range | undefined }> {
  const { url, options } = order;
  const part = options.range === undefined ? undefined : (await import("./range.ts")).parseByteRange(options.range);
  if (part === undefined || !("lastBytes" in part)) return { range: part, [Symbol.asyncDispose]: async () => undefined };
  let begun: AsyncGenerator<DownloadTaskResponse> | undefined;
  const begin = async (): Promise<DownloadTaskResponse | void> => {
    begun = answers(daemon, downloadOf(url, options, "keep", undefined), order);
    return (await begun.next()).value;
  };
  const first = await surviving(begin, { ...order, daemon, tally: new Tally(undefined) });
  const length = first?.response?.$case === "downloadTaskStartedResponse" ? first.response.value.contentLength : 0;
  const start = Math.max(0, length - part.lastBytes);
  return {
    range: { start, length: Math.max(1, length - start) },
    [Symbol.asyncDispose]: async () => void (await begun?.return(undefined)),
  };
}

/** Counts what the daemon reports, and after its death goes on counting. */
class Tally {
  readonly #range: Range | undefined;
  /** What the content was when the first of it was delivered. */
  #version: string | undefined;
  #contentLength = 0;
  /** Bytes that were handed on, in order. */
  #deliveredBytes = 0;
  /** Pieces that were counted: another daemon tells of them again. */
  readonly #counted = new Set<number>();
  /** Answers so far. */
  heard = 0;
  #taskId = "";
  #totalBytes: number | undefined;
  #fromPeers = 0;
  #fromSource = 0;
  #fromDisk = 0;
  readonly #startedMs = Math.floor(realClock.wallMs());

  constructor(range: Range | undefined) {
    this.#range = range;
  }

  /** What of the range is still to be delivered. */
  get rest(): Range | undefined {
    if (this.#deliveredBytes === 0) return this.#range;
    return { start: this.#at, length: (this.#totalBytes ?? 0) - this.#deliveredBytes };
  }

  /** The daemon sends the last piece when the whole is verified, so that nothing is left to be heard. */
  get isAllDelivered(): boolean {
    return this.#deliveredBytes > 0 && this.#deliveredBytes === this.#totalBytes;
  }

  get #at(): number {
    return (this.#range?.start ?? 0) + this.#deliveredBytes;
  }

  /** Returns the piece's content when the message carries it. Throws `source.changed` when it is not the rest of what came before. */
  add(message: DownloadTaskResponse): Uint8Array | undefined {
    this.heard++;
    this.#taskId = message.taskId;
    if (message.response?.$case === "downloadTaskStartedResponse") {
      const started = message.response.value;
      this.#mustBeTheSame(started);
      if (this.#deliveredBytes === 0) this.#totalBytes = started.range?.length ?? started.contentLength;
      // What arrived while the answer was on its way is among them; the daemon's clock is ours.
      for (const piece of started.pieces) this.#count(piece, piece.createdAt !== undefined && wallMsOf(piece.createdAt) >= this.#startedMs);
    } else if (message.response?.$case === "downloadPieceFinishedResponse") {
      const { piece } = message.response.value;
      if (piece === undefined) return undefined;
      this.#count(piece, true);
      if (piece.content === undefined) return undefined;
      if (piece.offset !== this.#at) throw new AnaxError("rpc.data-loss", { offset: piece.offset, expected: this.#at });
      this.#deliveredBytes += piece.content.length;
      return piece.content;
    }
    return undefined;
  }

  /** What was delivered cannot be taken back. */
  #mustBeTheSame({ contentLength, responseHeader }: DownloadTaskStartedResponse): void {
    const version = responseHeader["etag"];
    const isOther = contentLength !== this.#contentLength || (this.#version ?? version) !== (version ?? this.#version);
    if (this.#deliveredBytes > 0 && isOther) throw new AnaxError("source.changed", { task: this.#taskId, delivered: this.#deliveredBytes });
    this.#version ??= version;
    this.#contentLength = contentLength;
  }

  /** `fresh`: it came for this download. */
  #count({ number, length, trafficType }: Pick<Piece, "number" | "length" | "trafficType">, fresh: boolean): void {
    if (this.#counted.has(number)) return;
    this.#counted.add(number);
    if (fresh && trafficType === TrafficType.BACK_TO_SOURCE) this.#fromSource += length;
    else if (fresh && trafficType === TrafficType.REMOTE_PEER) this.#fromPeers += length;
    else this.#fromDisk += length;
  }

  get state(): ProgressState {
    const done = this.#fromPeers + this.#fromSource + this.#fromDisk;
    return {
      totalBytes: this.#totalBytes,
      doneBytes: Math.min(done, this.#totalBytes ?? done),
      fromPeersBytes: this.#fromPeers,
      fromSourceBytes: this.#fromSource,
    };
  }

  get result() {
    return {
      taskId: this.#taskId,
      bytes: this.#totalBytes ?? 0,
      bytesFromPeers: this.#fromPeers,
      bytesFromSource: this.#fromSource,
      bytesFromDisk: this.#fromDisk,
    };
  }
}

function sentenceOf(summary: GetSummary): string {
  const origin = [
    [summary.bytesFromPeers, "from peers"],
    [summary.bytesFromSource, "from the source"],
    [summary.bytesFromDisk, "already here"],
  ] as const;
  const parts = origin.filter(([bytes]) => bytes > 0).map(([bytes, where]) => `${formatBytes(bytes)} ${where}`);
  return `${summary.output}: ${formatBytes(summary.bytes)} in ${formatDuration(summary.seconds * 1000)} (${parts.join(", ") || "empty"})`;
}
