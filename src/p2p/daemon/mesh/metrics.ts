import { metricsOf, type Metrics, type Registry } from "../../../base/metrics.ts";

export const MESH_METRICS = {
  tasks: { kind: "gauge", name: "anax_mesh_tasks", help: "Tasks that are shared with neighbours now." },
  neighbours: { kind: "gauge", name: "anax_mesh_neighbours", help: "Neighbours of all tasks together." },
  requests: {
    kind: "counter",
    name: "anax_mesh_requests_total",
    help: "Pieces asked of neighbours by how that ended: stored, duplicate, busy, elsewhere, not-found, gone, done (not wanted any more), failed.",
    labels: ["outcome"],
  },
  receivedBytes: { kind: "counter", name: "anax_mesh_received_bytes_total", help: "Bytes of whole pieces received from neighbours." },
  sentBytes: { kind: "counter", name: "anax_mesh_sent_bytes_total", help: "Bytes of blocks sent to neighbours." },
  uploads: {
    kind: "counter",
    name: "anax_mesh_uploads_total",
    help: "Requests of neighbours by what became of them: held, relayed (the piece was still arriving), busy, elsewhere, not-found, failed.",
    labels: ["outcome"],
  },
  stalls: { kind: "counter", name: "anax_mesh_stalls_total", help: "Pieces given up because nothing of them came for a while." },
} as const;

export type MeshMetrics = Metrics<typeof MESH_METRICS>;

export const meshMetricsOf = (registry: Registry): MeshMetrics => metricsOf(registry, MESH_METRICS);
