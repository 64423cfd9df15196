import type { Request } from "../../wire/resp/request.ts";
import { forbidden } from "../acl/check.ts";
import { CommandError, OUT_OF_MEMORY } from "../command-error.ts";
import type { Client } from "../clients/client.ts";
import { run } from "../dispatch.ts";
import { endTransaction } from "../clients/transaction.ts";
import { keysFrom, type Command } from "./command.ts";

const FLAGS = ["noscript", "loading", "stale", "fast", "allow_busy"] as const;

const multi: Command = {
  name: "multi",
  arity: 1,
  flags: FLAGS,
  group: "transactions",
  summary: "Begins a transaction: commands are queued until EXEC.",
  since: "1.2.0",
  run(client) {
    if (client.transaction !== undefined) throw new CommandError("ERR MULTI calls can not be nested");
    client.transaction = { queue: [], refused: false };
    client.reply.ok();
  },
};

const discard: Command = {
  name: "discard",
  arity: 1,
  flags: FLAGS,
  group: "transactions",
  summary: "Forgets the queued commands and what is watched.",
  since: "2.0.0",
  run(client) {
    if (client.transaction === undefined) throw new CommandError("ERR DISCARD without MULTI");
    endTransaction(client);
    client.reply.ok();
  },
};

const exec: Command = {
  name: "exec",
  arity: 1,
  flags: ["noscript", "loading", "stale", "skip_slowlog"],
  group: "transactions",
  summary: "Runs the queued commands, nothing in between, unless a watched key was changed.",
  since: "1.2.0",
  run(client) {
    const { transaction, store } = client;
    if (transaction === undefined) throw new CommandError("ERR EXEC without MULTI");
    const spoiled = client.spoiled || store.watches.hasExpired(client);
    endTransaction(client);
    if (transaction.refused) throw new CommandError("EXECABORT Transaction discarded because of previous errors.");
    if (store.outOfMemory && transaction.queue.some(({ command }) => command.flags.includes("denyoom")))
      throw new CommandError(`EXECABORT Transaction discarded because of: ${OUT_OF_MEMORY}`);
    if (spoiled) return client.reply.nullArray();
    client.reply.array(transaction.queue.length);
    client.mayBlock = false;
    client.inExec = true;
    for (const { command, request } of transaction.queue) runQueued(client, command, request);
    client.inExec = false;
    client.mayBlock = true;
    client.propagateAs(); // each has told its effects itself
  },
};

/** What is allowed may have changed since the command was queued. */
function runQueued(client: Client, command: Command, request: Request): void {
  const refusal = client.user.unrestricted ? undefined : forbidden(client, command, request);
  if (refusal === undefined) run(client, command, request);
  else
    client.fail(
      "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no longer allowed for the " +
        `following reason: ${refusal.replace(/^NOPERM this user has /, "")}`,
    );
}

const watch: Command = {
  name: "watch",
  arity: -2,
  flags: FLAGS,
  group: "transactions",
  summary: "Lets the next EXEC run only if these keys stay as they are.",
  since: "2.2.0",
  keys: keysFrom(1, 1, "RO"),
  run(client, request) {
    if (client.transaction !== undefined) throw new CommandError("ERR WATCH inside MULTI is not allowed");
    for (let i = 1; i < request.count; i++) client.store.watches.add(client, client.db, request.text(i));
    client.reply.ok();
  },
};

const unwatch: Command = {
  name: "unwatch",
  arity: 1,
  flags: FLAGS,
  group: "transactions",
  summary: "Forgets what is watched.",
  since: "2.2.0",
  run(client) {
    client.store.watches.drop(client);
    client.spoiled = false;
    client.reply.ok();
  },
};

export const TRANSACTION_COMMANDS: readonly Command[] = [multi, discard, exec, watch, unwatch];
