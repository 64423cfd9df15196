import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";
import { LATENCY_SECONDS, type MountCounted } from "./mount-counts.ts";
import type { MountFigures } from "./mount-meter.ts";

export const MOUNT_METRICS = {
  requests: {
    kind: "histogram",
    name: "anax_mount_request_seconds",
    help: "From when a request of the kernel was taken to its answer, by operation of FUSE.",
    labels: ["operation"],
    buckets: LATENCY_SECONDS,
  },
  errors: {
    kind: "counter",
    name: "anax_mount_errors_total",
    help: "Requests that were answered with an error number, by operation and its name; most ENOENT of a lookup are no trouble.",
    labels: ["operation", "code"],
  },
  readBytes: { kind: "counter", name: "anax_mount_read_bytes_total", help: "Bytes that reads of the kernel were answered with." },
  writtenBytes: { kind: "counter", name: "anax_mount_written_bytes_total", help: "Bytes that writes of the kernel brought." },
  dirtyBytes: {
    kind: "gauge",
    name: "anax_mount_dirty_bytes",
    help: "Bytes that were written and are not committed: what a crash of the mount process would lose.",
  },
  backlogBytes: {
    kind: "gauge",
    name: "anax_mount_backlog_bytes",
    help: "Bytes on this machine's disk that are still to be uploaded to the bucket.",
  },
  openFiles: { kind: "gauge", name: "anax_mount_open_files", help: "Files that programs have open." },
  waiting: {
    kind: "gauge",
    name: "anax_mount_requests_waiting",
    help: "Requests that wait for the engine of the metadata, or for the bucket.",
  },
  cacheReads: {
    kind: "counter",
    name: "anax_mount_cache_reads_total",
    help: "Reads of a blob of a bucket: hit, it lay on this machine; miss, it had to be fetched.",
    labels: ["outcome"],
  },
  fetchedBytes: {
    kind: "counter",
    name: "anax_mount_fetched_bytes_total",
    help: "Bytes of blobs that were fetched, by where they came from: peer, store.",
    labels: ["from"],
  },
  restarts: {
    kind: "counter",
    name: "anax_mount_restarts_total",
    help: "Mount processes that were replaced, after a crash or because they hung.",
  },
} as const;

/** Serves what `figures` says at the time. */
export function serveMountMetrics(registry: Registry, figures: () => MountFigures): void {
  const { requests, ...others } = MOUNT_METRICS;
  const { name, help, kind } = requests;
  // What has been counted in ranges elsewhere: prom-client's own histogram takes single observations only. The first is asked first, so the others are filled then.
  const histogram = {
    name,
    get: () => {
      const now = figures();
      fill(metrics, now);
      return Promise.resolve({ name, help, type: kind, aggregator: "sum", values: now.counted.operations.flatMap(histogramOf) });
    },
  };
  registry.registerMetric(histogram as unknown as Parameters<Registry["registerMetric"]>[0]); // what a registry asks of one
  const metrics = metricsOf(registry, others);
}

type Filled = Omit<Metrics<typeof MOUNT_METRICS>, "requests">;

function fill(metrics: Filled, { counted, reads, openFiles, waiting, restarts }: MountFigures): void {
  const { errors, cacheReads, fetchedBytes } = metrics;
  for (const counter of [errors, cacheReads, fetchedBytes, metrics.readBytes, metrics.writtenBytes, metrics.restarts]) counter.reset();
  for (const { operation, errors: failures } of counted.operations)
    for (const { code, count } of failures) errors.inc({ operation, code }, count);
  metrics.readBytes.inc(counted.readBytes);
  metrics.writtenBytes.inc(counted.writtenBytes);
  metrics.dirtyBytes.set(counted.dirtyBytes);
  metrics.backlogBytes.set(counted.backlogBytes);
  metrics.openFiles.set(openFiles);
  metrics.waiting.set(waiting);
  metrics.restarts.inc(restarts);
  cacheReads.inc({ outcome: "hit" }, reads.cacheHits);
  cacheReads.inc({ outcome: "miss" }, reads.cacheMisses);
  fetchedBytes.inc({ from: "peer" }, reads.peerBytes);
  fetchedBytes.inc({ from: "store" }, reads.storeBytes);
}

function histogramOf({ operation, seconds, ranges }: MountCounted["operations"][number]) {
  const { name } = MOUNT_METRICS.requests;
  let count = 0;
  const buckets = ranges.map((more, index) => ({
    metricName: `${name}_bucket`,
    labels: { operation, le: LATENCY_SECONDS[index] ?? "+Inf" },
    value: (count += more),
  }));
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: { operation }, value: seconds },
    { metricName: `${name}_count`, labels: { operation }, value: count },
  ];
}
