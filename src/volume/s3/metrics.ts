import { metricsOf, type Metrics, type Registry } from "../../base/metrics.ts";

export const S3_METRICS = {
  requests: {
    kind: "counter",
    name: "anax_s3_requests_total",
    help: "Requests to the S3 gateway, by operation and class of the answer's status.",
    labels: ["operation", "status"],
  },
  durations: {
    kind: "histogram",
    name: "anax_s3_request_seconds",
    help: "From a request's head to the end of its answer.",
    labels: ["operation"],
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
  },
  inFlight: { kind: "gauge", name: "anax_s3_requests_in_flight", help: "Requests that are being answered." },
  receivedBytes: { kind: "counter", name: "anax_s3_received_bytes_total", help: "Bytes of objects and parts that were stored." },
  sentBytes: { kind: "counter", name: "anax_s3_sent_bytes_total", help: "Bytes of objects that were sent." },
  volumes: { kind: "gauge", name: "anax_s3_volumes_open", help: "Volumes that the gateway has open." },
} as const;

export type S3Metrics = Metrics<typeof S3_METRICS>;

export const createS3Metrics = (registry: Registry): S3Metrics => metricsOf(registry, S3_METRICS);
