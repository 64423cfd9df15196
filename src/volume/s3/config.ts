import { z } from "zod";
import { byteSize, duration } from "../../base/quantity.ts";

const absolutePath = z.string().startsWith("/", "expected an absolute path");

/** The S3 gateway: volumes as buckets. */
export const S3Config = z.strictObject({
  enabled: z.boolean().default(false).describe("Serve volumes over S3 in `anax up`, too."),
  listenHost: z.string().default("127.0.0.1").describe("Address that the S3 gateway listens on."),
  port: z.int().min(0).max(65_535).default(9000).describe("Port of the S3 gateway; 0 takes a free one."),
  tlsCertFile: absolutePath
    .optional()
    .describe("PEM file with the certificate, and what leads to its authority; with tlsKeyFile: https only."),
  tlsKeyFile: absolutePath.optional().describe("PEM file with the key of tlsCertFile."),
  region: z.string().min(1).max(64).default("us-east-1").describe("Region that is told to who asks; requests may be signed for any."),
  domain: z
    .string()
    .regex(/^[a-z0-9.-]+$/)
    .optional()
    .describe("Name of this service: BUCKET.DOMAIN is then the bucket, too, besides DOMAIN/BUCKET."),
  createBuckets: z
    .boolean()
    .default(false)
    .describe("Let who has an access key create buckets, which are volumes of that key, and delete those when they are empty."),
  clockSkewMs: duration({ min: "1s", max: "1d" }).prefault("15m").describe("How far a client's clock may be off."),
  connectionsMax: z.int().min(1).max(100_000).default(1024).describe("Client connections at the same time; more are closed at once."),
  requestsMax: z.int().min(1).max(100_000).default(256).describe("Requests at the same time; more get SlowDown."),
  volumesMax: z.int().min(1).max(10_000).default(64).describe("Volumes that are open at the same time."),
  idleVolumeMs: duration({ min: "1s", max: "1d" }).prefault("1m").describe("A volume that nobody asks for is closed after this."),
  headerBytesMax: byteSize({ min: "4KiB", max: "256KiB" }).prefault("32KiB").describe("Longest head of a request."),
  xmlBytesMax: byteSize({ min: "64KiB", max: "64MiB" }).prefault("4MiB").describe("Longest document that a request may bring."),
  headersTimeoutMs: duration({ min: "1s", max: "10m" }).prefault("30s").describe("Time for a client to send a request's head."),
  requestTimeoutMs: duration({ min: "1s", max: "7d" }).prefault("6h").describe("Time for a client to send a whole request."),
  idleMs: duration({ min: "1s", max: "1d" })
    .prefault("2m")
    .describe("A client that neither sends nor takes a byte for so long is dropped."),
  keepAliveMs: duration({ min: "1s", max: "1h" }).prefault("75s").describe("How long an idle client connection is kept."),
  drainMs: duration({ min: "0s", max: "1h" }).prefault("10s").describe("Time for running requests to end when the gateway stops."),
});
export type S3Config = z.output<typeof S3Config>;
