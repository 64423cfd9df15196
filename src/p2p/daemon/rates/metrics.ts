import { metricsOf, type Metrics, type Registry } from "../../../base/metrics.ts";

export const RATES_METRICS = {
  measured: {
    kind: "gauge",
    name: "anax_rates_measured_bytes_per_second",
    help: "What moves at present, by direction: upload, download (sources included), source.",
    labels: ["direction"],
  },
  limit: {
    kind: "gauge",
    name: "anax_rates_limit_bytes_per_second",
    help: "The limit of all tasks together, by direction; 0 where there is none.",
    labels: ["direction"],
  },
  waiting: { kind: "gauge", name: "anax_rates_waiting", help: "Transfers that a limit holds back just now.", labels: ["direction"] },
  waits: { kind: "counter", name: "anax_rates_waits_total", help: "Turns that a limit made wait.", labels: ["direction"] },
  backgroundLimit: {
    kind: "gauge",
    name: "anax_rates_background_bytes_per_second",
    help: "What background transfers may use beside other traffic on the link; 0 while that is not limited.",
    labels: ["direction"],
  },
  link: {
    kind: "gauge",
    name: "anax_rates_link_bytes_per_second",
    help: "What the link carries, configured or learned; 0 while unknown.",
    labels: ["direction"],
  },
} as const;

export type RatesMetrics = Metrics<typeof RATES_METRICS>;

export const ratesMetricsOf = (registry: Registry): RatesMetrics => metricsOf(registry, RATES_METRICS);
