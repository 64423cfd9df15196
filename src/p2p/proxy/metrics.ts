import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

/** What a request was about. */
export type RequestKind = "blob" | "manifest" | "task" | "pass" | "tunnel" | "hijack" | "rejected";

/**
 * How it was answered. hit: from what was here; download: while it arrived; revalidated: from here after the origin said that it is the same;
 * pass: streamed from the origin untouched; fallback: streamed from the origin because a download failed; refused: the origin or we said no;
 * aborted: the client left; failed: anything else.
 */
export type RequestOutcome = "hit" | "download" | "revalidated" | "pass" | "fallback" | "refused" | "aborted" | "failed";

/** Where served bytes came from: content complete on this disk, content on its way, or the origin directly. */
type ServedFrom = "store" | "download" | "origin" | "memory";

export const PROXY_METRICS = {
  requests: {
    kind: "counter",
    name: "anax_proxy_requests_total",
    help: "Requests to the registry mirror and proxy, by kind and how they were answered.",
    labels: ["kind", "outcome"],
  },
  bytes: {
    kind: "counter",
    name: "anax_proxy_served_bytes_total",
    help: "Body bytes sent to clients, by where they came from.",
    labels: ["from"],
  },
  inFlight: { kind: "gauge", name: "anax_proxy_requests_in_flight", help: "Requests that are being answered." },
  tunnels: { kind: "gauge", name: "anax_proxy_tunnels_open", help: "CONNECT tunnels, hijacked ones included." },
  accessChecks: {
    kind: "counter",
    name: "anax_proxy_access_checks_total",
    help: "Whether a client may have content, by answer.",
    labels: ["answer"],
  },
} as const;

export type ProxyMetrics = Metrics<typeof PROXY_METRICS>;

export const createProxyMetrics = (registry: Registry): ProxyMetrics => metricsOf(registry, PROXY_METRICS);

export const countServed = (metrics: ProxyMetrics, from: ServedFrom, bytes: number): void => metrics.bytes.inc({ from }, bytes);

export const countRequest = (metrics: ProxyMetrics, kind: RequestKind, outcome: RequestOutcome): void =>
  metrics.requests.inc({ kind, outcome });
