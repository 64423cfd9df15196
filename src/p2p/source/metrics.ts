import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

/** `scheme` is one that a source serves, `outcome` is `ok`, `cancelled` or an error code of the table. */
export const SOURCE_METRICS = {
  requests: {
    kind: "counter",
    name: "anax_source_requests_total",
    help: "Requests to sources, by scheme, operation and how they ended (for reads: at the head of the reply).",
    labels: ["scheme", "operation", "outcome"],
  },
  retries: {
    kind: "counter",
    name: "anax_source_retries_total",
    help: "Tries after the first, by scheme and the error of the try before.",
    labels: ["scheme", "reason"],
  },
  bytes: { kind: "counter", name: "anax_source_read_bytes_total", help: "Body bytes read from sources.", labels: ["scheme"] },
} as const;

export type SourceMetrics = Metrics<typeof SOURCE_METRICS>;

export const createSourceMetrics = (registry: Registry): SourceMetrics => metricsOf(registry, SOURCE_METRICS);
