import { realClock, type Clock } from "../../src/base/clock.ts";
import { createRegistry, type Registry } from "../../src/base/metrics.ts";
import { MemoryBudget } from "../../src/p2p/daemon/memory/budget.ts";
import { MemoryConfig } from "../../src/p2p/daemon/memory/config.ts";
import { memoryMetricsOf } from "../../src/p2p/daemon/memory/metrics.ts";

interface Options {
  /** Default: no limit. */
  readonly totalBytes?: number;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly clock?: Clock;
  readonly registry?: Registry;
}

export function aMemoryBudget({ totalBytes, config, clock, registry }: Options = {}): MemoryBudget {
  return new MemoryBudget({
    totalBytes: totalBytes ?? Number.MAX_SAFE_INTEGER,
    config: MemoryConfig.parse(config ?? {}),
    clock: clock ?? realClock,
    metrics: memoryMetricsOf(registry ?? createRegistry({ runtime: false })),
  });
}
