import type { Request } from "../../wire/resp/request.ts";
import { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { integerAt } from "../numbers.ts";
import { dumpOf } from "../persist/rdb/dump.ts";
import { connectTo, MigrationError, type LineConnection } from "../replica/migration.ts";
import { keyAt, type Command } from "./command.ts";

interface Migration {
  readonly host: string;
  readonly port: number;
  readonly keys: readonly string[];
  readonly database: number;
  readonly timeoutMs: number;
  readonly copies: boolean;
  readonly replaces: boolean;
  /** The words of AUTH. */
  readonly credentials: readonly string[] | undefined;
}

const TIMEOUT_MS = 1000;

function migrationOf(client: Client, request: Request): Migration {
  let copies = false;
  let replaces = false;
  let credentials: readonly string[] | undefined;
  let keys = [request.text(3)];
  for (let i = 6; i < request.count; i++) {
    const word = request.word(i);
    const more = request.count - i - 1;
    if (word === "copy") copies = true;
    else if (word === "replace") replaces = true;
    else if (word === "auth" && more >= 1) {
      credentials = [request.text(i + 1)];
      client.redact(++i);
    } else if (word === "auth2" && more >= 2) {
      credentials = [request.text(i + 1), request.text(i + 2)];
      client.redact(++i);
      client.redact(++i);
    } else if (word === "keys") {
      if (keys[0] !== "") throw new CommandError("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string");
      keys = request.texts(i + 1);
      break;
    } else throw syntaxError();
  }
  const timeoutMs = integerAt(request, 5);
  return {
    host: request.text(1),
    port: integerAt(request, 2, { min: 0, max: 65_535 }),
    keys: [...new Set(keys)],
    database: integerAt(request, 4, { min: 0 }),
    timeoutMs: timeoutMs <= 0 ? TIMEOUT_MS : timeoutMs,
    copies,
    replaces,
    credentials,
  };
}

const migrate: Command = {
  name: "migrate",
  arity: -6,
  flags: ["write", "movablekeys"],
  group: "generic",
  summary: "Moves keys to another server.",
  since: "2.6.0",
  categories: ["keyspace", "dangerous"],
  keys: keyAt(3, "RW", "access", "delete", "incomplete"),
  keysOf(request) {
    if (request.lengths[3]! > 0) return [3];
    for (let i = 6; i < request.count; i++) {
      const word = request.word(i);
      if (word === "keys") return Array.from({ length: request.count - i - 1 }, (_, n) => i + 1 + n);
      i += word === "auth" ? 1 : word === "auth2" ? 2 : 0;
    }
    return [];
  },
  run(client, request) {
    const migration = migrationOf(client, request);
    if (!client.mayBlock) throw new CommandError("ERR MIGRATE is not possible within a transaction or a script");
    if (!migration.keys.some((key) => client.db.peekText(key) !== 0)) return client.reply.simple("NOKEY");
    const { blocked } = client.store;
    blocked.add(client, { db: client.db, keys: [], serve: () => false, timedOut: () => {}, reason: "pause", timer: undefined });
    void perform(client, migration)
      .then(
        (refusal) => (refusal === undefined ? client.reply.ok() : client.fail(refusal)),
        (thrown: unknown) => {
          if (!(thrown instanceof MigrationError)) throw thrown;
          client.fail(thrown.message);
        },
      )
      .finally(() => blocked.release(client));
  },
};

/**
 * Sends the keys and deletes those that have arrived. Others go on changing keys meanwhile: what has changed since it was sent is sent again, so that what is deleted
 * here is what lies there. What the other server has refused; undefined: nothing.
 */
async function perform(client: Client, migration: Migration): Promise<string | undefined> {
  const { store, db } = client;
  const { host, port, credentials, database, timeoutMs } = migration;
  using target = await connectTo({ host, port }, timeoutMs, store.clock);
  if (credentials !== undefined) {
    const [answer = ""] = await target.call([["AUTH", ...credentials]]);
    if (answer.startsWith("-")) return refused(answer);
  }
  let refusal: string | undefined;
  const [selected = ""] = await target.call([["SELECT", String(database)]]);
  if (selected.startsWith("-")) return refused(selected);
  let left = migration.keys;
  for (let again = false; left.length > 0 && refusal === undefined; again = true) {
    const watcher = new Client(store, 0, client.output);
    const sent = left.filter((key) => db.peekText(key) !== 0);
    if (sent.length === 0) break;
    for (const key of sent) store.watches.add(watcher, db, key);
    const answers = await send(client, target, sent, migration.replaces || again).finally(() => store.watches.drop(watcher));
    const arrived = sent.filter((_, index) => answers[index]!.startsWith("+"));
    refusal = answers.filter((answer) => answer.startsWith("-")).map(refused)[0];
    // Which of them has changed nobody has noted: all of them go once more.
    if (watcher.spoiled && refusal === undefined && !migration.copies) left = sent;
    else {
      if (!migration.copies && !watcher.spoiled) remove(client, arrived);
      break;
    }
  }
  return refusal;
}

function send(client: Client, target: LineConnection, keys: readonly string[], replaces: boolean): Promise<string[]> {
  const { db, store } = client;
  store.tick();
  return target.call(
    keys.map((key) => {
      const address = db.peekText(key);
      const expiryMs = db.expiryOf(address);
      const ttl = expiryMs === undefined ? 0 : Math.max(1, expiryMs - store.nowMs);
      const name = store.parameters["cluster-enabled"] ? "RESTORE-ASKING" : "RESTORE";
      return [name, key, String(ttl), dumpOf(db, address, store.parameters.rdbcompression), ...(replaces ? ["REPLACE"] : [])];
    }),
  );
}

function remove(client: Client, keys: readonly string[]): void {
  const { db, store } = client;
  if (keys.length === 0) return;
  for (const key of keys) {
    const address = db.peekText(key);
    if (address === 0) continue;
    db.remove(address);
    client.wroteText(key, "g", "del", db);
  }
  store.propagateParts(db, ["DEL", ...keys]);
  store.propagation.flush(false);
  store.blocked.serve();
}

const refused = (answer: string): string => `ERR Target instance replied with error: ${answer.slice(1)}`;

export const MIGRATE_COMMANDS: readonly Command[] = [migrate];
