import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { int64At } from "../numbers.ts";
import { bitOffsetAt, bitsToRead, bitsToWrite } from "./bitmap.ts";
import { keyAt, type Command } from "./command.ts";

type Overflow = "wrap" | "sat" | "fail";

interface Field {
  readonly signed: boolean;
  readonly bits: number;
  readonly offset: number;
}

interface FieldOperation {
  readonly kind: "get" | "set" | "incrby";
  readonly field: Field;
  readonly value: bigint;
  readonly overflow: Overflow;
}

const bitfield: Command = {
  name: "bitfield",
  arity: -2,
  flags: ["write", "denyoom"],
  group: "bitmap",
  summary: "Reads, sets and adds to integers of any width in a string.",
  since: "3.2.0",
  keys: keyAt(1, "RW", "update", "access", "variable_flags"),
  keysOf(request) {
    const words = request.texts(2).map((word) => word.toLowerCase());
    const onlyReads = words.every((word, index) => (word !== "set" && word !== "incrby") || words[index - 1] === "get");
    return [{ index: 1, flags: onlyReads ? ["RO", "access"] : ["RW", "update", "access"] }];
  },
  run(client, request) {
    const operations = operationsOf(client, request);
    if (operations.every(({ kind }) => kind === "get")) read(client, request, operations);
    else change(client, request, operations);
  },
};

const bitfieldReadOnly: Command = {
  name: "bitfield_ro",
  arity: -2,
  flags: ["readonly", "fast"],
  group: "bitmap",
  summary: "Reads integers of any width in a string.",
  since: "6.0.0",
  keys: keyAt(1, "RO", "access"),
  run(client, request) {
    const operations = operationsOf(client, request);
    if (operations.some(({ kind }) => kind !== "get")) throw new CommandError("ERR BITFIELD_RO only supports the GET subcommand");
    read(client, request, operations);
  },
};

function operationsOf(client: Client, request: Request): FieldOperation[] {
  const operations: FieldOperation[] = [];
  let overflow: Overflow = "wrap";
  for (let i = 2; i < request.count;) {
    const kind = request.word(i);
    const left = request.count - i - 1;
    if (kind === "overflow" && left >= 1) {
      overflow = overflowAt(request, i + 1);
      i += 2;
    } else if (kind === "get" && left >= 2) {
      operations.push({ kind, field: fieldAt(client, request, i + 1), value: 0n, overflow });
      i += 3;
    } else if ((kind === "set" || kind === "incrby") && left >= 3) {
      operations.push({ kind, field: fieldAt(client, request, i + 1), value: int64At(request, i + 3), overflow });
      i += 4;
    } else throw syntaxError();
  }
  return operations;
}

function overflowAt(request: Request, index: number): Overflow {
  const word = request.word(index);
  if (word !== "wrap" && word !== "sat" && word !== "fail") throw new CommandError("ERR Invalid OVERFLOW type specified");
  return word;
}

const TYPE = /^([iu])([1-9]\d?)$/;

function fieldAt(client: Client, request: Request, index: number): Field {
  const type = TYPE.exec(request.text(index));
  const signed = type?.[1] === "i";
  const bits = Number(type?.[2]);
  if (!(bits <= (signed ? 64 : 63)))
    throw new CommandError("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
  return { signed, bits, offset: bitOffsetAt(client, request, index + 1, bits) };
}

function read(client: Client, request: Request, operations: readonly FieldOperation[]): void {
  const bytes = bitsToRead(client, request, 1);
  client.reply.array(operations.length);
  for (const { field } of operations) client.reply.integer(valueIn(bytes, field));
}

function change(client: Client, request: Request, operations: readonly FieldOperation[]): void {
  const { reply } = client;
  const ends = operations.map(({ kind, field }) => (kind === "get" ? 0 : Math.ceil((field.offset + field.bits) / 8)));
  const { bytes, grown } = bitsToWrite(client, request, Math.max(...ends));
  let changed = false;
  reply.array(operations.length);
  for (const { kind, field, value, overflow } of operations) {
    const before = valueIn(bytes, field);
    if (kind === "get") {
      reply.integer(before);
      continue;
    }
    const after = fitted(kind === "set" ? value : before + value, field, kind === "set", overflow);
    if (after === undefined) {
      reply.null();
      continue;
    }
    put(bytes, field, after);
    if (grown || after !== before) changed = true;
    reply.integer(kind === "set" ? before : after);
  }
  if (changed) client.wrote(request, 1, "$", "setbit");
}

/** A value as the field can hold it, or undefined where it cannot and should not. A value below 0 that is set in an unsigned field counts as one too great. */
function fitted(value: bigint, { signed, bits }: Field, isSet: boolean, overflow: Overflow): bigint | undefined {
  const count = 1n << BigInt(bits);
  const max = signed ? count / 2n - 1n : count - 1n;
  const min = signed ? -count / 2n : 0n;
  if (value >= min && value <= max) return value;
  if (overflow === "fail") return undefined;
  if (overflow === "sat") return value > max || (isSet && !signed) ? max : min;
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** Bits beyond the end are zero. */
function valueIn(bytes: Buffer, { signed, bits, offset }: Field): bigint {
  const first = Math.floor(offset / 8);
  const end = Math.ceil((offset + bits) / 8);
  let value = 0n;
  for (let at = first; at < end; at++) value = (value << 8n) | BigInt(bytes[at] ?? 0);
  value >>= BigInt(end * 8 - offset - bits);
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

function put(bytes: Buffer, { bits, offset }: Field, value: bigint): void {
  for (let i = 0; i < bits; i++) {
    const at = offset + i;
    const mask = 0x80 >> (at % 8);
    const byte = bytes[Math.floor(at / 8)]!; // made long enough before
    const set = ((value >> BigInt(bits - 1 - i)) & 1n) === 1n;
    bytes[Math.floor(at / 8)] = set ? byte | mask : byte & ~mask;
  }
}

export const BITFIELD_COMMANDS: readonly Command[] = [bitfield, bitfieldReadOnly];
