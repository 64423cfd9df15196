import { CommandError } from "../command-error.ts";
import type { Client } from "../clients/client.ts";
import { integerAt } from "../numbers.ts";
import type { Command } from "./command.ts";
import { endTransaction } from "../clients/transaction.ts";

const ping: Command = {
  name: "ping",
  arity: -1,
  flags: ["fast"],
  group: "connection",
  summary: "Answers PONG, or what it was given.",
  since: "1.0.0",
  run(client, request) {
    if (request.count > 2) throw new CommandError("ERR wrong number of arguments for 'ping' command");
    if (client.subscriptions !== undefined && client.reply.protocol === 2)
      client.reply.bulks(["pong", request.count === 2 ? request.text(1) : ""]);
    else if (request.count === 2) client.reply.bulkBytes(request.slice(1));
    else client.reply.simple("PONG");
  },
};

const echo: Command = {
  name: "echo",
  arity: 2,
  flags: ["loading", "stale", "fast"],
  group: "connection",
  summary: "Answers what it was given.",
  since: "1.0.0",
  run: (client, request) => client.reply.bulkBytes(request.slice(1)),
};

const select: Command = {
  name: "select",
  arity: 2,
  flags: ["loading", "stale", "fast"],
  group: "connection",
  summary: "Changes to another database.",
  since: "1.0.0",
  run(client, request) {
    const index = integerAt(request, 1);
    if (index !== 0 && client.store.cluster !== undefined) throw new CommandError("ERR SELECT is not allowed in cluster mode");
    client.db = databaseAt(client, index);
    client.reply.ok();
  },
};

export function databaseAt(client: Client, index: number): Client["db"] {
  const db = client.store.databases[index];
  if (db === undefined) throw new CommandError("ERR DB index is out of range");
  return db;
}

const quit: Command = {
  name: "quit",
  arity: -1,
  flags: ["allow_busy", "noscript", "loading", "stale", "fast", "no_auth"],
  group: "connection",
  summary: "Closes the connection.",
  since: "1.0.0",
  run(client) {
    client.closing = true;
    client.reply.ok();
  },
};

const reset: Command = {
  name: "reset",
  arity: 1,
  flags: ["noscript", "loading", "stale", "fast", "no_auth", "allow_busy"],
  group: "connection",
  summary: "Makes the connection what it was when it began.",
  since: "6.2.0",
  run(client) {
    endTransaction(client);
    client.store.pubsub.drop(client);
    client.store.tracking.stop(client);
    client.store.monitors.delete(client);
    client.monitors = client.noEvict = client.noTouch = false;
    client.silence = "off";
    client.readsReplica = false;
    client.asking = "no";
    client.db = client.store.databases[0]!;
    client.name = "";
    client.reply.protocol = 2;
    client.user = client.store.acl.default;
    client.known = client.user.enabled && client.user.noPassword;
    client.reply.simple("RESET");
  },
};

export const CONNECTION_COMMANDS: readonly Command[] = [ping, echo, select, quit, reset];
