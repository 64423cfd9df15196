import { matchesGlob } from "node:path";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { DfdaemonDownloadService, type Entry, type ListTaskEntriesResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { LocalDaemon } from "../connect.ts";
import { printJson } from "../output.ts";
import { NOTHING, startProgress, type ProgressState } from "../progress.ts";
import { headersOf } from "../options.ts";
import { downloadAll } from "./files.ts";
import { objectStorageOf, type GetOptions } from "./request.ts";

const LIST_TIMEOUT_MS = 120_000;

/** A source can nest without end (a link to its own parent); nobody means that. */
const DEPTH_MAX = 64;

/** Everything below a URL, several files at a time. The first failure stops the rest. */
export async function getDirectory(daemon: LocalDaemon, url: string, options: GetOptions, signal: AbortSignal): Promise<void> {
  if (options.output === "-") throw new AnaxError("input.invalid", { output: "-", reason: "a directory cannot go to standard output" });
  if (options.digest !== undefined || options.range !== undefined)
    throw new AnaxError("input.invalid", { reason: "--digest and --range are for one file" });
  const startedMs = realClock.nowMs();
  const root = url.endsWith("/") ? url : `${url}/`;
  const files = (await listTree(daemon, root, options, signal)).filter((entry) => wanted(pathBelow(root, entry.url), options.includeFiles));
  const lines = options.json === true || !process.stdout.isTTY || !process.stderr.isTTY;
  const progress = await startProgress(options.progress ? (lines ? "json" : "bar") : "none", `${files.length} files`, realClock);
  const totalBytes = files.reduce((sum, entry) => sum + entry.contentLength, 0);
  const sum = new Sum(totalBytes);
  const onProgress = (before: ProgressState, now: ProgressState): void => {
    sum.replace(before, now);
    progress.update(now.waitingForDaemon ? { ...sum.state, waitingForDaemon: true } : sum.state);
  };
  const below = files.map((entry) => ({ url: entry.url, path: pathBelow(root, entry.url) }));
  try {
    await downloadAll(daemon, below, { options, signal, onProgress });
  } finally {
    progress.stop();
  }
  const { fromPeersBytes, fromSourceBytes } = sum.state;
  const seconds = (realClock.nowMs() - startedMs) / 1000;
  if (lines)
    return printJson({
      event: "done",
      url,
      output: options.output,
      files: files.length,
      bytes: totalBytes,
      bytesFromPeers: fromPeersBytes,
      bytesFromSource: fromSourceBytes,
      seconds: Number(seconds.toFixed(3)),
    });
  const from = `${formatBytes(fromPeersBytes)} from peers, ${formatBytes(fromSourceBytes)} from the source`;
  const all = `${files.length} files, ${formatBytes(totalBytes)} in ${formatDuration(seconds * 1000)}`;
  process.stderr.write(`${options.output}: ${all} (${from})\n`);
}

async function listTree(daemon: LocalDaemon, root: string, options: GetOptions, signal: AbortSignal): Promise<readonly Entry[]> {
  const files: Entry[] = [];
  let level = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw new AnaxError("limit.exceeded", { url: root, depthMax: DEPTH_MAX });
    const next: string[] = [];
    for (const url of level) {
      const { entries } = await listDirectory(daemon, url, options, signal);
      for (const entry of entries) {
        if (entry.isDir) next.push(entry.url.endsWith("/") ? entry.url : `${entry.url}/`);
        else files.push(entry);
      }
      if (files.length > options.maxFiles) throw new AnaxError("limit.exceeded", { files: files.length, maxFiles: options.maxFiles });
    }
    level = next;
  }
  return files;
}

/** Also across the death of the daemon. */
async function listDirectory(daemon: LocalDaemon, url: string, options: GetOptions, signal: AbortSignal): Promise<ListTaskEntriesResponse> {
  const list = (): Promise<ListTaskEntriesResponse> =>
    daemon.channel.unary(
      DfdaemonDownloadService.listTaskEntries,
      { taskId: "", url, requestHeader: headersOf(options.header), certificateChain: [], objectStorage: objectStorageOf(options) },
      { timeoutMs: LIST_TIMEOUT_MS, signal },
    );
  return list().catch(async (thrown: unknown) => {
    const { goOn } = await import("./reconnect.ts");
    const none = { heard: () => 0, doneBytes: () => 0, onWaiting: () => undefined };
    return goOn(thrown, list, { ...none, daemon, waitMs: options.reconnectTimeout, signal });
  });
}

export const pathBelow = (root: string, url: string): string =>
  (url.startsWith(root) ? url.slice(root.length) : url).split("/").map(decoded).join("/");

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a lone % is a name, too
  }
}

export const wanted = (path: string, globs: readonly string[]): boolean =>
  globs.length === 0 || globs.some((glob) => matchesGlob(path, glob.endsWith("/") ? `${glob}**` : glob));

/** How far all files are, kept up to date one file at a time: adding them all up at each step would take longer than small files do. */
class Sum {
  #state: ProgressState;

  constructor(totalBytes: number) {
    this.#state = { ...NOTHING, totalBytes };
  }

  get state(): ProgressState {
    return this.#state;
  }

  /** One file has come from `before` to `now`. */
  replace(before: ProgressState, now: ProgressState): void {
    const { totalBytes, doneBytes, fromPeersBytes, fromSourceBytes } = this.#state;
    this.#state = {
      totalBytes,
      doneBytes: doneBytes + now.doneBytes - before.doneBytes,
      fromPeersBytes: fromPeersBytes + now.fromPeersBytes - before.fromPeersBytes,
      fromSourceBytes: fromSourceBytes + now.fromSourceBytes - before.fromSourceBytes,
    };
  }
}
