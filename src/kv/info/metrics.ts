import { metricsOf, type MetricSpec, type Registry } from "../../base/metrics.ts";
import { memoryUseOf } from "./memory.ts";
import type { Store } from "../store.ts";

export const KV_METRICS = {
  commands: {
    kind: "gauge",
    name: "anax_kv_commands_processed",
    help: "Commands that the store has run since its start or CONFIG RESETSTAT.",
  },
  errors: {
    kind: "gauge",
    name: "anax_kv_error_replies",
    help: "Errors that clients of the store got since its start or CONFIG RESETSTAT.",
  },
  clients: { kind: "gauge", name: "anax_kv_clients_connected", help: "Clients that are connected to the store." },
  blocked: { kind: "gauge", name: "anax_kv_clients_blocked", help: "Clients of the store that wait for something." },
  keys: { kind: "gauge", name: "anax_kv_keys", help: "Keys in all databases of the store." },
  memory: { kind: "gauge", name: "anax_kv_memory_used_bytes", help: "Memory that the store counts against maxmemory." },
  expired: { kind: "gauge", name: "anax_kv_keys_expired", help: "Keys whose time was over since the start or CONFIG RESETSTAT." },
  evicted: { kind: "gauge", name: "anax_kv_keys_evicted", help: "Keys that had to make room since the start or CONFIG RESETSTAT." },
  hits: { kind: "gauge", name: "anax_kv_keyspace_hits", help: "Reads of keys that were there since the start or CONFIG RESETSTAT." },
  misses: {
    kind: "gauge",
    name: "anax_kv_keyspace_misses",
    help: "Reads of keys that were not there since the start or CONFIG RESETSTAT.",
  },
} as const satisfies Readonly<Record<string, MetricSpec>>;

/** To be called before metrics are read: the store counts by itself, so that nothing is counted twice. */
export function kvMetrics(registry: Registry, store: Store): () => void {
  const metrics = metricsOf(registry, KV_METRICS);
  return () => {
    const { statistics, databases } = store;
    const sum = (of: (db: (typeof databases)[number]) => number): number => databases.reduce((total, db) => total + of(db), 0);
    metrics.commands.set(statistics.commandsProcessed);
    metrics.errors.set(statistics.errorReplies);
    metrics.clients.set(store.clients.size);
    metrics.blocked.set(store.blocked.count);
    metrics.keys.set(sum((db) => db.count));
    metrics.memory.set(memoryUseOf(store).usedBytes);
    metrics.expired.set(statistics.expiredKeys);
    metrics.evicted.set(statistics.evictedKeys);
    metrics.hits.set(sum((db) => db.hits));
    metrics.misses.set(sum((db) => db.misses));
  };
}
