import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { eachLimited } from "../../base/each-limited.ts";
import type { DownloadFilesRequest, DownloadFilesResponse } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import type { Download as WireDownload } from "../../wire/grpc/gen/common/v2/common.ts";
import type { TrafficType } from "../model/types.ts";
import { requestOf } from "./api.ts";
import type { RunningDownloads } from "./downloads.ts";
import { exportOutput, mustBePathOfFile } from "./export-output.ts";
import { keptOrPassed, type KeepOrPassParts } from "./keep-or-pass.ts";
import { linkedSignal, orAborted } from "./linked-signal.ts";

export interface DownloadFilesParts extends KeepOrPassParts {
  readonly downloads: RunningDownloads;
}

const FILES_MAX = 4096;
const AT_ONCE_MAX = 512;
/** How far the files are is told so often at most. */
const REPORT_MS = 50;

/**
 * Brings each of the files to its path and tells how far all of them are. The first that fails ends the rest, and is what this throws; so does whoever
 * stops asking.
 */
export async function* downloadFiles(
  request: DownloadFilesRequest,
  signal: AbortSignal,
  parts: DownloadFilesParts,
): AsyncGenerator<DownloadFilesResponse> {
  const { template, files, atOnce } = checked(request);
  const news = new News();
  using scope = linkedSignal(signal);
  const running = eachLimited(files, { atOnce, signal: scope.signal }, async ({ url, outputPath }, stop, index) => {
    await bring({ ...template, url, outputPath }, outputPath, { news, signal: stop, parts });
    news.done(index);
  }).finally(() => news.end());
  running.catch(() => undefined); // it is thrown below, once what came before it is told
  try {
    for (let over = false; !over;) {
      await news.gather(parts.clock);
      over = news.over;
      const told = news.take();
      if (told !== undefined) yield told;
    }
  } finally {
    scope.abort(LET_GO);
    await running.catch(() => undefined);
  }
  await running;
}

const LET_GO = new AnaxError("download.cancelled", { reason: "nobody waits for the files any more" });

function checked({ download, files, atOnce }: DownloadFilesRequest) {
  if (download === undefined) throw new AnaxError("input.invalid", { reason: "no download in the request" });
  const { digest, range, needPieceContent, metadataOnly } = download;
  if (digest !== undefined || range !== undefined || needPieceContent || metadataOnly)
    throw new AnaxError("input.invalid", { reason: "a digest, a range, content and metadata are for one file" });
  if (files.length > FILES_MAX) throw new AnaxError("limit.exceeded", { files: files.length, max: FILES_MAX });
  for (const { outputPath } of files) mustBePathOfFile(outputPath);
  return { template: download, files, atOnce: Math.min(AT_ONCE_MAX, Math.max(1, atOnce)) };
}

/** One file, as `DownloadTask` with an output path does it. */
async function bring(
  order: WireDownload,
  path: string,
  { news, signal, parts }: { readonly news: News; readonly signal: AbortSignal; readonly parts: DownloadFilesParts },
): Promise<void> {
  const wanted = requestOf(order);
  using held = parts.downloads.start(wanted);
  const way = await keptOrPassed(held, order, { wanted, signal, parts });
  if (way !== "kept") {
    for await (const { response } of way)
      if (response?.$case === "downloadPieceFinishedResponse") news.gained("back-to-source", response.value.piece?.length ?? 0);
    return;
  }
  for await (const { traffic, lengthBytes } of held.pieces(signal)) news.gained(traffic, lengthBytes);
  await orAborted(held.done, signal);
  const { overwrite, forceHardLink } = order;
  await exportOutput(await held.stored, { path, overwrite, forceHardLink, range: undefined }, signal);
}

/** What has happened since it was told last. */
class News {
  readonly #bytes: Record<TrafficType, number> = { "back-to-source": 0, "remote-peer": 0, "local-peer": 0 };
  #done: number[] = [];
  #any = false;
  #over = false;
  #wake: (() => void) | undefined;

  /** Nothing more will happen. */
  get over(): boolean {
    return this.#over;
  }

  end(): void {
    this.#over = true;
    this.#wake?.();
  }

  /** Resolves after a while, or when all is over. */
  async gather(clock: Clock): Promise<void> {
    if (this.#over) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    using _ = clock.timer(REPORT_MS, resolve);
    await promise;
  }

  gained(traffic: TrafficType, bytes: number): void {
    this.#bytes[traffic] += bytes;
    this.#any = true;
  }

  done(index: number): void {
    this.#done.push(index);
    this.#any = true;
  }

  take(): DownloadFilesResponse | undefined {
    if (!this.#any) return undefined;
    const done = this.#done;
    this.#done = [];
    this.#any = false;
    return {
      bytesFromPeers: this.#bytes["remote-peer"],
      bytesFromSource: this.#bytes["back-to-source"],
      bytesFromDisk: this.#bytes["local-peer"],
      done,
    };
  }
}
