import { mkdir } from "node:fs/promises";
import { dirname, join, matchesGlob, relative, resolve } from "node:path";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { Semaphore } from "../../base/limits.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { DfdaemonDownloadService, type Entry } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { LocalDaemon } from "../connect.ts";
import { printJson } from "../output.ts";
import { startProgress, type ProgressState } from "../progress.ts";
import { headersOf } from "../options.ts";
import { download } from "./file.ts";
import { objectStorageOf, type GetOptions } from "./request.ts";

const LIST_TIMEOUT_MS = 120_000;

/** The daemon takes no more calls on one connection than a thousand; more at once only wait for the same disk. */
const AT_ONCE_MAX = 512;

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
  const made = new Directories();
  const sum = new Sum(totalBytes);
  try {
    await eachLimited(files, Math.min(AT_ONCE_MAX, options.maxConcurrentRequests), signal, async (entry, stop) => {
      const output = outputBelow(options.output, pathBelow(root, entry.url));
      await made.make(dirname(output));
      let before = NOTHING;
      await download(daemon, {
        url: entry.url,
        options: { ...options, output },
        signal: stop,
        onProgress(state) {
          sum.replace(before, state);
          before = state;
          progress.update(sum.state);
        },
      });
    });
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

/** Makes each directory once, however many files go there. */
class Directories {
  readonly #made = new Map<string, Promise<unknown>>();

  make(path: string): Promise<unknown> {
    const making = this.#made.get(path) ?? mkdir(path, { recursive: true });
    this.#made.set(path, making);
    return making;
  }
}

/** Where a file of the source goes; a name such as `../x` must not leave the output directory. Throws `input.invalid`. */
export function outputBelow(outputRoot: string, path: string): string {
  const root = resolve(outputRoot);
  const target = join(root, path);
  const inside = relative(root, target);
  if (inside === "" || inside.startsWith("..") || path.includes("\0"))
    throw new AnaxError("input.invalid", { path, reason: "it leaves the output directory" });
  return target;
}

async function listTree(daemon: LocalDaemon, root: string, options: GetOptions, signal: AbortSignal): Promise<readonly Entry[]> {
  const files: Entry[] = [];
  let level = [root];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) throw new AnaxError("limit.exceeded", { url: root, depthMax: DEPTH_MAX });
    const next: string[] = [];
    for (const url of level) {
      const { entries } = await daemon.channel.unary(
        DfdaemonDownloadService.listTaskEntries,
        { taskId: "", url, requestHeader: headersOf(options.header), certificateChain: [], objectStorage: objectStorageOf(options) },
        { timeoutMs: LIST_TIMEOUT_MS, signal },
      );
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

async function eachLimited<T>(
  items: readonly T[],
  atOnce: number,
  signal: AbortSignal,
  work: (item: T, stop: AbortSignal) => Promise<void>,
): Promise<void> {
  const slots = new Semaphore({ slots: Math.max(1, atOnce), waitingMax: items.length });
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.all(
      items.map(async (item) => {
        using _slot = await slots.acquire(stop.signal);
        await work(item, stop.signal).catch((thrown: unknown) => {
          stop.abort(thrown);
          throw thrown;
        });
      }),
    );
  } catch (thrown) {
    throw stop.signal.aborted ? stop.signal.reason : thrown;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const NOTHING: ProgressState = { totalBytes: 0, doneBytes: 0, fromPeersBytes: 0, fromSourceBytes: 0 };

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
