import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

export const SERVICE_METRICS = {
  calls: {
    kind: "counter",
    name: "anax_volume_calls_total",
    help: "Calls of the service for volumes (`anax volume … --server`), by method; outcome: done, or failed with a code that the caller was told.",
    labels: ["method", "outcome"],
  },
  durations: {
    kind: "histogram",
    name: "anax_volume_call_seconds",
    help: "From a call's arguments to the end of its answer.",
    labels: ["method"],
    buckets: [0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600],
  },
  inFlight: { kind: "gauge", name: "anax_volume_calls_in_flight", help: "Calls that are being answered." },
  refused: {
    kind: "counter",
    name: "anax_volume_refused_total",
    help: "Requests that were no calls: token, it was not known; busy, there were too many calls; request, it made no sense.",
    labels: ["reason"],
  },
} as const;

export type ServiceMetrics = Metrics<typeof SERVICE_METRICS>;

export const createServiceMetrics = (registry: Registry): ServiceMetrics => metricsOf(registry, SERVICE_METRICS);
