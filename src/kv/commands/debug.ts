import { ownOf } from "../../base/own.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { REPLY_PEAK_MS } from "../clients/client-upkeep.ts";
import { CommandError, noSuchKey, syntaxError } from "../command-error.ts";
import { digestOf, digestOfKey } from "../digest.ts";
import { matchesGlob } from "../glob.ts";
import { doubleAt, integerAt } from "../numbers.ts";
import { randomBytes } from "node:crypto";
import type { Command } from "./command.ts";
import { isAllowed } from "./config.ts";
import { databaseAt } from "./connection.ts";
import { loadJournal, reload } from "./persistence.ts";
import { encodingOf } from "./generic.ts";

/** What `DEBUG PROTOCOL DOUBLE` answers: no value for π, but the one that tests expect. */
const DOUBLE = Number("3.141");

/** What a subcommand does; those of other families are added to the table by `store.debug`. */
export type DebugAction = (client: Client, request: Request) => void;

const ACTIONS: Readonly<Record<string, DebugAction>> = {
  jmap: ok,
  "set-active-expire": (client, request) => {
    client.store.expiresActively = integerAt(request, 2) !== 0;
    client.reply.ok();
  },
  "pause-cron": (client, request) => {
    client.store.cronPaused = integerAt(request, 2) !== 0;
    client.reply.ok();
  },
  "set-disable-deny-scripts": (client, request) => {
    client.store.scriptsMayAll = integerAt(request, 2) !== 0;
    client.reply.ok();
  },
  "quicklist-packed-threshold": ok,
  "set-skip-checksum-validation": (client, request) => {
    client.store.skipsChecksums = integerAt(request, 2) !== 0;
    client.reply.ok();
  },
  "change-repl-id": (client) => {
    client.store.replicationId = randomBytes(20).toString("hex");
    client.reply.ok();
  },
  replybuffer: replyPeak,
  "stringmatch-len": matchLength,
  "config-rewrite-force-all": ok,
  log: ok,
  sleep,
  object,
  reload,
  loadaof: loadJournal,
  digest: (client) => client.reply.simple(digestOf(client.store)),
  "digest-value": (client, request) => {
    client.reply.array(request.count - 2);
    for (let i = 2; i < request.count; i++) client.reply.simple(digestOfKey(client.db, request.text(i)));
  },
  populate,
  protocol,
  htstats,
  "htstats-key": htstatsKey,
  error: (client, request) => client.reply.error(request.text(2)),
  "client-eviction": ok,
};

function ok(client: Client): void {
  client.reply.ok();
}

/** Compares a text of that length with a pattern, to see how long the worst takes. */
function matchLength(client: Client, request: Request): void {
  client.reply.integer(matchesGlob(request.text(3), "a".repeat(integerAt(request, 2, { min: 0, max: 1_000_000 }))) ? 1 : 0);
}

/** Stops everything for so many seconds, as a slow command would. */
function sleep(client: Client, request: Request): void {
  const ms = doubleAt(request, 2) * 1000;
  if (ms > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  client.reply.ok();
}

function object(client: Client, request: Request): void {
  const { db } = client;
  const mode = db.expiryMode;
  db.expiryMode = "keep"; // what has expired is shown as long as it is there
  const address = db.peek(request, 2);
  db.expiryMode = mode;
  if (address === 0) throw noSuchKey();
  const details = db.objectOf(address)?.debug ?? "";
  client.reply.simple(
    `Value at:0x${address.toString(16)} refcount:1 encoding:${encodingOf(db, address)} serializedlength:${db.bytesOf(address)} ` +
      `lru:${db.useBitsOf(address)} lru_seconds_idle:0${details === "" ? "" : ` ${details}`}`,
  );
}

/** Sets so many keys to strings, where there is none: `key:1` to `value:1`. */
function populate(client: Client, request: Request): void {
  const count = integerAt(request, 2, { min: 0, max: 100_000_000 });
  const prefix = request.count > 3 ? request.text(3) : "key";
  const bytes = request.count > 4 ? integerAt(request, 4, { min: 0, max: 512 * 1024 * 1024 }) : 0;
  for (let i = 0; i < count; i++) {
    const key = `${prefix}:${i}`;
    if (client.db.peekText(key) !== 0) continue;
    const value = Buffer.from(`value:${i}`);
    client.db.setStringText(key, bytes === 0 ? value : Buffer.concat([value, Buffer.alloc(Math.max(0, bytes - value.length))], bytes));
  }
  client.reply.ok();
}

function protocol(client: Client, request: Request): void {
  const { reply } = client;
  switch (request.word(2)) {
    case "string":
      return reply.bulk("Hello World");
    case "integer":
      return reply.integer(12_345);
    case "double":
      return reply.double(DOUBLE);
    case "null":
      return reply.null();
    case "array":
      reply.array(3);
      return [0, 1, 2].forEach((i) => reply.integer(i));
    case "set":
      reply.set(3);
      return [0, 1, 2].forEach((i) => reply.integer(i));
    case "map":
      reply.map(3);
      return [0, 1, 2].forEach((i) => {
        reply.integer(i);
        reply.boolean(i === 1);
      });
    case "attrib":
      if (reply.protocol === 3) {
        reply.attribute(1);
        reply.bulk("key-popularity");
        reply.array(2);
        reply.bulk("key:123");
        reply.integer(90);
      }
      return reply.bulk("Some real reply following the attribute");
    case "push":
      if (reply.protocol < 3) throw new CommandError("ERR RESP2 is not supported by this command");
      reply.push(2);
      reply.bulk("server-cpu-usage");
      reply.integer(42);
      return;
    case "verbatim":
      return reply.verbatim("This is a verbatim\nstring");
    case "true":
      return reply.boolean(true);
    case "false":
      return reply.boolean(false);
    case "bignum":
      return reply.bigNumber("1234567999999999999999999999999999999");
    default:
      throw new CommandError(
        "ERR Wrong protocol type name. Please use one of the following: string|integer|double|null|array|set|map|attrib|push|verbatim|true|false|bignum",
      );
  }
}

function htstats(client: Client, request: Request): void {
  const db = databaseAt(client, integerAt(request, 2));
  client.reply.verbatim(
    `[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: ${db.tableSize}\n number of elements: ${db.count}\n` +
      `[Expires HT]\nHash table 0 stats (main hash table):\n table size: ${db.expiryCount}\n number of elements: ${db.expiryCount}\n`,
  );
}

function htstatsKey(client: Client, request: Request): void {
  const address = client.db.peek(request, 2);
  if (address === 0) throw noSuchKey();
  const value = client.db.objectOf(address);
  if (value === undefined || !["hashtable", "skiplist"].includes(value.encoding))
    throw new CommandError("ERR The value stored at the specified key is not represented using an hash table");
  client.reply.verbatim(
    `Hash table 0 stats (main hash table):\n table size: ${2 ** Math.ceil(Math.log2(Math.max(4, value.size)))}\n number of elements: ${value.size}\n`,
  );
}

export const DEBUG: Command = {
  name: "debug",
  arity: -2,
  flags: ["admin", "noscript", "loading", "stale", "protected"],
  group: "server",
  summary: "For tests of the server.",
  since: "1.0.0",
  run(client, request) {
    if (!isAllowed(client, "enable-debug-command"))
      throw new CommandError(
        'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, ' +
          "otherwise you need to set this option in the configuration file, and then restart the server.",
      );
    const word = request.word(1);
    const action = client.store.debug.get(word) ?? ownOf(ACTIONS, word);
    if (action === undefined)
      throw new CommandError(`ERR unknown subcommand or wrong number of arguments for '${request.text(1)}'. Try DEBUG HELP.`);
    if (request.count < (ownOf(MIN_COUNTS, word) ?? 2)) throw syntaxError();
    action(client, request);
  },
};

const MIN_COUNTS: Readonly<Record<string, number>> = {
  sleep: 3,
  object: 3,
  populate: 3,
  protocol: 3,
  htstats: 3,
  "htstats-key": 3,
  error: 3,
  "stringmatch-len": 4,
  "set-active-expire": 3,
  "pause-cron": 3,
  "set-disable-deny-scripts": 3,
  "set-skip-checksum-validation": 3,
};

/** DEBUG REPLYBUFFER PEAK-RESET-TIME milliseconds | NEVER | RESET */
function replyPeak(client: Client, request: Request): void {
  if (request.count !== 4 || request.word(2) !== "peak-reset-time") throw syntaxError();
  const word = request.word(3);
  client.store.replyPeakMs = word === "never" ? Infinity : word === "reset" ? REPLY_PEAK_MS : integerAt(request, 3, { min: 0 });
  client.reply.ok();
}
