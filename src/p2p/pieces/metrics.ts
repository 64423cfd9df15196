import type { MetricSpec } from "../../base/metrics.ts";
import type { Metrics } from "../../base/metrics.ts";

export const PIECES_METRICS = {
  stored: {
    kind: "counter",
    name: "anax_pieces_stored_bytes_total",
    help: "Bytes of pieces stored, by where they came from.",
    labels: ["traffic"],
  },
  duplicates: { kind: "counter", name: "anax_pieces_duplicates_total", help: "Pieces that came a second time and were not needed." },
  mismatches: { kind: "counter", name: "anax_pieces_mismatches_total", help: "Checksum failures, by what was checked.", labels: ["what"] },
  commits: {
    kind: "counter",
    name: "anax_pieces_commits_total",
    help: "Transactions of the piece database, by outcome.",
    labels: ["outcome"],
  },
  removed: { kind: "counter", name: "anax_pieces_removed_tasks_total", help: "Tasks deleted from disk, by reason.", labels: ["reason"] },
  removedBytes: {
    kind: "counter",
    name: "anax_pieces_removed_bytes_total",
    help: "Bytes of tasks deleted from disk, by reason.",
    labels: ["reason"],
  },
  kept: {
    kind: "counter",
    name: "anax_pieces_kept_tasks_total",
    help: "Tasks that a collection passed over since they were in use, by the first reason.",
    labels: ["reason"],
  },
  tasks: { kind: "gauge", name: "anax_pieces_tasks", help: "Tasks on disk." },
  heldBytes: { kind: "gauge", name: "anax_pieces_held_bytes", help: "Bytes that content takes on disk." },
  unaccountedBytes: {
    kind: "gauge",
    name: "anax_pieces_unaccounted_bytes",
    help: "Bytes that the store's files took beyond what was counted, when they were last compared; less than 0: that they took less.",
  },
  reservedBytes: { kind: "gauge", name: "anax_pieces_reserved_bytes", help: "Bytes promised to running downloads and not yet written." },
} as const satisfies Readonly<Record<string, MetricSpec>>;

export type PiecesMetrics = Metrics<typeof PIECES_METRICS>;
