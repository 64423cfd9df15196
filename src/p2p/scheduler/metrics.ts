import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

export const SCHEDULER_METRICS = {
  hosts: {
    kind: "gauge",
    name: "anax_scheduler_hosts",
    help: "Hosts known, by liveness: attached, announced, silent.",
    labels: ["liveness"],
  },
  tasks: { kind: "gauge", name: "anax_scheduler_tasks", help: "Tasks known, by whether a download of them runs.", labels: ["active"] },
  peers: { kind: "gauge", name: "anax_scheduler_peers", help: "Peers known." },
  waiting: { kind: "gauge", name: "anax_scheduler_peers_waiting", help: "Peers that asked for parents and have none." },
  decisions: {
    kind: "counter",
    name: "anax_scheduler_decisions_total",
    help: "What peers were told: parents (for ours: neighbours), pushed-parents, wait, source, empty, metadata-only, failed.",
    labels: ["decision"],
  },
  rejections: {
    kind: "counter",
    name: "anax_scheduler_rejections_total",
    help: "Candidates that were turned down in decisions, by the rule that spoke against them: as neighbours, parents, seeds or readers of the source.",
    labels: ["rule"],
  },
  sourceGrants: {
    kind: "counter",
    name: "anax_scheduler_source_grants_total",
    help: "Peers that were sent to the source, by reason.",
    labels: ["because"],
  },
  failures: {
    kind: "counter",
    name: "anax_scheduler_peer_failures_total",
    help: "Peers that were told to give up, by error code.",
    labels: ["code"],
  },
  seedTriggers: {
    kind: "counter",
    name: "anax_scheduler_seed_triggers_total",
    help: "Orders to seeds by how they ended: done, failed.",
    labels: ["outcome"],
  },
  stepSeconds: {
    kind: "histogram",
    name: "anax_scheduler_step_seconds",
    help: "Time that one decision step took.",
    buckets: [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5],
  },
} as const;

export type SchedulerMetrics = Metrics<typeof SCHEDULER_METRICS>;

export const schedulerMetricsOf = (registry: Registry): SchedulerMetrics => metricsOf(registry, SCHEDULER_METRICS);
