import { z } from "zod";
import { duration } from "../../base/quantity.ts";
import { parseNetwork } from "./networks.ts";

const network = z.string().refine((text) => parseNetwork(text) !== undefined, "expected a network such as 10.0.0.0/8 or one address");
const absolutePath = z.string().startsWith("/", "expected an absolute path");
const httpUrl = z.url({ protocol: /^https?$/ });

/** How content is fetched from where it comes from when no peer has it. */
export const SourceConfig = z.strictObject({
  attemptsMax: z.int().min(1).max(10).default(3).describe("Tries of one request to a source, the first included."),
  retryFirstMs: duration({ min: "1ms", max: "1m" })
    .prefault("200ms")
    .describe("Wait before the second try; it doubles with each further one."),
  retryMaxMs: duration({ min: "1ms", max: "10m" }).prefault("5s").describe("Longest wait between two tries."),
  retryAfterMaxMs: duration({ min: "0s", max: "10m" })
    .prefault("30s")
    .describe("Longest wait that a source may demand with Retry-After; what it asks beyond that is cut to this."),
  connectTimeoutMs: duration({ min: "10ms", max: "5m" }).prefault("5s").describe("Time to connect, the TLS handshake included."),
  headersTimeoutMs: duration({ min: "10ms", max: "30m" })
    .prefault("30s")
    .describe("Time from sending a request, connecting included, to the head of the reply."),
  idleTimeoutMs: duration({ min: "10ms", max: "30m" }).prefault("30s").describe("Longest silence in the middle of a body."),
  redirectsMax: z.int().min(0).max(50).default(10).describe("Redirects followed for one request."),
  connectionsPerHostMax: z.int().min(1).max(1024).default(64).describe("Requests to one host of a source at the same time."),
  waitingPerHostMax: z.int().min(0).max(100_000).default(4096).describe("Requests that may wait for one host; more are refused."),
  keepAliveMs: duration({ min: "1ms", max: "10m" }).prefault("15s").describe("How long an unused connection to a source is kept."),
  userAgent: z
    .string()
    .regex(/^[\x20-\x7e]+$/)
    .max(256)
    .default("anax")
    .describe("User-Agent where a request names none."),
  proxyUrl: httpUrl.optional().describe("HTTP proxy for all http, https and s3 sources; loopback addresses are always reached directly."),
  noProxy: z
    .array(z.string().min(1))
    .max(1000)
    .default([])
    .describe("Hosts reached without the proxy: a domain with its subdomains, .domain for subdomains only, host:port, a network, or *."),
  caFiles: z.array(absolutePath).max(100).default([]).describe("PEM files with certificates to trust besides those of the system."),
  insecureHosts: z
    .array(z.string().min(1))
    .max(1000)
    .default([])
    .describe("Hosts whose TLS certificate is not checked: host, host:port, .domain for subdomains, a network, or *."),
  allowNetworks: z
    .array(network)
    .max(1000)
    .default([])
    .describe("Networks that sources may lie in although they are denied below or by default (link-local, metadata services, multicast)."),
  denyNetworks: z
    .array(network)
    .max(1000)
    .default([])
    .describe("Networks that sources may not lie in. Names behind proxyUrl are resolved by the proxy and not judged."),
  fileRoots: z
    .array(absolutePath)
    .max(100)
    .default([])
    .describe("Directories that file:// may read below; none means that file:// is off."),
  listEntriesMax: z.int().min(1).max(10_000_000).default(100_000).describe("Entries of one directory; a larger one is refused."),
  s3Endpoint: httpUrl.optional().describe("S3 service for requests that name none; without it that of Amazon in the region."),
  s3Region: z.string().min(1).default("us-east-1").describe("Region for requests that name none."),
  s3AccessKeyId: z.string().min(1).optional().describe("Key for requests without one, sent to s3Endpoint only."),
  s3AccessKeySecret: z.string().min(1).optional().meta({ secret: true }).describe("Secret of s3AccessKeyId."),
  s3SessionToken: z.string().min(1).optional().meta({ secret: true }).describe("Session token of s3AccessKeyId."),
  s3MachineCredentials: z
    .boolean()
    .default(false)
    .describe("Without keys, use those of this machine (environment, profile, instance role) instead of asking anonymously."),
});
export type SourceConfig = z.infer<typeof SourceConfig>;
