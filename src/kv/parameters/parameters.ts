import { notifyFlagsText } from "./notify-flags.ts";
import { fileMode, outputLimits, percentiles, savePoints, scoreAdjustments, shutdownFlags, type Refused } from "./parameter-forms.ts";

/** A parameter as redis.conf, `CONFIG GET` and `CONFIG SET` know it. */
export type Parameter = {
  /** Set at the start only. */
  readonly fixed?: boolean;
  readonly alias?: string;
  /** Shown only to who asks for it by its whole name. */
  readonly hidden?: boolean;
  /** Changed while running only with `enable-protected-configs`. */
  readonly guarded?: boolean;
  /** Shown in no log. */
  readonly secret?: boolean;
} & (
  | { readonly kind: "integer"; readonly default: number; readonly min: number; readonly max: number }
  /** Bytes: `1gb`, `100mb`; with `percent` also `5%`, kept as -5. */
  | { readonly kind: "memory"; readonly default: number; readonly min: number; readonly max: number; readonly percent?: boolean }
  | { readonly kind: "boolean"; readonly default: boolean }
  /** `form` checks a text and gives it the form in which it is kept. */
  | { readonly kind: "text"; readonly default: string; readonly form?: (text: string, before: string) => string | Refused }
  | { readonly kind: "choice"; readonly default: string; readonly choices: readonly string[] }
);

type Kind<K> = Parameter & { readonly kind: K };

const INT_MAX = 2 ** 31 - 1;
const UINT_MAX = 2 ** 32 - 1;
const LONG_MAX = Number.MAX_SAFE_INTEGER;
const MIB = 1024 * 1024;

const integer = (value: number, min = 0, max = INT_MAX): Kind<"integer"> => ({ kind: "integer", default: value, min, max });
const memory = (value: number, min = 0, max = LONG_MAX): Kind<"memory"> => ({ kind: "memory", default: value, min, max });
const boolean = (value: boolean): Kind<"boolean"> => ({ kind: "boolean", default: value });
const text = (value = ""): Kind<"text"> => ({ kind: "text", default: value });
const formed = (value: string, form: (text: string, before: string) => string | Refused): Kind<"text"> => ({
  kind: "text",
  default: value,
  form,
});
const choice = (value: string, ...choices: readonly string[]): Kind<"choice"> => ({ kind: "choice", default: value, choices });
const fixed = <P extends Parameter>(parameter: P): P => ({ ...parameter, fixed: true });

/** `no`: never, `local`: on the loopback address, `yes`. */
const protection = (): Kind<"choice"> => fixed(choice("no", "no", "yes", "local"));
const plainName = (value: string): string | Refused => (/[/\\]/.test(value) ? { problem: "can't be a path, just a filename" } : value);
const POLICIES = [
  "volatile-lru",
  "volatile-lfu",
  "volatile-random",
  "volatile-ttl",
  "allkeys-lru",
  "allkeys-lfu",
  "allkeys-random",
  "noeviction",
];

/** What the server itself goes by. Names and defaults are those of Redis 7. */
const USED = {
  databases: fixed(integer(16, 1, 16_384)),
  bind: text("* -::*"),
  port: integer(6379, 0, 65_535),
  "tls-port": integer(0, 0, 65_535),
  unixsocket: fixed(text()),
  unixsocketperm: fixed(formed("0", fileMode)),
  timeout: integer(0),
  "tcp-keepalive": integer(300),
  "tcp-backlog": fixed(integer(511)),
  maxclients: integer(10_000, 1, UINT_MAX),
  "protected-mode": boolean(true),
  hz: integer(10),
  "proto-max-bulk-len": memory(512 * MIB, MIB),
  "client-query-buffer-limit": memory(1024 * MIB, MIB),
  "client-output-buffer-limit": formed("normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", outputLimits),
  requirepass: { ...text(), secret: true },
  aclfile: fixed(text()),
  "acl-pubsub-default": choice("resetchannels", "allchannels", "resetchannels"),
  "acllog-max-len": integer(128, 0, LONG_MAX),
  "enable-debug-command": protection(),
  "enable-protected-configs": protection(),
  "enable-module-command": protection(),
  maxmemory: memory(0),
  "maxmemory-policy": choice("noeviction", ...POLICIES),
  "maxmemory-samples": integer(5, 1),
  "maxmemory-eviction-tenacity": integer(10, 0, 100),
  "maxmemory-clients": { ...memory(0, -100), percent: true },
  "lfu-log-factor": integer(10),
  "lfu-decay-time": integer(1),
  "active-expire-effort": integer(1, 1, 10),
  "notify-keyspace-events": formed("", notifyFlagsText),
  "tracking-table-max-keys": integer(1_000_000, 0, LONG_MAX),
  "slowlog-log-slower-than": integer(10_000, -1, LONG_MAX),
  "slowlog-max-len": integer(128, 0, LONG_MAX),
  "latency-monitor-threshold": integer(0, 0, LONG_MAX),
  "latency-tracking": boolean(true),
  "latency-tracking-info-percentiles": formed("50 99 99.9", percentiles),
  "hash-max-listpack-entries": { ...integer(128, 0, LONG_MAX), alias: "hash-max-ziplist-entries" },
  "hash-max-listpack-value": { ...memory(64), alias: "hash-max-ziplist-value" },
  "list-max-listpack-size": { ...integer(-2, -INT_MAX - 1), alias: "list-max-ziplist-size" },
  "list-compress-depth": integer(0),
  "set-max-intset-entries": integer(512, 0, LONG_MAX),
  "set-max-listpack-entries": integer(128, 0, LONG_MAX),
  "set-max-listpack-value": memory(64),
  "zset-max-listpack-entries": { ...integer(128, 0, LONG_MAX), alias: "zset-max-ziplist-entries" },
  "zset-max-listpack-value": { ...memory(64), alias: "zset-max-ziplist-value" },
  "stream-node-max-bytes": memory(4096),
  "stream-node-max-entries": integer(100, 0, LONG_MAX),
  "hll-sparse-max-bytes": memory(3000),
  "busy-reply-threshold": { ...integer(5000, 0, LONG_MAX), alias: "lua-time-limit" },
  "shutdown-timeout": integer(10),
  "shutdown-on-sigterm": formed("default", shutdownFlags),
  "shutdown-on-sigint": formed("default", shutdownFlags),
  dir: { ...text(), guarded: true },
  dbfilename: { ...formed("dump.rdb", plainName), guarded: true },
  save: formed("3600 1 300 100 60 10000", savePoints),
  appendonly: boolean(false),
  appendfilename: fixed(formed("appendonly.aof", plainName)),
  appenddirname: fixed(formed("appendonlydir", plainName)),
  appendfsync: choice("everysec", "everysec", "always", "no"),
  "auto-aof-rewrite-percentage": integer(100),
  "auto-aof-rewrite-min-size": memory(64 * MIB),
  "aof-load-truncated": boolean(true),
  "aof-use-rdb-preamble": boolean(true),
  rdbcompression: boolean(true),
  rdbchecksum: fixed(boolean(true)),
  "rdb-key-save-delay": { ...integer(0, -INT_MAX - 1), hidden: true },
  "sanitize-dump-payload": choice("no", "no", "yes", "clients"),
  "stop-writes-on-bgsave-error": boolean(true),
  "repl-backlog-size": memory(MIB, 1),
  "repl-backlog-ttl": integer(3600, 0, LONG_MAX),
  "repl-timeout": integer(60, 1),
  "repl-ping-replica-period": { ...integer(10, 1), alias: "repl-ping-slave-period" },
  "repl-diskless-sync": boolean(true),
  "replica-serve-stale-data": { ...boolean(true), alias: "slave-serve-stale-data" },
  "replica-read-only": { ...boolean(true), alias: "slave-read-only" },
  "replica-priority": { ...integer(100), alias: "slave-priority" },
  "replica-announce-ip": { ...text(), alias: "slave-announce-ip" },
  "replica-announce-port": { ...integer(0, 0, 65_535), alias: "slave-announce-port" },
  "replica-announced": boolean(true),
  "bind-source-addr": text(),
  "replica-ignore-maxmemory": { ...boolean(true), alias: "slave-ignore-maxmemory" },
  "min-replicas-to-write": { ...integer(0), alias: "min-slaves-to-write" },
  "min-replicas-max-lag": { ...integer(10), alias: "min-slaves-max-lag" },
  masteruser: { ...text(), secret: true },
  masterauth: { ...text(), secret: true },
  replicaof: { ...fixed(text()), alias: "slaveof" },
  "cluster-enabled": fixed(boolean(false)),
  "cluster-register": { ...fixed(text()), secret: true, hidden: true },
  "cluster-node-timeout": integer(15_000, 0, LONG_MAX),
  "cluster-require-full-coverage": boolean(true),
  "cluster-slot-migration-write-pause-timeout": integer(200, 1, 60_000),
  "cluster-slot-migration-handoff-max-lag-bytes": memory(64 * 1024),
  "cluster-rebalance": boolean(false),
  "cluster-rebalance-by": choice("slots", "slots", "bytes"),
  "cluster-rebalance-threshold": integer(5, 1, 100),
  "cluster-rebalance-moves": integer(1, 1, 64),
  "cluster-rebalance-delay": integer(10, 0, 86_400),
  "cluster-allow-replica-migration": boolean(true),
  "cluster-replica-validity-factor": { ...integer(10), alias: "cluster-slave-validity-factor" },
  "cluster-replica-no-failover": { ...boolean(false), alias: "cluster-slave-no-failover" },
  "cluster-allow-reads-when-down": boolean(false),
  "cluster-allow-pubsubshard-when-down": boolean(true),
  "cluster-config-file": fixed(text("nodes.conf")),
  "cluster-port": fixed(integer(0, 0, 65_535)),
  "cluster-announce-ip": text(),
  "cluster-announce-port": integer(0, 0, 65_535),
  "cluster-announce-tls-port": integer(0, 0, 65_535),
  "cluster-announce-bus-port": integer(0, 0, 65_535),
  "cluster-announce-hostname": text(),
  "cluster-preferred-endpoint-type": choice("ip", "ip", "hostname", "unknown-endpoint"),
  "tls-auth-clients": choice("yes", "no", "yes", "optional"),
  "tls-cert-file": text(),
  "tls-key-file": text(),
  "tls-key-file-pass": { ...text(), secret: true },
  "tls-ca-cert-file": text(),
  "tls-client-cert-file": text(),
  "tls-client-key-file": text(),
  "tls-client-key-file-pass": { ...text(), secret: true },
  "tls-replication": boolean(false),
  "tls-protocols": text(),
  "tls-ciphers": text(),
  "tls-ciphersuites": text(),
} as const satisfies Readonly<Record<string, Parameter>>;

/**
 * What a redis.conf may say and changes nothing here: how Redis uses its threads, its allocator, its child processes or the system's log, which this server
 * has none of.
 */
const WITHOUT_EFFECT = {
  activerehashing: boolean(true),
  activedefrag: boolean(false),
  "active-defrag-cycle-min": integer(1, 1, 99),
  "active-defrag-cycle-max": integer(25, 1, 99),
  "active-defrag-threshold-lower": integer(10, 0, 1000),
  "active-defrag-threshold-upper": integer(100, 0, 1000),
  "active-defrag-ignore-bytes": memory(100 * MIB, 1),
  "active-defrag-max-scan-fields": integer(1000, 1, LONG_MAX),
  "always-show-logo": fixed(boolean(false)),
  "aof-disable-auto-gc": boolean(false),
  "aof-rewrite-incremental-fsync": boolean(true),
  "aof-timestamp-enabled": boolean(false),
  aof_rewrite_cpulist: fixed(text()),
  bgsave_cpulist: fixed(text()),
  bio_cpulist: fixed(text()),
  server_cpulist: fixed(text()),
  "cluster-link-sendbuf-limit": memory(0),
  "cluster-migration-barrier": integer(1),
  "crash-log-enabled": boolean(true),
  "crash-memcheck-enabled": boolean(true),
  daemonize: fixed(boolean(false)),
  "disable-thp": fixed(boolean(true)),
  "dynamic-hz": boolean(true),
  "ignore-warnings": text(),
  "io-threads": fixed(integer(1, 1, 128)),
  "io-threads-do-reads": fixed(boolean(false)),
  "jemalloc-bg-thread": boolean(true),
  "lazyfree-lazy-eviction": boolean(false),
  "lazyfree-lazy-expire": boolean(false),
  "lazyfree-lazy-server-del": boolean(false),
  "lazyfree-lazy-user-del": boolean(false),
  "lazyfree-lazy-user-flush": boolean(false),
  "loading-process-events-interval-bytes": { ...integer(2 * MIB, 1024), hidden: true },
  logfile: fixed(text()),
  loglevel: choice("notice", "debug", "verbose", "notice", "warning"),
  "no-appendfsync-on-rewrite": boolean(false),
  "repl-diskless-sync-delay": integer(5),
  "repl-diskless-load": choice("disabled", "disabled", "on-empty-db", "swapdb"),
  "key-load-delay": { ...integer(0, -INT_MAX - 1), hidden: true },
  "oom-score-adj": choice("no", "no", "yes", "relative", "absolute"),
  "oom-score-adj-values": formed("0 200 800", scoreAdjustments),
  pidfile: fixed(text()),
  "proc-title-template": text("{title} {listen-addr} {server-mode}"),
  "propagation-error-behavior": choice("ignore", "ignore", "panic", "panic-on-replicas"),
  "rdb-del-sync-files": boolean(false),
  "rdb-save-incremental-fsync": boolean(true),
  "repl-disable-tcp-nodelay": boolean(false),
  "repl-diskless-sync-max-replicas": integer(0),
  "replica-ignore-disk-write-errors": boolean(false),
  "replica-lazy-flush": { ...boolean(false), alias: "slave-lazy-flush" },
  "set-proc-title": fixed(boolean(true)),
  "socket-mark-id": fixed(integer(0, 0, UINT_MAX)),
  supervised: fixed(choice("no", "upstart", "systemd", "auto", "no")),
  "syslog-enabled": fixed(boolean(false)),
  "syslog-facility": fixed(choice("local0", "user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7")),
  "syslog-ident": fixed(text("redis")),
  "tls-ca-cert-dir": text(),
  "tls-cluster": boolean(false),
  "tls-dh-params-file": text(),
  "tls-prefer-server-ciphers": boolean(false),
  "tls-session-cache-size": integer(20 * 1024),
  "tls-session-cache-timeout": integer(300),
  "tls-session-caching": boolean(true),
  "use-exit-on-panic": { ...boolean(false), hidden: true },
  "watchdog-period": { ...integer(0), hidden: true },
} as const satisfies Readonly<Record<string, Parameter>>;

export const PARAMETERS = { ...USED, ...WITHOUT_EFFECT };

export type ParameterName = keyof typeof PARAMETERS;
type ValueOf<P extends Parameter> = P extends { kind: "boolean" } ? boolean : P extends { kind: "integer" | "memory" } ? number : string;
export type ParameterValues = { -readonly [K in ParameterName]: ValueOf<(typeof PARAMETERS)[K]> };

/** Names and aliases to the parameter's own name. */
export const PARAMETER_NAMES: ReadonlyMap<string, ParameterName> = new Map(
  (Object.entries(PARAMETERS) as [ParameterName, Parameter][]).flatMap(([name, { alias }]) =>
    [name, ...(alias === undefined ? [] : [alias])].map((known) => [known, name] as const),
  ),
);

export const defaultParameters = (): ParameterValues =>
  Object.fromEntries(Object.entries(PARAMETERS).map(([name, parameter]) => [name, parameter.default])) as ParameterValues;
