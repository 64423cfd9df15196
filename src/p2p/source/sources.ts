import { parseHttpDateMs } from "../../base/http-date.ts";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, ERRORS } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { createRegistry, type Registry } from "../../base/metrics.ts";
import type { Random } from "../../base/random.ts";
import { retry } from "../../base/retry.ts";
import type { DiskThread } from "../../disk/disk-thread.ts";
import type { SourceConfig } from "./config.ts";
import { shownUrl } from "./failures.ts";
import { createFileSource } from "./file.ts";
import { createHttpSource } from "./http.ts";
import { createSourceMetrics, type SourceMetrics } from "./metrics.ts";
import { createS3Source } from "./s3.ts";
import { Transport } from "./transport.ts";
import type { Source, SourceRequest, Sources } from "./types.ts";

export interface SourcesOptions {
  readonly config: SourceConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Where the metrics of this room are served from. */
  readonly registry?: Registry | undefined;
  /** Where many small files are read; without one, all are read through Node's thread pool. */
  readonly disk?: DiskThread | undefined;
}

/**
 * Every source that this program knows. A request is tried again only before the first byte of its body; going on after a broken body
 * is the caller's part, with a range. Disposing breaks off what is under way.
 */
export function createSources(options: SourcesOptions): Sources & AsyncDisposable {
  const { config, clock } = options;
  const metrics = createSourceMetrics(options.registry ?? createRegistry({ runtime: false }));
  const transport = new Transport(config, clock);
  const counter = (scheme: string) => {
    const bytes = metrics.bytes.labels(scheme);
    return (count: number): void => bytes.inc(count);
  };
  const sources = [
    createHttpSource({ config, clock, transport, onBytes: counter("http") }),
    createFileSource({ config, clock, onBytes: counter("file"), disk: options.disk }),
    createS3Source({ config, clock, transport, onBytes: counter("s3") }),
  ];
  const attempts = new Attempts(options, metrics, new Map(sources.flatMap((source) => source.schemes.map((scheme) => [scheme, source]))));
  return {
    stat: (request) => attempts.run("stat", request, (source) => source.stat(request)),
    read: (request) => attempts.run("read", request, (source) => source.read(checkRange(request))),
    list: (request) =>
      attempts.run("list", request, async (source, scheme) => {
        if (source.list === undefined) throw new AnaxError("source.not-listable", { scheme });
        return source.list(request);
      }),
    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };
}

class Attempts {
  readonly #options: SourcesOptions;
  readonly #metrics: SourceMetrics;
  readonly #sources: ReadonlyMap<string, Source>;

  constructor(options: SourcesOptions, metrics: SourceMetrics, sources: ReadonlyMap<string, Source>) {
    this.#options = options;
    this.#metrics = metrics;
    this.#sources = sources;
  }

  async run<T>(operation: string, request: SourceRequest, work: (source: Source, scheme: string) => Promise<T>): Promise<T> {
    const { source, scheme } = this.#pick(request.url);
    const { config, clock, random } = this.#options;
    const backoff = { attemptsMax: config.attemptsMax, firstMs: config.retryFirstMs, maxMs: config.retryMaxMs };
    try {
      const result = await retry((attempt) => this.#once(attempt, scheme, request, () => work(source, scheme)), {
        ...backoff,
        clock,
        random,
        signal: request.signal,
      });
      this.#metrics.requests.inc({ scheme, operation, outcome: "ok" });
      return result;
    } catch (thrown) {
      const outcome = request.signal.aborted ? "cancelled" : thrown instanceof AnaxError ? thrown.code : "internal";
      this.#metrics.requests.inc({ scheme, operation, outcome });
      throw thrown;
    }
  }

  async #once<T>(attempt: number, scheme: string, request: SourceRequest, work: () => Promise<T>): Promise<T> {
    request.signal.throwIfAborted();
    try {
      return await work();
    } catch (thrown) {
      const last = attempt >= this.#options.config.attemptsMax || request.signal.aborted;
      if (!last && thrown instanceof AnaxError && ERRORS[thrown.code].retry === "same") await this.#beforeRetry(thrown, scheme, request);
      throw thrown;
    }
  }

  /** What the source asked for with Retry-After comes on top of our own backoff. */
  async #beforeRetry(error: AnaxError, scheme: string, request: SourceRequest): Promise<void> {
    const { clock, config, log } = this.#options;
    const waitMs = Math.min(config.retryAfterMaxMs, retryAfterMs(error.details["retryAfter"], clock));
    this.#metrics.retries.inc({ scheme, reason: error.code });
    log.debug("source.retried", { url: shownUrl(request.url), code: error.code, reason: error.details["reason"], waitMs });
    if (waitMs > 0) await clock.sleep(waitMs, request.signal);
  }

  #pick(url: string): { readonly source: Source; readonly scheme: string } {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
    if (scheme === undefined) throw new AnaxError("input.invalid", { reason: "a URL with a scheme is needed" });
    const source = this.#sources.get(scheme);
    if (source === undefined) throw new AnaxError("source.unsupported", { scheme, known: [...this.#sources.keys()] });
    return { source, scheme };
  }
}

/** Milliseconds that a Retry-After field asks for (RFC 9110 §10.2.3): seconds or a date; 0 when it says nothing. */
function retryAfterMs(field: unknown, clock: Clock): number {
  if (typeof field !== "string") return 0;
  if (/^\d{1,9}$/.test(field)) return Number(field) * 1000;
  const atMs = parseHttpDateMs(field);
  return atMs === undefined ? 0 : Math.max(0, atMs - clock.wallMs());
}

function checkRange<R extends Parameters<Sources["read"]>[0]>(request: R): R {
  const { range } = request;
  if (range === undefined) return request;
  const { start, length } = range;
  const fine =
    Number.isSafeInteger(start) && start >= 0 && Number.isSafeInteger(length) && length > 0 && Number.isSafeInteger(start + length);
  if (!fine) throw new AnaxError("input.invalid", { reason: "not a byte range", start, length });
  return request;
}
