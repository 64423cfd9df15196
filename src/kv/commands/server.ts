import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { infoText } from "../info/info.ts";
import { shutdownHowOf } from "../shutdown.ts";
import type { Database } from "../keyspace/database.ts";
import { integerAt } from "../numbers.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Command } from "./command.ts";
import { CONFIG } from "./config.ts";
import { DEBUG } from "./debug.ts";
import { LATENCY } from "./latency.ts";
import { MEMORY } from "./memory.ts";
import { SLOWLOG } from "./slowlog.ts";

const dbsize: Command = {
  name: "dbsize",
  arity: 1,
  flags: ["readonly", "fast"],
  group: "server",
  summary: "How many keys the database has.",
  since: "1.0.0",
  run: (client) => client.reply.integer(client.db.count),
};

const flush = (name: "flushdb" | "flushall", databasesOf: (client: Client) => readonly Database[]): Command => ({
  name,
  arity: -1,
  flags: ["write"],
  group: "server",
  summary: `Deletes all keys of ${name === "flushdb" ? "the database" : "all databases"}.`,
  since: "1.0.0",
  categories: ["keyspace", "dangerous"],
  run(client, request) {
    checkMode(request);
    for (const db of databasesOf(client)) client.store.flush(db);
    if (name === "flushall") client.store.persistence?.saves.emptied();
    client.reply.ok();
  },
});

/** Both take the same time here: what is let go of is the garbage collector's. */
function checkMode(request: Request): void {
  if (request.count > 2 || (request.count === 2 && !["async", "sync"].includes(request.word(1)))) throw syntaxError();
}

const info: Command = {
  name: "info",
  arity: -1,
  flags: ["loading", "stale"],
  group: "server",
  summary: "What the server is and what it has done.",
  since: "1.0.0",
  categories: ["dangerous"],
  run: (client, request) => client.reply.verbatim(infoText(client.store, request.texts(1))),
};

const time: Command = {
  name: "time",
  arity: 1,
  flags: ["loading", "stale", "fast"],
  group: "server",
  summary: "The server's time: seconds, and microseconds of the second.",
  since: "2.6.0",
  run({ store, reply }) {
    const us = Math.round(store.clock.wallMs() * 1000);
    reply.bulks([String(Math.floor(us / 1e6)), String(us % 1e6)]);
  },
};

const swapdb: Command = {
  name: "swapdb",
  arity: 3,
  flags: ["write", "fast"],
  group: "server",
  summary: "Two databases change places.",
  since: "4.0.0",
  categories: ["keyspace", "dangerous"],
  run(client, request) {
    const { databases, cluster } = client.store;
    if (cluster !== undefined) throw new CommandError("ERR SWAPDB is not allowed in cluster mode");
    const a = integerAt(request, 1, { error: "ERR invalid first DB index" });
    const b = integerAt(request, 2, { error: "ERR invalid second DB index" });
    if (databases[a] === undefined || databases[b] === undefined) throw new CommandError("ERR DB index is out of range");
    client.store.swap(databases[a], databases[b]);
    client.reply.ok();
  },
};

const monitor: Command = {
  name: "monitor",
  arity: 1,
  flags: ["admin", "noscript", "loading", "stale"],
  group: "server",
  summary: "Shows every command that the server runs.",
  since: "1.0.0",
  run(client) {
    if (!client.monitors) {
      client.monitors = true;
      client.store.monitors.add(client);
    }
    client.reply.ok();
  },
};

const role: Command = {
  name: "role",
  arity: 1,
  flags: ["noscript", "loading", "stale", "fast"],
  group: "server",
  summary: "Primary or replica, and of whom.",
  since: "2.8.12",
  categories: ["admin", "dangerous"],
  run({ reply, store }) {
    const link = store.replication?.link;
    if (link !== undefined) {
      reply.array(5);
      reply.bulk("slave");
      reply.bulk(link.address.host);
      reply.integer(link.address.port);
      reply.bulk(link.state === "handshake" ? "handshake" : link.state);
      return reply.integer(link.state === "connected" ? store.replicationOffset : -1);
    }
    reply.array(3);
    reply.bulk("master");
    reply.integer(store.replicationOffset);
    const replicas = store.replication?.primary.online ?? [];
    reply.array(replicas.length);
    for (const { announced, ackOffset } of replicas) reply.bulks([announced.host, String(announced.port), String(ackOffset ?? 0)]);
  },
};

const shutdown: Command = {
  name: "shutdown",
  arity: -1,
  flags: ["admin", "noscript", "loading", "stale", "no_multi", "allow_busy"],
  group: "server",
  summary: "Ends the server.",
  since: "1.0.0",
  run(client, request) {
    const words = request.texts(1).map((word) => word.toLowerCase());
    const abort = words.includes("abort");
    const known = ["now", "force", "abort", "save", "nosave"];
    const isContrary = words.includes("save") && words.includes("nosave");
    if (words.some((word) => !known.includes(word)) || isContrary || (abort && words.length > 1)) throw syntaxError();
    const { scripting, shutdown: ending } = client.store;
    if (abort) {
      if (ending?.abort() !== true) throw new CommandError("ERR No shutdown in progress.");
      return client.reply.ok();
    }
    const how = shutdownHowOf(words);
    if (scripting.busy !== undefined && how.save !== false) throw new CommandError(scripting.busy);
    if (ending === undefined) throw new CommandError("ERR Errors trying to SHUTDOWN. Check logs.");
    scripting.abort();
    ending.begin(how, client);
  },
};

export const SERVER_COMMANDS: readonly Command[] = [
  CONFIG,
  DEBUG,
  LATENCY,
  MEMORY,
  SLOWLOG,
  dbsize,
  flush("flushdb", (client) => [client.db]),
  flush("flushall", (client) => client.store.databases),
  info,
  monitor,
  role,
  shutdown,
  swapdb,
  time,
];
