import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { eachLimited } from "../../base/each-limited.ts";
import { errorOf } from "../../base/errors.ts";
import { DaemonService, type FileOrder } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import type { LocalDaemon } from "../connect.ts";
import { NOTHING, type ProgressState } from "../progress.ts";
import { DAEMON_SILENCE_MS, download, sendsContent } from "./file.ts";
import { checkOutput, outputBelow } from "./output.ts";
import { downloadOf, type GetOptions } from "./request.ts";

const { existsSync } = process.getBuiltinModule("node:fs"); // as in output.ts

/** A file of the source, and its path below the output directory. */
export interface FileBelow {
  readonly url: string;
  readonly path: string;
}

interface Work {
  readonly options: GetOptions;
  readonly signal: AbortSignal;
  /** A part of the work has come from `before` to `now`. */
  readonly onProgress: (before: ProgressState, now: ProgressState) => void;
}

/** More at once only wait for the same disk. */
const AT_ONCE_MAX = 512;
/** Of the daemon: while one call ends with its slowest files, another goes on. */
const CALLS_AT_ONCE = 2;
/** Files of one call, and characters of their names: both keep a request far below gRPC's limit. */
const FILES_MAX = 256;
const CHARS_MAX = 512 * 1024;

/** Brings each file to its path below `options.output`. The first failure stops the rest. Throws `input.invalid` for a path that leads out of there. */
export async function downloadAll(daemon: LocalDaemon, files: readonly FileBelow[], work: Work): Promise<void> {
  const { options, signal } = work;
  const orders = files.map(({ url, path }) => ({ url, outputPath: outputBelow(options.output, path) }));
  const most = Math.max(1, Math.min(AT_ONCE_MAX, options.maxConcurrentRequests));
  const calls = inCalls(orders, Math.min(CALLS_AT_ONCE, most));
  const callsAtOnce = Math.max(1, Math.min(CALLS_AT_ONCE, most, calls.length));
  const atOnce = Math.floor(most / callsAtOnce);
  const made = new Directories();
  // Content that comes through the socket is written here, file by file.
  let together = !sendsContent(daemon, options);
  await eachLimited(calls, { atOnce: callsAtOnce, signal }, async (call, stop) => {
    await made.make(call.map(({ outputPath }) => dirname(outputPath)));
    const part = { ...work, signal: stop, atOnce };
    const left = together ? await downloadTogether(daemon, call, part) : call;
    together &&= left.length === 0;
    await downloadSingly(daemon, left, part);
  });
}

interface PartOfWork extends Work {
  readonly atOnce: number;
}

/**
 * In one call. Returns what it has not brought: everything, where the daemon is an older one that does not know such calls; what was still to come, where
 * the connection broke.
 */
async function downloadTogether(
  daemon: LocalDaemon,
  files: readonly FileOrder[],
  { options, signal, onProgress, atOnce }: PartOfWork,
): Promise<readonly FileOrder[]> {
  const overwrite = options.overwrite === true;
  for (const { outputPath } of files) await checkOutput(outputPath, overwrite);
  const request = { download: downloadOf("", options, "keep", undefined), files: [...files], atOnce };
  // The daemon has a deadline for each file and says why; this one is for a daemon that stopped answering.
  const timeoutMs = Math.ceil(files.length / atOnce) * options.timeout + DAEMON_SILENCE_MS;
  const left = new Map(files.entries());
  let before = NOTHING;
  try {
    for await (const told of daemon.channel.serverStream(DaemonService.downloadFiles, request, { signal, timeoutMs })) {
      for (const place of told.done) left.delete(place);
      const { bytesFromPeers: fromPeersBytes, bytesFromSource: fromSourceBytes } = told;
      const now = {
        totalBytes: undefined,
        doneBytes: fromPeersBytes + fromSourceBytes + told.bytesFromDisk,
        fromPeersBytes,
        fromSourceBytes,
      };
      onProgress(before, now);
      before = now;
    }
    return [];
  } catch (thrown) {
    const { code } = errorOf(thrown);
    if (code === "rpc.unimplemented") return files;
    if (code !== "rpc.unavailable" && code !== "daemon.stopping") throw thrown;
    // Nothing was there before, and nothing gets there but whole: what is there now came without our hearing of it.
    return [...left.values()].filter(({ outputPath }) => overwrite || !existsSync(outputPath));
  }
}

async function downloadSingly(daemon: LocalDaemon, files: readonly FileOrder[], { options, signal, onProgress, atOnce }: PartOfWork) {
  await eachLimited(files, { atOnce, signal }, async ({ url, outputPath }, stop) => {
    let before = NOTHING;
    await download(daemon, {
      url,
      options: { ...options, output: outputPath },
      signal: stop,
      onProgress(now) {
        onProgress(before, now);
        before = now;
      },
    });
  });
}

/** As few calls as the bounds allow, but enough to have `atOnce` of them. */
function inCalls(orders: readonly FileOrder[], atOnce: number): FileOrder[][] {
  const filesMax = Math.min(FILES_MAX, Math.ceil(orders.length / atOnce));
  const calls: FileOrder[][] = [];
  let chars = 0;
  for (const order of orders) {
    const last = calls.at(-1);
    const more = order.url.length + order.outputPath.length;
    const fits = last !== undefined && last.length < filesMax && chars + more <= CHARS_MAX;
    chars = fits ? chars + more : more;
    if (fits) last.push(order);
    else calls.push([order]);
  }
  return calls;
}

/** Makes each directory once, however many files go there. */
class Directories {
  readonly #made = new Map<string, Promise<unknown>>();

  async make(paths: readonly string[]): Promise<void> {
    await Promise.all([...new Set(paths)].map((path) => this.#make(path)));
  }

  #make(path: string): Promise<unknown> {
    const making = this.#made.get(path) ?? mkdir(path, { recursive: true });
    this.#made.set(path, making);
    return making;
  }
}
