import { syntaxError } from "../command-error.ts";
import { memoryUseOf } from "../info/memory.ts";
import { integerAt } from "../numbers.ts";
import { keyAt, type Command } from "./command.ts";
import { helpOf } from "./help.ts";

const usage: Command = {
  name: "memory|usage",
  arity: -3,
  flags: ["readonly"],
  group: "server",
  summary: "Bytes that a key and its value take.",
  since: "4.0.0",
  keys: keyAt(2, "RO"),
  run(client, request) {
    for (let i = 3; i < request.count; i += 2) {
      if (request.word(i) !== "samples" || i + 1 >= request.count) throw syntaxError();
      integerAt(request, i + 1, { min: 0 }); // everything is counted anyway
    }
    const address = client.db.peek(request, 2);
    if (address === 0) client.reply.null();
    else client.reply.integer(client.db.bytesOf(address));
  },
};

const doctor: Command = {
  name: "memory|doctor",
  arity: 2,
  flags: [],
  group: "server",
  summary: "What is conspicuous about the memory in use, for people.",
  since: "4.0.0",
  run({ store, reply }) {
    const { usedBytes, residentBytes } = memoryUseOf(store);
    const { maxmemory } = store.parameters;
    const found = [
      maxmemory > 0 && usedBytes > maxmemory * 0.9 ? "Nearly all of maxmemory is in use." : "",
      residentBytes > 3 * usedBytes ? "The process holds more than three times the memory that is in use." : "",
    ].filter((line) => line !== "");
    reply.verbatim(found.length === 0 ? "Nothing conspicuous." : found.join("\n"));
  },
};

const stats: Command = {
  name: "memory|stats",
  arity: 2,
  flags: [],
  group: "server",
  summary: "What the memory is used for.",
  since: "4.0.0",
  run({ store, reply }) {
    const { usedBytes, residentBytes, datasetBytes, overheadBytes } = memoryUseOf(store);
    const keys = store.databases.reduce((sum, db) => sum + db.count, 0);
    const fields: readonly (readonly [string, number, "double"?])[] = [
      ["peak.allocated", store.peakMemoryBytes],
      ["total.allocated", usedBytes],
      ["startup.allocated", overheadBytes],
      ["replication.backlog", 0],
      ["clients.slaves", 0],
      ["clients.normal", [...store.clients.values()].reduce((sum, client) => sum + client.memoryBytes, 0)],
      ["cluster.links", 0],
      ["aof.buffer", 0],
      ["lua.caches", 0],
      ["functions.caches", 0],
      ["overhead.total", overheadBytes],
      ["keys.count", keys],
      ["keys.bytes-per-key", keys === 0 ? 0 : Math.round(datasetBytes / keys)],
      ["dataset.bytes", datasetBytes],
      ["dataset.percentage", (datasetBytes / usedBytes) * 100, "double"],
      ["peak.percentage", (usedBytes / store.peakMemoryBytes) * 100, "double"],
      ["allocator.allocated", usedBytes],
      ["allocator.active", usedBytes],
      ["allocator.resident", residentBytes],
      ["allocator-fragmentation.ratio", 1, "double"],
      ["allocator-fragmentation.bytes", 0],
      ["allocator-rss.ratio", residentBytes / usedBytes, "double"],
      ["allocator-rss.bytes", residentBytes - usedBytes],
      ["rss-overhead.ratio", 1, "double"],
      ["rss-overhead.bytes", 0],
      ["fragmentation", residentBytes / usedBytes, "double"],
      ["fragmentation.bytes", residentBytes - usedBytes],
    ];
    const databases = store.databases.filter((db) => db.count > 0);
    reply.map(fields.length + databases.length);
    for (const [name, value, kind] of fields) {
      reply.bulk(name);
      if (kind === "double") reply.double(value);
      else reply.integer(value);
    }
    for (const db of databases) {
      reply.bulk(`db.${db.index}`);
      reply.map(2);
      reply.bulk("overhead.hashtable.main");
      reply.integer(4 * db.tableSize);
      reply.bulk("overhead.hashtable.expires");
      reply.integer(12 * db.expiryCount);
    }
  },
};

const purge: Command = {
  name: "memory|purge",
  arity: 2,
  flags: [],
  group: "server",
  summary: "Gives back what is not used, as far as the program can ask for it.",
  since: "4.0.0",
  run({ reply }) {
    globalThis.gc?.();
    reply.ok();
  },
};

const mallocStats: Command = {
  name: "memory|malloc-stats",
  arity: 2,
  flags: [],
  group: "server",
  summary: "What the allocator tells of itself.",
  since: "4.0.0",
  run: ({ reply }) => reply.verbatim("The memory is V8's: see MEMORY STATS."),
};

export const MEMORY: Command = {
  name: "memory",
  arity: -2,
  flags: [],
  group: "server",
  summary: "Memory in use.",
  since: "4.0.0",
  subcommands: [
    doctor,
    helpOf("memory", "server", "4.0.0", [
      "DOCTOR",
      "    What is conspicuous.",
      "MALLOC-STATS",
      "    What the allocator tells.",
      "PURGE",
      "    Gives back what is not used.",
      "STATS",
      "    What memory is used for.",
      "USAGE <key> [SAMPLES <count>]",
      "    Bytes that a key and its value take.",
    ]),
    mallocStats,
    purge,
    stats,
    usage,
  ],
};
