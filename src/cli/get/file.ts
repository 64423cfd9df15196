import { access, constants, open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf, systemCodeOf } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { TrafficType } from "../../wire/grpc/gen/common/v2/common.ts";
import { DfdaemonDownloadService, type DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { LocalDaemon } from "../connect.ts";
import { printJson } from "../output.ts";
import { startProgress, type ProgressState } from "../progress.ts";
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

/** One file with progress and a closing line. */
export async function getFile(daemon: LocalDaemon, url: string, options: GetOptions, signal: AbortSignal): Promise<void> {
  const toStdout = options.output === "-";
  const lines = options.json === true || !process.stderr.isTTY || (!process.stdout.isTTY && !toStdout);
  const kind = options.progress ? (lines ? (toStdout ? "none" : "json") : "bar") : "none";
  const progress = await startProgress(kind, basename(new URL(url).pathname) || url, realClock);
  let summary: GetSummary;
  try {
    summary = await download(daemon, { url, options, signal, onProgress: (state) => progress.update(state) });
  } finally {
    progress.stop();
  }
  if (toStdout) return;
  if (lines) return printJson({ event: "done", ...summary });
  process.stderr.write(`${sentenceOf(summary)}\n`);
}

interface Order {
  readonly url: string;
  readonly options: GetOptions;
  readonly signal: AbortSignal;
  readonly onProgress: (state: ProgressState) => void;
}

/** Fetches one file to `options.output`, which appears whole or not at all. */
export async function download(daemon: LocalDaemon, order: Order): Promise<GetSummary> {
  const { url, options, signal, onProgress } = order;
  const startedMs = realClock.nowMs();
  const transfer =
    options.output === "-" || daemon.foreignUser || options.transferFromDaemon === true || options.transferFromDfdaemon === true;
  await using sink = transfer ? await openSink(options.output, options.overwrite === true) : await probeOutput(options.output);
  const request = { download: downloadOf(url, options, options.output, transfer) };
  const tally = new Tally();
  for await (const response of daemon.channel.serverStream(DfdaemonDownloadService.downloadTask, request, {
    signal,
    timeoutMs: options.timeout + 5000, // the daemon has the deadline and says why; this is for a daemon that stopped answering
  })) {
    const content = tally.add(response);
    if (content !== undefined) await sink?.write(content);
    onProgress(tally.state);
  }
  await sink?.commit();
  return { url, output: options.output, ...tally.result, seconds: Number(((realClock.nowMs() - startedMs) / 1000).toFixed(3)) };
}

/** Counts what the daemon reports. */
class Tally {
  #taskId = "";
  #totalBytes: number | undefined;
  #fromPeers = 0;
  #fromSource = 0;
  #fromDisk = 0;

  /** Returns the piece's content when the message carries it. */
  add(message: DownloadTaskResponse): Uint8Array | undefined {
    this.#taskId = message.taskId;
    if (message.response?.$case === "downloadTaskStartedResponse") {
      const started = message.response.value;
      this.#totalBytes = started.range?.length ?? started.contentLength;
      for (const piece of started.pieces) this.#fromDisk += piece.length;
    } else if (message.response?.$case === "downloadPieceFinishedResponse") {
      const { piece } = message.response.value;
      if (piece === undefined) return undefined;
      if (piece.trafficType === TrafficType.BACK_TO_SOURCE) this.#fromSource += piece.length;
      else if (piece.trafficType === TrafficType.REMOTE_PEER) this.#fromPeers += piece.length;
      else this.#fromDisk += piece.length;
      return piece.content;
    }
    return undefined;
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

interface Sink extends AsyncDisposable {
  write(bytes: Uint8Array): Promise<void>;
  commit(): Promise<void>;
}

/** Where content that comes through the socket goes: standard output, or a file beside the output that is renamed at the end. */
async function openSink(output: string, overwrite: boolean): Promise<Sink> {
  if (output === "-") {
    return { write: writeStdout, commit: async () => undefined, [Symbol.asyncDispose]: async () => undefined };
  }
  const target = resolve(output);
  if (!overwrite && (await exists(target))) throw new AnaxError("output.exists", { output, hint: "--overwrite replaces it" });
  const partial = join(dirname(target), `.${basename(target)}.${process.pid}.anax`);
  const file: FileHandle = await open(partial, "wx", 0o644).catch((cause: unknown) => {
    throw unwritable(output, cause);
  });
  let renamed = false;
  return {
    write: async (bytes) => void (await file.writev([bytes]).catch((cause: unknown) => Promise.reject(errorOf(cause)))),
    async commit() {
      await file.sync();
      await rename(partial, target);
      renamed = true;
    },
    async [Symbol.asyncDispose]() {
      await file.close();
      if (!renamed) await rm(partial, { force: true });
    },
  };
}

function writeStdout(bytes: Uint8Array): Promise<void> {
  return new Promise((done, failed) => void process.stdout.write(bytes, (error) => (error ? failed(error) : done())));
}

/** The daemon writes the output; we only make sure beforehand that this user may put a file there. */
async function probeOutput(output: string): Promise<undefined> {
  await access(dirname(resolve(output)), constants.W_OK).catch((cause: unknown) => {
    throw unwritable(output, cause);
  });
  const found = await stat(resolve(output)).catch(() => undefined);
  if (found?.isDirectory()) throw new AnaxError("output.unwritable", { output, reason: "it is a directory" });
  return undefined;
}

const exists = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined)) !== undefined;

const unwritable = (output: string, cause: unknown): AnaxError =>
  new AnaxError("output.unwritable", { output, reason: systemCodeOf(cause) ?? String(cause) }, { cause });

function sentenceOf(summary: GetSummary): string {
  const origin = [
    [summary.bytesFromPeers, "from peers"],
    [summary.bytesFromSource, "from the source"],
    [summary.bytesFromDisk, "already here"],
  ] as const;
  const parts = origin.filter(([bytes]) => bytes > 0).map(([bytes, where]) => `${formatBytes(bytes)} ${where}`);
  return `${summary.output}: ${formatBytes(summary.bytes)} in ${formatDuration(summary.seconds * 1000)} (${parts.join(", ") || "empty"})`;
}
