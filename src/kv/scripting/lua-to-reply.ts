import type { ReplyWriter } from "../../wire/resp/reply-writer.ts";
import type { Client } from "../clients/client.ts";
import { LuaTable } from "../lua/table.ts";
import type { LuaValue } from "../lua/value.ts";

/** Deeper tables end in an error, as on Lua's own stack. */
const DEPTH_MAX = 1900;
const INT64_LIMIT = 2 ** 63;

/**
 * What a script returns, as a reply (https://redis.io/docs/latest/develop/interact/programmability/lua-api/#data-type-conversion). `booleans`: the script
 * has chosen RESP3, where they are no numbers.
 */
export function replyWith(client: Client, value: LuaValue, booleans: boolean, depth = 0): void {
  const { reply } = client;
  if (depth > DEPTH_MAX) return client.fail("ERR reached lua stack limit");
  if (typeof value === "string") reply.bulk(value);
  else if (typeof value === "number") reply.integer(integerOf(value));
  else if (typeof value === "boolean") {
    if (booleans) reply.boolean(value);
    else if (value) reply.integer(1);
    else reply.null();
  } else if (value instanceof LuaTable) replyWithTable(client, value, booleans, depth);
  else reply.null();
}

/** As C converts a double to 64 bits. */
function integerOf(value: number): number | bigint {
  if (!(value >= -INT64_LIMIT && value < INT64_LIMIT)) return -(2n ** 63n);
  const whole = Math.trunc(value);
  return Number.isSafeInteger(whole) ? whole : BigInt(whole);
}

function replyWithTable(client: Client, table: LuaTable, booleans: boolean, depth: number): void {
  const { reply } = client;
  const error = errorOf(table);
  if (error !== undefined) return error.counted ? reply.error(error.message) : client.fail(error.message);
  if (replyWithField(reply, table)) return;
  const map = table.named("map");
  if (map instanceof LuaTable) {
    reply.map(countOf(map));
    return eachOf(map, (key, value) => {
      replyWith(client, key, booleans, depth + 1);
      replyWith(client, value, booleans, depth + 1);
    });
  }
  const set = table.named("set");
  if (set instanceof LuaTable) {
    reply.set(countOf(set));
    return eachOf(set, (key) => replyWith(client, key, booleans, depth + 1));
  }
  let length = 0;
  while (table.at(length + 1) !== undefined) length++;
  reply.array(length);
  for (let index = 1; index <= length; index++) replyWith(client, table.at(index), booleans, depth + 1);
}

/** Replies that are a table of one field. */
function replyWithField(reply: ReplyWriter, table: LuaTable): boolean {
  const ok = table.named("ok");
  if (typeof ok === "string") {
    reply.simple(oneLine(ok));
    return true;
  }
  const double = table.named("double");
  if (typeof double === "number") {
    reply.double(double);
    return true;
  }
  const number = table.named("big_number");
  if (typeof number === "string") {
    reply.bigNumber(oneLine(number));
    return true;
  }
  const verbatim = table.named("verbatim_string");
  if (!(verbatim instanceof LuaTable)) return false;
  const format = verbatim.named("format");
  const text = verbatim.named("string");
  if (typeof format !== "string" || typeof text !== "string") return false;
  reply.verbatim(text, format.slice(0, 3).padEnd(3));
  return true;
}

/** The error that a table stands for; `counted`: the command that failed has counted it already. */
export function errorOf(table: LuaTable): { readonly message: string; readonly counted: boolean } | undefined {
  const message = table.named("err");
  return typeof message === "string" ? { message, counted: table.named("ignore_error_stats_update") === true } : undefined;
}

const oneLine = (text: string): string => text.replaceAll(/[\r\n]/g, " ");

function countOf(table: LuaTable): number {
  let count = 0;
  eachOf(table, () => count++);
  return count;
}

function eachOf(table: LuaTable, visit: (key: LuaValue, value: LuaValue) => void): void {
  for (let position = table.positionAfter(undefined)!; position >= 0;) {
    const key = table.keyAt(position);
    visit(key, table.valueAt(position));
    position = table.positionAfter(key)!; // it is still there
  }
}
