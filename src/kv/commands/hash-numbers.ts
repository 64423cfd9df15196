import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { decimalSum } from "../decimal.ts";
import { doubleAt, doubleOf, fitsInt64, int64At, safeIntegerIn } from "../numbers.ts";
import { HashValue } from "../types/hash-value.ts";
import { integerOf } from "../types/integers.ts";
import { keyAt, type Command } from "./command.ts";
import { findHash } from "./hash.ts";

const hincrby: Command = {
  name: "hincrby",
  arity: 4,
  flags: ["write", "denyoom", "fast"],
  group: "hash",
  summary: "Adds an integer to a field.",
  since: "2.0.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    const quick = safeIntegerIn(request.bytes, request.offsets[3]!, request.lengths[3]!);
    const by = Number.isNaN(quick) ? int64At(request, 3) : quick;
    const hash = findHash(client, request);
    const sum = sumOf(hash?.get(request.text(2)) ?? "0", by);
    setField(client, request, hash, String(sum));
    client.wrote(request, 1, "h", "hincrby");
    client.reply.integer(sum);
  },
};

/** As a bigint only where it may need one. */
function sumOf(before: string, by: number | bigint): number | bigint {
  const value = integerOf(before);
  if (value === undefined) throw new CommandError("ERR hash value is not an integer");
  if (typeof value === "number" && typeof by === "number") return value + by;
  const sum = BigInt(value) + BigInt(by);
  if (!fitsInt64(sum)) throw new CommandError("ERR increment or decrement would overflow");
  return sum;
}

const hincrbyfloat: Command = {
  name: "hincrbyfloat",
  arity: 4,
  flags: ["write", "denyoom", "fast"],
  group: "hash",
  summary: "Adds a floating point number to a field.",
  since: "2.6.0",
  keys: keyAt(1, "RW", "access", "update"),
  run(client, request) {
    if (!Number.isFinite(doubleAt(request, 3))) throw new CommandError("ERR value is NaN or Infinity");
    const field = request.text(2);
    const hash = findHash(client, request);
    const before = hash?.get(field) ?? "0";
    if (doubleOf(before) === undefined) throw new CommandError("ERR hash value is not a float");
    const text = decimalSum(before, request.text(3));
    setField(client, request, hash, text);
    client.propagateAs(["HSET", request.text(1), field, text]);
    client.wrote(request, 1, "h", "hincrbyfloat");
    client.reply.bulk(text);
  },
};

function setField(client: Client, request: Request, before: HashValue | undefined, value: string): void {
  const hash = before ?? new HashValue();
  hash.set(request.text(2), value, client.store.parameters);
  if (before === undefined) client.db.setObject(request, 1, hash);
}

export const HASH_NUMBER_COMMANDS: readonly Command[] = [hincrby, hincrbyfloat];
