import type { Clock } from "../../../base/clock.ts";
import type { Registry } from "../../../base/metrics.ts";
import type { TaskId } from "../../model/ids.ts";
import type { RatesConfig } from "./config.ts";
import { Direction } from "./direction.ts";
import { passedBetween, readLinkCounters, type LinkCounters } from "./link-counters.ts";
import { ratesMetricsOf, type RatesMetrics } from "./metrics.ts";
import type { MeasuredRates, RateLimits } from "./types.ts";

/** Limits and measured rates of one daemon. Disposing stops measuring; limits stay in force. */
export interface Rates extends RateLimits, AsyncDisposable {
  /** Of everything. */
  measured(): MeasuredRates;
  /** Of one task; undefined while it moves nothing. */
  measuredOf(task: TaskId): Omit<MeasuredRates, "source"> | undefined;
}

export interface RatesParts {
  readonly config: RatesConfig;
  readonly clock: Clock;
  readonly registry: Registry;
  /** Tests have their own. */
  readonly counters?: (interfaces: readonly string[]) => Promise<LinkCounters>;
}

const SAMPLE_MS = 1000;
/** While something moves, so many parts of it are looked at by themselves: where one host brings everything slowly, only moments show what a link takes. */
const MOMENTS = 5;
const KINDS = ["upload", "download", "source"] as const;
type Directions = Readonly<Record<(typeof KINDS)[number], Direction>>;

export function startRates({ config, clock, registry, counters = readLinkCounters }: RatesParts): Rates {
  const metrics = ratesMetricsOf(registry);
  const direction = (kind: keyof Directions, bytesPerSecond: number, taskBytesPerSecond = 0): Direction =>
    new Direction({
      clock,
      bytesPerSecond: limitOf(bytesPerSecond),
      taskBytesPerSecond: limitOf(taskBytesPerSecond),
      weights: config.weights,
      burstMs: config.burstMs,
      onWait: () => metrics.waits.inc({ direction: kind }),
    });
  const upload = direction("upload", config.uploadBytesPerSecond, config.taskUploadBytesPerSecond);
  const download = direction("download", config.downloadBytesPerSecond, config.taskDownloadBytesPerSecond);
  const source = direction("source", config.sourceBytesPerSecond);
  const directions: Directions = { upload, download, source };
  const stop = new AbortController();
  const sampling = sample(directions, { config, clock, metrics, signal: stop.signal, counters: () => counters(config.linkInterfaces) });
  return {
    tryUpload: (task, priority, bytes) => upload.tryTake(task, priority, bytes),
    upload: (task, priority, bytes, signal) => upload.take(task, priority, bytes, signal),
    tryDownload: (task, priority, bytes) => download.tryTake(task, priority, bytes),
    download: (task, priority, bytes, signal) => download.take(task, priority, bytes, signal),
    async source(task, priority, bytes, signal) {
      await source.take(task, priority, bytes, signal);
      await download.take(task, priority, bytes, signal);
    },
    get uploadTurnBytes() {
      return upload.turnBytes;
    },
    get downloadTurnBytes() {
      return download.turnBytes;
    },
    get sourceTurnBytes() {
      return Math.min(source.turnBytes, download.turnBytes);
    },
    uploadClass: config.uploadClass,
    measured: () => ({ upload: upload.perSecond(), download: download.perSecond(), source: source.perSecond() }),
    measuredOf(task) {
      const [up, down] = [upload.taskPerSecond(task), download.taskPerSecond(task)];
      return up === undefined && down === undefined ? undefined : { upload: up ?? 0, download: down ?? 0 };
    },
    capacity: () => ({ upload: upload.capacity, download: download.capacity }),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await sampling;
    },
  };
}

const limitOf = (bytesPerSecond: number): number => (bytesPerSecond === 0 ? Infinity : bytesPerSecond);

/** Unless somebody decided, it goes by whether anybody cares about the link at all. */
function adapts(config: RatesConfig): boolean {
  const { uploadBytesPerSecond, downloadBytesPerSecond, linkBytesPerSecond } = config;
  return config.adaptive ?? uploadBytesPerSecond + downloadBytesPerSecond + linkBytesPerSecond > 0;
}

async function sample(
  directions: Directions,
  parts: Pick<RatesParts, "config" | "clock"> & {
    readonly metrics: RatesMetrics;
    readonly counters: () => Promise<LinkCounters>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { config, clock, counters, metrics, signal } = parts;
  const { upload, download } = directions;
  const options = { known: config.linkBytesPerSecond || undefined, adapt: adapts(config) };
  let before = await counters();
  let beforeMs = clock.nowMs();
  for (;;) {
    report(directions, metrics);
    const moments = options.known === undefined && (upload.isMoving || download.isMoving) ? MOMENTS : 1;
    let [now, nowMs] = [before, beforeMs];
    for (let moment = 0; moment < moments; moment++) {
      await clock.sleep(SAMPLE_MS / moments, signal).catch(() => undefined);
      if (signal.aborted) return; // less than a whole sample says little about the link
      const [then, thenMs] = [now, nowMs];
      [now, nowMs] = [await counters(), clock.nowMs()];
      if (moments === 1) continue;
      const { sentBytes, receivedBytes } = passedBetween(then, now);
      upload.glimpse({ elapsedMs: nowMs - thenMs, linkBytes: sentBytes });
      download.glimpse({ elapsedMs: nowMs - thenMs, linkBytes: receivedBytes });
    }
    for (const kind of KINDS) directions[kind].tick();
    const { sentBytes, receivedBytes } = passedBetween(before, now);
    upload.sample({ elapsedMs: nowMs - beforeMs, linkBytes: sentBytes }, options);
    download.sample({ elapsedMs: nowMs - beforeMs, linkBytes: receivedBytes }, options);
    [before, beforeMs] = [now, nowMs];
  }
}

function report(directions: Directions, metrics: RatesMetrics): void {
  for (const direction of KINDS) {
    const { limiter, link } = directions[direction];
    metrics.measured.set({ direction }, directions[direction].perSecond());
    metrics.waiting.set({ direction }, limiter.waiting);
    metrics.limit.set({ direction }, shown(limiter.bytesPerSecond));
    if (direction === "source") continue;
    metrics.link.set({ direction }, link.capacity);
    metrics.backgroundLimit.set({ direction }, shown(directions[direction].backgroundBytesPerSecond));
  }
}

/** Prometheus knows infinity, those who draw curves do not. */
const shown = (bytesPerSecond: number): number => (bytesPerSecond === Infinity ? 0 : bytesPerSecond);
