import { realClock, type Clock } from "../../src/base/clock.ts";
import { silentLog } from "../../src/base/log.ts";
import { createRegistry, type Registry } from "../../src/base/metrics.ts";
import { createRandom } from "../../src/base/random.ts";
import type { DiskThread } from "../../src/disk/disk-thread.ts";
import { SourceConfig } from "../../src/p2p/source/config.ts";
import type { VirtualClock } from "../../src/base/virtual-clock.ts";
import { createSources } from "../../src/p2p/source/sources.ts";
import type { SourceBody, SourceRequest, Sources } from "../../src/p2p/source/types.ts";

export interface TestSources extends Sources, AsyncDisposable {
  readonly registry: Registry;
}

/** Real sources with quick retries. */
export function aSources(config: Readonly<Record<string, unknown>> = {}, clock: Clock = realClock, disk?: DiskThread): TestSources {
  const registry = createRegistry({ runtime: false });
  const settings = SourceConfig.parse({ retryFirstMs: "1ms", retryMaxMs: "1ms", ...config });
  const sources = createSources({ config: settings, clock, random: createRandom(1), log: silentLog, registry, disk });
  return { ...sources, registry, [Symbol.asyncDispose]: () => sources[Symbol.asyncDispose]() };
}

export function aRequest(url: string, more: Partial<SourceRequest> = {}): SourceRequest {
  return { url, headers: {}, signal: new AbortController().signal, ...more };
}

export async function bytesOf(body: SourceBody): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.chunks) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Moves simulated time on until `work` settles. The steps are small, because the sockets are real: between any two of them the event
 * loop turns, and a request over loopback needs far fewer turns than its deadline has milliseconds.
 */
export async function advanceUntilSettled<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  const state = { settled: false };
  const settled = work.finally(() => (state.settled = true));
  while (!state.settled) await clock.advance(1);
  return settled;
}
