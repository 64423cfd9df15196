import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

export const DAEMON_METRICS = {
  downloads: {
    kind: "counter",
    name: "anax_daemon_downloads_total",
    help: "Downloads by how they ended: hit (was here), done, failed, cancelled.",
    labels: ["outcome"],
  },
  downloadsInFlight: { kind: "gauge", name: "anax_daemon_downloads_in_flight", help: "Downloads that run or wait for their turn." },
  resumed: {
    kind: "counter",
    name: "anax_daemon_resumed_downloads_total",
    help: "Downloads that were left running at a restart, by what became of them: done, failed, too-late, no-progress.",
    labels: ["outcome"],
  },
  failures: { kind: "counter", name: "anax_daemon_download_failures_total", help: "Failed downloads by error code.", labels: ["code"] },
  bytes: {
    kind: "counter",
    name: "anax_daemon_received_bytes_total",
    help: "Bytes of finished pieces by where they came from.",
    labels: ["traffic"],
  },
  backToSource: {
    kind: "counter",
    name: "anax_daemon_back_to_source_total",
    help: "Downloads that read the source, by reason.",
    labels: ["because"],
  },
  pieceFailures: {
    kind: "counter",
    name: "anax_daemon_piece_failures_total",
    help: "Pieces that a parent failed to give, by error code.",
    labels: ["code"],
  },
  reschedules: {
    kind: "counter",
    name: "anax_daemon_reschedules_total",
    help: "Times that other parents were asked for, by reason.",
    labels: ["because"],
  },
  schedulersLive: { kind: "gauge", name: "anax_daemon_schedulers_live", help: "Schedulers that answer." },
  schedulersKnown: { kind: "gauge", name: "anax_daemon_schedulers_known", help: "Schedulers that are configured." },
} as const;

export type DaemonMetrics = Metrics<typeof DAEMON_METRICS>;

export const daemonMetricsOf = (registry: Registry): DaemonMetrics => metricsOf(registry, DAEMON_METRICS);
