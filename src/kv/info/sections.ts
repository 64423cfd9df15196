import { availableParallelism, release, type as systemName, totalmem } from "node:os";
import { humanBytes, memoryUseOf } from "./memory.ts";
import type { Store } from "../store.ts";
import { REDIS_VERSION } from "../version.ts";

export type InfoField = readonly [name: string, value: string | number];
export type InfoSection = (store: Store) => readonly InfoField[];

const server: InfoSection = (store) => {
  const seconds = Math.floor((store.nowMs - store.startedMs) / 1000);
  const leftMs = store.shutdown?.leftMs;
  return [
    ["redis_version", REDIS_VERSION],
    ["redis_git_sha1", "00000000"],
    ["redis_git_dirty", 0],
    ["redis_build_id", "0"],
    ["redis_mode", store.parameters["cluster-enabled"] ? "cluster" : "standalone"],
    ["server_name", "anax"],
    ["os", `${systemName()} ${release()} ${process.arch}`],
    ["arch_bits", 64],
    ["monotonic_clock", "node"],
    ["multiplexing_api", "libuv"],
    ["node_version", process.versions.node],
    ["process_id", process.pid],
    ["process_supervised", "no"],
    ["run_id", store.runId],
    ["tcp_port", store.parameters.port],
    ["server_time_usec", Math.round(store.clock.wallMs() * 1000)],
    ["uptime_in_seconds", seconds],
    ["uptime_in_days", Math.floor(seconds / 86_400)],
    ["hz", store.parameters.hz],
    ["configured_hz", store.parameters.hz],
    ["lru_clock", Math.floor(store.nowMs / 1000) & 0xff_ffff],
    ["executable", process.execPath],
    ["config_file", store.configFile],
    ["io_threads_active", 0],
    ...(leftMs === undefined ? [] : ([["shutdown_in_milliseconds", leftMs]] satisfies InfoField[])),
  ];
};

const clients: InfoSection = (store) => {
  const all = [...store.clients.values()];
  return [
    ["connected_clients", all.filter(({ replica }) => replica === undefined).length],
    ["cluster_connections", 0],
    ["maxclients", store.parameters.maxclients],
    ["client_recent_max_input_buffer", all.reduce((max, { output }) => Math.max(max, output.peer?.queryAllocatedBytes ?? 0), 0)],
    ["client_recent_max_output_buffer", all.reduce((max, { output }) => Math.max(max, output.peer?.unsentBytes ?? 0), 0)],
    ["blocked_clients", store.blocked.count],
    ["tracking_clients", store.tracking.count],
    ["clients_in_timeout_table", all.filter(({ blocked }) => blocked?.timer !== undefined).length],
  ];
};

/** In bytes, and as people read it. */
const both = (name: string, bytes: number): readonly InfoField[] => [
  [name, bytes],
  [`${name}_human`, humanBytes(bytes)],
];

const memory: InfoSection = (store) => {
  const { usedBytes, residentBytes, heapBytes, datasetBytes, overheadBytes } = memoryUseOf(store);
  const { maxmemory } = store.parameters;
  const { cachedScripts: scripts, libraries } = store.scripting;
  return [
    ...both("used_memory", usedBytes),
    ...both("used_memory_rss", residentBytes),
    ...both("used_memory_peak", store.peakMemoryBytes),
    ["used_memory_peak_perc", `${((usedBytes / store.peakMemoryBytes) * 100).toFixed(2)}%`],
    ["used_memory_overhead", overheadBytes],
    ["used_memory_startup", overheadBytes],
    ["used_memory_dataset", datasetBytes],
    ["used_memory_dataset_perc", `${((datasetBytes / usedBytes) * 100).toFixed(2)}%`],
    ["allocator_allocated", usedBytes],
    ["allocator_active", usedBytes],
    ["allocator_resident", residentBytes],
    ...both("total_system_memory", totalmem()),
    ...both("used_memory_lua", 0),
    ["used_memory_vm_eval", 0],
    ["used_memory_scripts_eval", scripts.bytes],
    ["number_of_cached_scripts", scripts.count],
    ["number_of_functions", libraries.functionCount],
    ["number_of_libraries", libraries.count],
    ["used_memory_vm_functions", 0],
    ...both("used_memory_vm_total", 0),
    ["used_memory_functions", 0],
    ...both("used_memory_scripts", 0),
    ...both("maxmemory", maxmemory),
    ["maxmemory_policy", store.parameters["maxmemory-policy"]],
    ["allocator_frag_ratio", "1.00"],
    ["allocator_frag_bytes", 0],
    ["allocator_rss_ratio", (residentBytes / usedBytes).toFixed(2)],
    ["allocator_rss_bytes", residentBytes - usedBytes],
    ["rss_overhead_ratio", "1.00"],
    ["rss_overhead_bytes", 0],
    ["mem_fragmentation_ratio", (residentBytes / usedBytes).toFixed(2)],
    ["mem_fragmentation_bytes", residentBytes - usedBytes],
    ["mem_not_counted_for_evict", 0],
    ["mem_replication_backlog", store.replication?.primary.backlog?.size ?? 0],
    ["mem_total_replication_buffers", (store.replication?.primary.backlog?.size ?? 0) + (store.replication?.primary.unsentBytes ?? 0)],
    ["mem_clients_slaves", store.replication?.primary.unsentBytes ?? 0],
    ["mem_clients_normal", [...store.clients.values()].reduce((sum, client) => sum + client.memoryBytes, 0)],
    ["mem_cluster_links", 0],
    ["mem_aof_buffer", 0],
    ["mem_allocator", "v8"],
    ["mem_heap", heapBytes],
    ["active_defrag_running", 0],
    ["lazyfree_pending_objects", 0],
    ["lazyfreed_objects", store.statistics.lazyFreed],
  ];
};

/** As long as nothing is kept on disk; whoever keeps it puts its own section in place. */
const persistence: InfoSection = (store) => [
  ["loading", 0],
  ["async_loading", 0],
  ["current_cow_peak", 0],
  ["current_cow_size", 0],
  ["current_cow_size_age", 0],
  ["current_fork_perc", "0.00"],
  ["current_save_keys_processed", 0],
  ["current_save_keys_total", 0],
  ["rdb_changes_since_last_save", store.dirty],
  ["rdb_bgsave_in_progress", 0],
  ["rdb_last_save_time", Math.floor(store.startedMs / 1000)],
  ["rdb_last_bgsave_status", "ok"],
  ["rdb_last_bgsave_time_sec", -1],
  ["rdb_current_bgsave_time_sec", -1],
  ["rdb_saves", 0],
  ["rdb_last_cow_size", 0],
  ["rdb_last_load_keys_expired", 0],
  ["rdb_last_load_keys_loaded", 0],
  ["aof_enabled", 0],
  ["aof_rewrite_in_progress", 0],
  ["aof_rewrite_scheduled", 0],
  ["aof_last_rewrite_time_sec", -1],
  ["aof_current_rewrite_time_sec", -1],
  ["aof_last_bgrewrite_status", "ok"],
  ["aof_rewrites", 0],
  ["aof_rewrites_consecutive_failures", 0],
  ["aof_last_write_status", "ok"],
  ["aof_last_cow_size", 0],
  ["module_fork_in_progress", 0],
  ["module_fork_last_cow_size", 0],
];

const stats: InfoSection = (store) => {
  const { statistics, rates } = store;
  const sum = (field: "hits" | "misses"): number => store.databases.reduce((total, db) => total + db[field], 0);
  return [
    ["total_connections_received", statistics.connectionsReceived],
    ["total_commands_processed", statistics.commandsProcessed],
    ["instantaneous_ops_per_sec", Math.round(rates.commands)],
    ["total_net_input_bytes", statistics.inputBytes],
    ["total_net_output_bytes", statistics.outputBytes],
    ["total_net_repl_input_bytes", 0],
    ["total_net_repl_output_bytes", 0],
    ["instantaneous_input_kbps", (rates.inputBytes / 1024).toFixed(2)],
    ["instantaneous_output_kbps", (rates.outputBytes / 1024).toFixed(2)],
    ["rejected_connections", statistics.connectionsRejected],
    ["sync_full", store.replication?.primary.counts.full ?? 0],
    ["sync_partial_ok", store.replication?.primary.counts.partial ?? 0],
    ["sync_partial_err", store.replication?.primary.counts.partialRefused ?? 0],
    ["expired_keys", statistics.expiredKeys],
    ["expired_stale_perc", "0.00"],
    ["expired_time_cap_reached_count", 0],
    ["expire_cycle_cpu_milliseconds", 0],
    ["evicted_keys", statistics.evictedKeys],
    ["evicted_clients", statistics.evictedClients],
    ["total_eviction_exceeded_time", 0],
    ["current_eviction_exceeded_time", 0],
    ["keyspace_hits", sum("hits")],
    ["keyspace_misses", sum("misses")],
    ["pubsub_channels", store.pubsub.channels.size],
    ["pubsub_patterns", store.pubsub.patterns.size],
    ["pubsubshard_channels", store.pubsub.shards.size],
    ["latest_fork_usec", 0],
    ["total_forks", 0],
    ["migrate_cached_sockets", 0],
    ["slave_expires_tracked_keys", 0],
    ["active_defrag_hits", 0],
    ["active_defrag_misses", 0],
    ["active_defrag_key_hits", 0],
    ["active_defrag_key_misses", 0],
    ["total_active_defrag_time", 0],
    ["current_active_defrag_time", 0],
    ["tracking_total_keys", store.tracking.keyCount],
    ["tracking_total_items", store.tracking.itemCount],
    ["tracking_total_prefixes", store.tracking.prefixCount],
    ["unexpected_error_replies", 0],
    ["total_error_replies", statistics.errorReplies],
    ["dump_payload_sanitizations", 0],
    ["total_reads_processed", statistics.readsProcessed],
    ["total_writes_processed", statistics.writesProcessed],
    ["io_threaded_reads_processed", 0],
    ["io_threaded_writes_processed", 0],
    ["reply_buffer_shrinks", 0],
    ["reply_buffer_expands", 0],
    ["acl_access_denied_auth", statistics.aclDenied.auth],
    ["acl_access_denied_cmd", statistics.aclDenied.command],
    ["acl_access_denied_key", statistics.aclDenied.key],
    ["acl_access_denied_channel", statistics.aclDenied.channel],
  ];
};

const replication: InfoSection = (store) => [
  ["role", "master"],
  ["connected_slaves", 0],
  ["master_failover_state", "no-failover"],
  ["master_replid", store.replicationId],
  ["master_replid2", "0".repeat(40)],
  ["master_repl_offset", 0],
  ["second_repl_offset", -1],
  ["repl_backlog_active", 0],
  ["repl_backlog_size", store.parameters["repl-backlog-size"]],
  ["repl_backlog_first_byte_offset", 0],
  ["repl_backlog_histlen", 0],
];

const cpu: InfoSection = () => {
  const { systemCPUTime, userCPUTime } = process.resourceUsage();
  return [
    ["used_cpu_sys", (systemCPUTime / 1e6).toFixed(6)],
    ["used_cpu_user", (userCPUTime / 1e6).toFixed(6)],
    ["used_cpu_sys_children", "0.000000"],
    ["used_cpu_user_children", "0.000000"],
    ["used_cpu_sys_main_thread", (systemCPUTime / 1e6).toFixed(6)],
    ["used_cpu_user_main_thread", (userCPUTime / 1e6).toFixed(6)],
    ["cpu_count", availableParallelism()],
  ];
};

const commandstats: InfoSection = ({ statistics }) =>
  [...statistics.commands].map(([{ name }, { calls, durationUs, rejected, failed }]) => [
    `cmdstat_${name}`,
    `calls=${calls},usec=${Math.round(durationUs)},usec_per_call=${(calls === 0 ? 0 : durationUs / calls).toFixed(2)},` +
      `rejected_calls=${rejected},failed_calls=${failed}`,
  ]);

const errorstats: InfoSection = ({ statistics }) => [...statistics.errors].map(([kind, count]) => [`errorstat_${kind}`, `count=${count}`]);

const latencystats: InfoSection = ({ statistics, parameters }) => {
  const wanted = parameters["latency-tracking-info-percentiles"].split(" ").filter((word) => word !== "");
  if (!parameters["latency-tracking"]) return [];
  return [...statistics.commands].flatMap(([{ name }, { durations }]) =>
    durations === undefined
      ? []
      : [[`latency_percentiles_usec_${name}`, wanted.map((p) => `p${p}=${durations.percentile(Number(p)).toFixed(3)}`).join(",")] as const],
  );
};

const cluster: InfoSection = (store) => [["cluster_enabled", store.parameters["cluster-enabled"] ? 1 : 0]];

const keyspace: InfoSection = (store) =>
  store.databases
    .filter((db) => db.count > 0)
    .map((db) => [`db${db.index}`, `keys=${db.count},expires=${db.expiryCount},avg_ttl=${averageExpiryMs(db)}`]);

/** Of a sample: Redis estimates it as well. */
function averageExpiryMs(db: Store["databases"][number]): number {
  const count = Math.min(db.expiryCount, 32);
  let sum = 0;
  for (let index = 0; index < count; index++) sum += Math.max(0, (db.expiryOf(db.expiringAt(index)) ?? 0) - db.nowMs);
  return count === 0 ? 0 : Math.round(sum / count);
}

/** In the order of the answer. Those that INFO does not show by itself come with `all`. */
export const INFO_SECTIONS: Readonly<Record<string, { readonly title: string; readonly quiet?: boolean; readonly fields: InfoSection }>> = {
  server: { title: "Server", fields: server },
  clients: { title: "Clients", fields: clients },
  memory: { title: "Memory", fields: memory },
  persistence: { title: "Persistence", fields: persistence },
  stats: { title: "Stats", fields: stats },
  replication: { title: "Replication", fields: replication },
  cpu: { title: "CPU", fields: cpu },
  modules: { title: "Modules", fields: () => [] },
  commandstats: { title: "Commandstats", quiet: true, fields: commandstats },
  errorstats: { title: "Errorstats", fields: errorstats },
  latencystats: { title: "Latencystats", quiet: true, fields: latencystats },
  cluster: { title: "Cluster", fields: cluster },
  keyspace: { title: "Keyspace", fields: keyspace },
};
