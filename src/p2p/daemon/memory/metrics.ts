import { metricsOf, type Metrics, type Registry } from "../../../base/metrics.ts";

export const MEMORY_METRICS = {
  total: { kind: "gauge", name: "anax_memory_budget_bytes", help: "Memory that downloads may take together." },
  reserved: { kind: "gauge", name: "anax_memory_reserved_bytes", help: "Memory that is reserved for what runs." },
  waiting: { kind: "gauge", name: "anax_memory_waiting", help: "Downloads, and answers to clients, that wait for memory." },
  refused: { kind: "counter", name: "anax_memory_refused_total", help: "Of these, those that were refused, or waited too long." },
} as const;

export type MemoryMetrics = Metrics<typeof MEMORY_METRICS>;

export const memoryMetricsOf = (registry: Registry): MemoryMetrics => metricsOf(registry, MEMORY_METRICS);
