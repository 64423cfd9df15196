import { isIP } from "node:net";
import { z } from "zod";
import { byteSize, duration } from "../../base/quantity.ts";

const absolutePath = z.string().startsWith("/", "expected an absolute path");
const registryName = z
  .string()
  .regex(
    /^(https?:\/\/)?(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(\/[\w./-]*)?$/,
    "expected a registry such as registry.example:5000",
  );
const hostAndPort = z
  .string()
  .regex(/^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?$/, "expected a host, with a port where it is not the usual one");
const pattern = z.string().min(1).max(1024).refine(isRegExp, "expected a regular expression");

export const RegistryConfig = z.strictObject({
  url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .describe("Where the registry really is; without it https and its own name."),
  plainHttp: z.boolean().default(false).describe("Speak http when no url says otherwise."),
  insecureSkipVerify: z.boolean().default(false).describe("Do not check the registry's TLS certificate."),
  caFile: absolutePath.optional().describe("PEM file with certificates to trust for this registry besides the system's."),
  username: z.string().min(1).optional().describe("Used for requests that bring no credentials of their own."),
  password: z.string().min(1).optional().meta({ secret: true }).describe("Password or token of username."),
});
export type RegistryConfig = z.infer<typeof RegistryConfig>;

export const ProxyRule = z.strictObject({
  regex: pattern.describe("Matched against the whole URL."),
  useTls: z.boolean().default(false).describe("Ask the origin by https although the client said http."),
  redirect: hostAndPort.optional().describe("Host, with an optional port, to ask in place of the URL's own."),
  filteredQueryParams: z.array(z.string().min(1)).max(100).default([]).describe("Query parameters that do not name the content."),
  direct: z.boolean().default(false).describe("Matching requests stream through and never become tasks."),
});
export type ProxyRule = z.infer<typeof ProxyRule>;

/** The registry mirror and HTTP proxy that clients on this machine put before their downloads. */
export const ProxyConfig = z.strictObject({
  enabled: z.boolean().default(true).describe("Serve the registry mirror and HTTP proxy."),
  listenIp: z.string().refine(isAddress, "expected an IP address").default("127.0.0.1").describe("Address to listen on."),
  port: z.int().min(0).max(65_535).default(4001).describe("Port of the mirror and the proxy; 0 takes a free one."),
  mirrors: z
    .array(z.strictObject({ port: z.int().min(0).max(65_535), registry: registryName }))
    .max(256)
    .default([])
    .describe("Further ports, each a mirror of one registry, for clients that cannot say which registry they mean."),
  defaultRegistry: z
    .union([registryName, z.literal("")])
    .default("https://index.docker.io")
    .describe("Registry of requests that name none; empty: such requests are refused."),
  registries: z
    .record(z.string().min(1), RegistryConfig)
    .default({})
    .describe("Settings by registry name, as images spell it (registry.example:5000)."),
  unknownRegistries: z.boolean().default(true).describe("Mirror registries too that have no entry in registries."),

  rules: z
    .array(ProxyRule)
    .max(1000)
    .default([{ regex: "/v2/.*/blobs/sha256:[0-9a-f]{64}", useTls: false, filteredQueryParams: [], direct: false }])
    .describe("Which GET requests through the proxy become tasks: the first match decides."),
  filteredQueryParams: z.array(z.string().min(1)).max(100).default([]).describe("Query parameters that name no content, for every rule."),
  username: z.string().min(1).optional().describe("With password: what proxy clients must present (Basic). The mirror is not concerned."),
  password: z.string().min(1).optional().meta({ secret: true }).describe("Password of username."),
  outputRoots: z
    .array(absolutePath)
    .max(100)
    .default([])
    .describe("Directories below which X-Dragonfly-Output-Path may write; none: it is refused."),
  prefetch: z.boolean().default(false).describe("A request for a range brings the whole content here."),
  prefetchesMax: z.int().min(0).max(1024).default(16).describe("Downloads that go on for prefetching after their request has ended."),
  taskTimeoutMs: duration({ min: "1s", max: "7d" }).prefault("2h").describe("Longest time of one download."),
  passThroughOnFailure: z
    .boolean()
    .default(true)
    .describe("When a download fails for a reason of ours (disk full, no peers), stream from the origin without keeping anything."),

  accessTtlMs: duration({ min: "0s", max: "1d" })
    .prefault("5m")
    .describe("How long an origin's permission for these credentials and this content is believed without asking again."),
  accessEntriesMax: z.int().min(16).max(1_000_000).default(16_384).describe("Permissions remembered."),
  anonymousWhenUnreachable: z
    .boolean()
    .default(true)
    .describe("While the origin is unreachable, serve everybody what it once gave without credentials."),
  revalidate: z
    .boolean()
    .default(true)
    .describe("Ask the origin whether content that no digest names is still the same before serving it."),
  manifestCacheBytes: byteSize({ min: "0", max: "4GiB" }).prefault("64MiB").describe("Memory for image manifests; 0 keeps none."),
  manifestBytesMax: byteSize({ min: "64KiB", max: "64MiB" }).prefault("4MiB").describe("A larger manifest streams through unkept."),

  hijackHosts: z
    .array(z.string().min(1).max(256))
    .max(1000)
    .default([])
    .describe("Hosts whose CONNECT is answered with a certificate of our own, besides those in registries: host, host:port, .domain, *."),
  hijackRegistries: z.boolean().default(true).describe("Answer CONNECT to the hosts in registries ourselves."),
  caCertFile: absolutePath.optional().describe("PEM certificate of the authority that signs for hijacked hosts; without it one is made."),
  caKeyFile: absolutePath.optional().describe("PEM key (PKCS #8, ECDSA or RSA) of caCertFile."),
  leafCertificatesMax: z.int().min(1).max(100_000).default(1000).describe("Certificates for hijacked hosts kept in memory."),
  tunnelsMax: z.int().min(0).max(1_000_000).default(4096).describe("CONNECT tunnels at the same time."),
  tunnelIdleMs: duration({ min: "1s", max: "1d" }).prefault("10m").describe("A tunnel without traffic is closed after this."),

  connectionsMax: z.int().min(1).max(1_000_000).default(8192).describe("Client connections at the same time; more are closed at once."),
  requestsMax: z.int().min(1).max(1_000_000).default(4096).describe("Requests at the same time; more get 503."),
  headerBytesMax: byteSize({ min: "4KiB", max: "1MiB" }).prefault("64KiB").describe("Longest head of a request; a longer one gets 431."),
  headersTimeoutMs: duration({ min: "1s", max: "10m" }).prefault("30s").describe("Time for a client to send a request's head."),
  requestTimeoutMs: duration({ min: "1s", max: "7d" })
    .prefault("6h")
    .describe("Time for a client to send a whole request, its body included."),
  keepAliveMs: duration({ min: "1s", max: "1h" }).prefault("75s").describe("How long an idle client connection is kept."),
  clientStallMs: duration({ min: "1s", max: "1d" }).prefault("5m").describe("A client that takes no byte for so long is dropped."),
  connectTimeoutMs: duration({ min: "10ms", max: "5m" }).prefault("10s").describe("Time to connect to an origin, TLS included."),
  accessTimeoutMs: duration({ min: "10ms", max: "5m" })
    .prefault("20s")
    .describe("Time for an origin to answer whether a client may have content."),
  originIdleMs: duration({ min: "1s", max: "1d" }).prefault("5m").describe("Longest silence of an origin while something streams through."),
  originConnectionsPerHostMax: z.int().min(1).max(4096).default(256).describe("Connections to one origin for what streams through."),
  drainMs: duration({ min: "0s", max: "1h" }).prefault("5s").describe("Time for running requests to end when the proxy stops."),
});
export type ProxyConfig = z.infer<typeof ProxyConfig>;

function isRegExp(text: string): boolean {
  try {
    return RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}
