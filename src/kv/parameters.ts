/** A parameter as redis.conf, `CONFIG GET` and `CONFIG SET` know it. */
export type Parameter = { readonly fixed?: boolean; readonly alias?: string } & (
  | { readonly kind: "integer"; readonly default: number; readonly min: number; readonly max: number }
  /** Bytes: `1gb`, `100mb`. */
  | { readonly kind: "memory"; readonly default: number; readonly min: number; readonly max: number }
  | { readonly kind: "boolean"; readonly default: boolean }
  | { readonly kind: "text"; readonly default: string }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[] }
);

const integer = (value: number, min = 0, max = Number.MAX_SAFE_INTEGER): Parameter & { kind: "integer" } => ({
  kind: "integer",
  default: value,
  min,
  max,
});
const memory = (value: number, min = 0, max = Number.MAX_SAFE_INTEGER): Parameter & { kind: "memory" } => ({
  kind: "memory",
  default: value,
  min,
  max,
});
const text = (value: string): Parameter & { kind: "text" } => ({ kind: "text", default: value });
const choice = (value: string, ...choices: readonly string[]): Parameter & { kind: "choice" } => ({
  kind: "choice",
  default: value,
  choices,
});

const MIB = 1024 * 1024;

/** Names and defaults are those of Redis 7. */
export const PARAMETERS = {
  databases: { ...integer(16, 1, 16_384), fixed: true },
  timeout: integer(0),
  maxclients: integer(10_000, 1),
  "proto-max-bulk-len": memory(512 * MIB, MIB),
  "client-query-buffer-limit": memory(1024 * MIB, MIB),
  requirepass: text(""),
  maxmemory: memory(0),
  "maxmemory-policy": choice(
    "noeviction",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "noeviction",
  ),
  "maxmemory-samples": integer(5, 1, 64),
  "notify-keyspace-events": text(""),
  "slowlog-log-slower-than": integer(10_000, -1),
  "slowlog-max-len": integer(128),
  "hash-max-listpack-entries": { ...integer(128), alias: "hash-max-ziplist-entries" },
  "hash-max-listpack-value": { ...memory(64), alias: "hash-max-ziplist-value" },
  "list-max-listpack-size": { ...integer(-2, Number.MIN_SAFE_INTEGER), alias: "list-max-ziplist-size" },
  "list-compress-depth": integer(0),
  "set-max-intset-entries": integer(512),
  "set-max-listpack-entries": integer(128),
  "set-max-listpack-value": memory(64),
  "zset-max-listpack-entries": { ...integer(128), alias: "zset-max-ziplist-entries" },
  "zset-max-listpack-value": { ...memory(64), alias: "zset-max-ziplist-value" },
  "stream-node-max-bytes": memory(4096),
  "stream-node-max-entries": integer(100),
  "hll-sparse-max-bytes": memory(3000),
} as const satisfies Readonly<Record<string, Parameter>>;

export type ParameterName = keyof typeof PARAMETERS;
type ValueOf<P extends Parameter> = P extends { kind: "boolean" } ? boolean : P extends { kind: "integer" | "memory" } ? number : string;
export type ParameterValues = { -readonly [K in ParameterName]: ValueOf<(typeof PARAMETERS)[K]> };

export const defaultParameters = (): ParameterValues =>
  Object.fromEntries(Object.entries(PARAMETERS).map(([name, parameter]) => [name, parameter.default])) as ParameterValues;
