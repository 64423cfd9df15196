import { AnaxError } from "../../base/errors.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import type { Persistence } from "../persist/persistence.ts";
import { RdbError } from "../persist/rdb/rdb-error.ts";
import type { Command } from "./command.ts";

const ADMIN = ["admin", "noscript", "no_async_loading"] as const;

function persistenceOf(client: Client): Persistence {
  const { persistence } = client.store;
  if (persistence === undefined) throw new CommandError("ERR This server keeps nothing on disk");
  return persistence;
}

const save: Command = {
  name: "save",
  arity: 1,
  flags: [...ADMIN, "no_multi"],
  group: "server",
  summary: "Writes all data to a file; meanwhile everything waits.",
  since: "1.0.0",
  run(client) {
    const { saves } = persistenceOf(client);
    try {
      saves.now();
    } catch (thrown) {
      if (!(thrown instanceof AnaxError)) throw thrown;
      throw new CommandError(`ERR The file cannot be written: ${String(thrown.details["reason"])}`);
    }
    client.reply.ok();
  },
};

const bgsave: Command = {
  name: "bgsave",
  arity: -1,
  flags: ADMIN,
  group: "server",
  summary: "Writes all data as they are now to a file, while commands go on.",
  since: "1.0.0",
  run(client, request) {
    const { saves, journal } = persistenceOf(client);
    const schedules = request.count === 2 && request.word(1) === "schedule";
    if (request.count > 1 && !schedules) throw syntaxError();
    if (saves.startedMs !== undefined) throw new CommandError("ERR Background save already in progress");
    if (saves.begin()) return client.reply.simple("Background saving started");
    if (journal.rewriting && !schedules)
      throw new CommandError(
        "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
      );
    saves.scheduled = true;
    client.reply.simple("Background saving scheduled");
  },
};

const bgrewriteaof: Command = {
  name: "bgrewriteaof",
  arity: 1,
  flags: ADMIN,
  group: "server",
  summary: "Writes the journal anew, as short as it can be.",
  since: "1.0.0",
  run(client) {
    const { journal } = persistenceOf(client);
    if (journal.rewriting) throw new CommandError("ERR Background append only file rewriting already in progress");
    client.reply.simple(
      journal.rewrite() ? "Background append only file rewriting started" : "Background append only file rewriting scheduled",
    );
  },
};

const lastsave: Command = {
  name: "lastsave",
  arity: 1,
  flags: ["loading", "stale", "fast"],
  group: "server",
  summary: "When data were last written to the file, in seconds since 1970.",
  since: "1.0.0",
  categories: ["admin", "dangerous"],
  run(client) {
    client.reply.integer(Math.floor(persistenceOf(client).saves.lastMs / 1000));
  },
};

/** `DEBUG RELOAD [NOSAVE|NOFLUSH|MERGE]`: writes the file, unless told not to, and reads it. */
export function reload(client: Client, request: Request): void {
  const { saves } = persistenceOf(client);
  let saving = true;
  let flushes = true;
  let merges = false;
  for (let i = 2; i < request.count; i++) {
    const word = request.word(i);
    if (word === "nosave") saving = false;
    else if (word === "noflush") flushes = false;
    else if (word === "merge") merges = true;
    else throw new CommandError("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.");
  }
  try {
    if (saving) saves.now();
    if (flushes) saves.load();
    else saves.add(merges);
  } catch (thrown) {
    if (!(thrown instanceof RdbError || thrown instanceof AnaxError)) throw thrown;
    throw new CommandError("ERR Error trying to load the RDB dump, check server logs.");
  }
  client.store.dirty = 0;
  client.reply.ok();
}

/** `DEBUG LOADAOF`: reads the journal in place of what is there. */
export function loadJournal(client: Client): void {
  const { journal } = persistenceOf(client);
  const { blocked } = client.store;
  blocked.add(client, { db: client.db, keys: [], serve: () => false, timedOut: () => {}, reason: "pause", timer: undefined });
  void journal
    .reload()
    .then(
      () => client.reply.ok(),
      () => client.fail("ERR Error trying to load the AOF files, check server logs."),
    )
    .finally(() => blocked.release(client));
}

export const PERSISTENCE_COMMANDS: readonly Command[] = [bgrewriteaof, bgsave, lastsave, save];
