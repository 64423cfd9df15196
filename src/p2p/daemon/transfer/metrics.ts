import { metricsOf, type Metrics, type Registry } from "../../../base/metrics.ts";

export const TRANSFER_METRICS = {
  uploads: {
    kind: "counter",
    name: "anax_transfer_uploads_total",
    help: "Requests for pieces by how they ended: sent, not-found, busy, invalid, failed.",
    labels: ["outcome"],
  },
  uploadedBytes: { kind: "counter", name: "anax_transfer_uploaded_bytes_total", help: "Bytes of pieces sent to other peers." },
  uploadsInFlight: { kind: "gauge", name: "anax_transfer_uploads_in_flight", help: "Pieces that are being sent." },
  uploadConnections: { kind: "gauge", name: "anax_transfer_upload_connections", help: "Open connections from other peers." },
  uploadConnectionsRefused: {
    kind: "counter",
    name: "anax_transfer_upload_connections_refused_total",
    help: "Connections closed because there were too many.",
  },
  fetches: {
    kind: "counter",
    name: "anax_transfer_fetches_total",
    help: "Pieces asked of parents by how that ended: stored, duplicate, failed, cancelled.",
    labels: ["outcome"],
  },
  fetchedBytes: { kind: "counter", name: "anax_transfer_fetched_bytes_total", help: "Bytes of whole pieces received from parents." },
  fetchRetries: {
    kind: "counter",
    name: "anax_transfer_fetch_retries_total",
    help: "Requests sent again because their connection ended before the answer began.",
  },
  fetchConnections: { kind: "gauge", name: "anax_transfer_fetch_connections", help: "Open connections to parents." },
  fetchConnects: { kind: "counter", name: "anax_transfer_fetch_connects_total", help: "Connections opened to parents." },
  fetchSeconds: {
    kind: "histogram",
    name: "anax_transfer_fetch_seconds",
    help: "Time from asking for a piece to having it on disk.",
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
  },
} as const;

export type TransferMetrics = Metrics<typeof TRANSFER_METRICS>;

export const transferMetricsOf = (registry: Registry): TransferMetrics => metricsOf(registry, TRANSFER_METRICS);
