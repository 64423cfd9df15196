import { z } from "zod";
import { duration } from "../../base/quantity.ts";

const absolutePath = z.string().startsWith("/", "expected an absolute path");

/** The service that `anax volume … --server` talks to. */
export const VolumeServiceConfig = z.strictObject({
  enabled: z.boolean().default(false).describe("Serve `anax volume … --server` in `anax up`, too."),
  listenHost: z
    .string()
    .default("127.0.0.1")
    .describe(
      "Address that the service for volumes listens on; others than those of this machine need TLS, as its token would be read on the way.",
    ),
  port: z.int().min(0).max(65_535).default(9002).describe("Port of the service for volumes; 0 takes a free one."),
  tlsCertFile: absolutePath.optional().describe("PEM file with the certificate; with tlsKeyFile: https only."),
  tlsKeyFile: absolutePath.optional().describe("PEM file with the key of tlsCertFile."),
  tokenFile: absolutePath
    .optional()
    .describe(
      "File with the token that a caller must know, of 20 signs and more. Default: volumes/service.token in the data directory, made at the first start.",
    ),
  mounts: z
    .boolean()
    .default(true)
    .describe(
      "Whether `anax mount --server` and `warmup --server` get the address of a volume's metadata, with the password that is in it. Off: volumes are mounted elsewhere only by who knows that address (attach).",
    ),
  callsMax: z.int().min(1).max(1000).default(16).describe("Calls at the same time; more are refused."),
  drainMs: duration({ min: "0s", max: "1h" }).prefault("10s").describe("Time for running calls to end when the service stops."),
});
export type VolumeServiceConfig = z.output<typeof VolumeServiceConfig>;
