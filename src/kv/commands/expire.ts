import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { int64At } from "../numbers.ts";
import { keyAt, type Command } from "./command.ts";
import { absoluteMs, type ExpiryUnit } from "./expiry.ts";

const CONDITIONS = new Set(["nx", "xx", "gt", "lt"]);

const expires = (name: string, unit: ExpiryUnit, since: string): Command => ({
  name,
  arity: -3,
  flags: ["write", "fast"],
  group: "generic",
  summary: `Lets a key expire ${unit.startsWith("at") ? "at a time" : "after a time"}, in ${unit.endsWith("ms") ? "milliseconds" : "seconds"}.`,
  since,
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const conditions = conditionsOf(request);
    const atMs = absoluteMs(int64At(request, 2), unit, client.store.nowMs, name);
    client.reply.integer(expireAt(client, request, atMs, conditions) ? 1 : 0);
  },
});

function conditionsOf(request: Request): ReadonlySet<string> {
  const found = new Set<string>();
  for (let i = 3; i < request.count; i++) {
    const word = request.word(i);
    if (!CONDITIONS.has(word)) throw new CommandError(`ERR Unsupported option ${request.text(i)}`);
    found.add(word);
  }
  if (found.has("nx") && found.size > 1) throw new CommandError("ERR NX and XX, GT or LT options at the same time are not compatible");
  if (found.has("gt") && found.has("lt")) throw new CommandError("ERR GT and LT options at the same time are not compatible");
  return found;
}

/** False where there is no such key, or a condition does not hold. */
function expireAt(client: Client, request: Request, atMs: number, conditions: ReadonlySet<string>): boolean {
  const { db } = client;
  const address = db.find(request, 1);
  if (address === 0 || !allowed(db.expiryOf(address), atMs, conditions)) return false;
  if (atMs <= client.store.nowMs && db.expiryMode === "delete") {
    client.propagateAs(["DEL", request.text(1)]);
    client.removed(request, 1, address);
  } else {
    db.setExpiry(address, atMs);
    client.propagateAs(["PEXPIREAT", request.text(1), String(atMs)]);
    client.wrote(request, 1, "g", "expire");
  }
  return true;
}

/** A key that does not expire counts as one that expires after all others. */
function allowed(beforeMs: number | undefined, atMs: number, conditions: ReadonlySet<string>): boolean {
  if (conditions.has("nx") && beforeMs !== undefined) return false;
  if (conditions.has("xx") && beforeMs === undefined) return false;
  if (conditions.has("gt") && atMs <= (beforeMs ?? Infinity)) return false;
  return !conditions.has("lt") || atMs < (beforeMs ?? Infinity);
}

const timeOf = (name: string, since: string, summary: string, replyOf: (atMs: number, nowMs: number) => number): Command => ({
  name,
  arity: 2,
  flags: ["readonly", "fast"],
  group: "generic",
  summary,
  since,
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const address = client.db.peek(request, 1);
    if (address === 0) return client.reply.integer(-2);
    const atMs = client.db.expiryOf(address);
    client.reply.integer(atMs === undefined ? -1 : replyOf(atMs, client.store.nowMs));
  },
});

const secondsOf = (ms: number): number => Math.floor((ms + 500) / 1000);

const persist: Command = {
  name: "persist",
  arity: 2,
  flags: ["write", "fast"],
  group: "generic",
  summary: "Lets a key stay that would have expired.",
  since: "2.2.0",
  keys: keyAt(1, "RW", "update"),
  run(client, request) {
    const address = client.db.find(request, 1);
    if (address === 0 || !client.db.persist(address)) return client.reply.integer(0);
    client.wrote(request, 1, "g", "persist");
    client.reply.integer(1);
  },
};

export const EXPIRE_COMMANDS: readonly Command[] = [
  expires("expire", "s", "1.0.0"),
  expires("expireat", "at-s", "1.2.0"),
  expires("pexpire", "ms", "2.6.0"),
  expires("pexpireat", "at-ms", "2.6.0"),
  persist,
  timeOf("ttl", "1.0.0", "Seconds until a key expires.", (atMs, nowMs) => secondsOf(Math.max(0, atMs - nowMs))),
  timeOf("pttl", "2.6.0", "Milliseconds until a key expires.", (atMs, nowMs) => Math.max(0, atMs - nowMs)),
  timeOf("expiretime", "7.0.0", "When a key expires, in seconds since 1970.", secondsOf),
  timeOf("pexpiretime", "7.0.0", "When a key expires, in milliseconds since 1970.", (atMs) => atMs),
];
