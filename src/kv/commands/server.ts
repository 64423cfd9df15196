import type { Client } from "../client.ts";
import { syntaxError } from "../command-error.ts";
import type { Database } from "../keyspace/database.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Command } from "./command.ts";
import { CONFIG } from "./config.ts";

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
    client.reply.ok();
  },
});

/** Both take the same time here: what is let go of is the garbage collector's. */
function checkMode(request: Request): void {
  if (request.count > 2 || (request.count === 2 && !["async", "sync"].includes(request.word(1)))) throw syntaxError();
}

export const SERVER_COMMANDS: readonly Command[] = [
  CONFIG,
  dbsize,
  flush("flushdb", (client) => [client.db]),
  flush("flushall", (client) => client.store.databases),
];
