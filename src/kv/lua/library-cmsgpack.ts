import { badArgument, integerAt, library, stringAt } from "./arguments.ts";
import { STRING_BYTES_MAX, type Meter } from "./meter.ts";
import { failure } from "./operations.ts";
import { LuaTable } from "./table.ts";
import { type LuaResult, type LuaValue } from "./value.ts";

/** Deeper tables are nil, so that those which hold themselves end. */
const NESTING_MAX = 16;
/** About half as deep as Lua's own stack lets the decoder go: V8's is smaller. */
const DEPTH_MAX = 1800;
const INT64 = 2 ** 63;

/** MessagePack as lua-cmsgpack has it (https://github.com/antirez/lua-cmsgpack, https://github.com/msgpack/msgpack/blob/master/spec-old.md). */
export function createCmsgpackLibrary(meter: Meter): LuaTable {
  function pack(...args: LuaValue[]): LuaResult {
    if (args.length === 0) throw badArgument(-1, "pack", "MessagePack pack needs input.");
    let text = "";
    for (const value of args) text += packed(value, 0);
    meter.charge(text.length);
    return text;
  }

  function packed(value: LuaValue, depth: number): string {
    if (--meter.left < 0) meter.tick();
    if (typeof value === "string") return lengthOf(value.length, [0xa0, 31], [0xd9, 0xda, 0xdb]) + value;
    if (typeof value === "number") return packedNumber(value);
    if (typeof value === "boolean") return value ? "\xc3" : "\xc2";
    if (!(value instanceof LuaTable) || depth === NESTING_MAX) return "\xc0";
    const text = isArray(value) ? packedArray(value, depth) : packedMap(value, depth);
    if (text.length > STRING_BYTES_MAX) throw failure("not enough memory", 0);
    return text;
  }

  function packedArray(table: LuaTable, depth: number): string {
    let text = lengthOf(table.length, [0x90, 15], [undefined, 0xdc, 0xdd]);
    for (let index = 1; index <= table.length; index++) text += packed(table.at(index), depth + 1);
    return text;
  }

  function packedMap(table: LuaTable, depth: number): string {
    let text = "";
    let count = 0;
    for (let position = table.positionAfter(undefined)!; position >= 0; count++) {
      const key = table.keyAt(position);
      text += packed(key, depth + 1) + packed(table.valueAt(position), depth + 1);
      position = table.positionAfter(key)!; // it has just been there
    }
    return lengthOf(count, [0x80, 15], [undefined, 0xde, 0xdf]) + text;
  }

  function unpack(args: readonly LuaValue[], limit: number, offset: number): LuaResult {
    const text = stringAt(args, 0, "unpack");
    if (offset < 0 || limit < 0) throw failure(`Invalid request to unpack with offset of ${offset} and limit of ${text.length}.`);
    if (offset > text.length) throw failure(`Start offset ${offset} greater than input length ${text.length}.`);
    const all = limit === 0 && offset === 0;
    const reader = new Reader(text, offset, meter);
    const values: LuaValue[] = [];
    const most = all ? Infinity : limit;
    while (reader.left > 0 && values.length < most) values.push(reader.value(0));
    meter.charge(text.length);
    return all ? values : [reader.left === 0 ? -1 : reader.at, ...values];
  }

  return library({
    pack,
    unpack: (...args) => unpack(args, 0, 0),
    unpack_one: (...args) => unpack(args, 1, integerAt(args, 1, "unpack_one", 0)),
    unpack_limit: (...args) => unpack(args, integerAt(args, 1, "unpack_limit"), integerAt(args, 2, "unpack_limit", 0)),
    _NAME: "cmsgpack",
    _VERSION: "lua-cmsgpack 0.4.0",
  });
}

const char = String.fromCharCode;

/** A length behind its mark: in the mark itself up to so much, else in 1, 2 or 4 bytes. */
function lengthOf(
  length: number,
  [mark, max]: readonly [number, number],
  [one, two, four]: readonly [number | undefined, number, number],
): string {
  if (length <= max) return char(mark | length);
  if (length <= 0xff && one !== undefined) return char(one, length);
  return length <= 0xffff ? char(two, length >> 8, length & 0xff) : char(four) + bigEndian(BigInt(length), 4);
}

function bigEndian(value: bigint, bytes: number): string {
  let text = "";
  for (let shift = 8 * (bytes - 1); shift >= 0; shift -= 8) text += char(Number((value >> BigInt(shift)) & 0xffn));
  return text;
}

function packedNumber(value: number): string {
  if (!Number.isInteger(value) || value < -INT64 || value >= INT64) return packedFloat(value);
  if (value >= 0) {
    if (value <= 127) return char(value);
    const bytes = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffff_ffff ? 4 : 8;
    return char(0xcc + Math.log2(bytes)) + bigEndian(BigInt(value), bytes);
  }
  if (value >= -32) return char(value & 0xff);
  const bytes = value >= -128 ? 1 : value >= -32_768 ? 2 : value >= -(2 ** 31) ? 4 : 8;
  return char(0xd0 + Math.log2(bytes)) + bigEndian(BigInt(value), bytes);
}

function packedFloat(value: number): string {
  const bytes = Buffer.alloc(9);
  if (value === Math.fround(value)) {
    bytes[0] = 0xca;
    bytes.writeFloatBE(value, 1);
    return bytes.toString("latin1", 0, 5);
  }
  bytes[0] = 0xcb;
  bytes.writeDoubleBE(value, 1);
  return bytes.toString("latin1");
}

/** Keys from 1 on without a gap. */
function isArray(table: LuaTable): boolean {
  let largest = 0;
  let count = 0;
  for (let position = table.positionAfter(undefined)!; position >= 0; count++) {
    const key = table.keyAt(position);
    if (typeof key !== "number" || key <= 0 || !Number.isInteger(key)) return false;
    largest = Math.max(largest, key);
    position = table.positionAfter(key)!; // it has just been there
  }
  return largest === count;
}

class Reader {
  readonly #text: string;
  readonly #meter: Meter;
  at: number;

  constructor(text: string, at: number, meter: Meter) {
    this.#text = text;
    this.at = at;
    this.#meter = meter;
  }

  get left(): number {
    return this.#text.length - this.at;
  }

  value(depth: number): LuaValue {
    if (depth > DEPTH_MAX) throw failure("stack overflow (in function mp_decode_to_lua_array)");
    if (--this.#meter.left < 0) this.#meter.tick();
    const mark = Number(this.#unsigned(1));
    if (mark < 0x80) return mark;
    if (mark >= 0xe0) return mark - 256;
    if (mark < 0x90) return this.#map(mark & 15, depth);
    if (mark < 0xa0) return this.#array(mark & 15, depth);
    if (mark < 0xc0) return this.#string(mark & 31);
    switch (mark) {
      case 0xc0:
        return undefined;
      case 0xc2:
      case 0xc3:
        return mark === 0xc3;
      case 0xca:
        return Buffer.from(this.#string(4), "latin1").readFloatBE();
      case 0xcb:
        return Buffer.from(this.#string(8), "latin1").readDoubleBE();
      case 0xcc:
      case 0xcd:
      case 0xce:
      case 0xcf:
        return Number(this.#unsigned(1 << (mark - 0xcc)));
      case 0xd0:
      case 0xd1:
      case 0xd2:
      case 0xd3: {
        const bytes = 1 << (mark - 0xd0);
        return Number(BigInt.asIntN(8 * bytes, this.#unsigned(bytes)));
      }
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(Number(this.#unsigned(1 << (mark - 0xd9))));
      case 0xdc:
      case 0xdd:
        return this.#array(Number(this.#unsigned(2 << (mark - 0xdc))), depth);
      case 0xde:
      case 0xdf:
        return this.#map(Number(this.#unsigned(2 << (mark - 0xde))), depth);
      default:
        throw failure("Bad data format in input.");
    }
  }

  #need(bytes: number): void {
    if (this.left < bytes) throw failure("Missing bytes in input.");
  }

  #unsigned(bytes: number): bigint {
    this.#need(bytes);
    let value = 0n;
    for (let index = 0; index < bytes; index++) value = (value << 8n) | BigInt(this.#text.charCodeAt(this.at++));
    return value;
  }

  #string(bytes: number): string {
    this.#need(bytes);
    this.at += bytes;
    return this.#text.slice(this.at - bytes, this.at);
  }

  #array(count: number, depth: number): LuaTable {
    const values: LuaValue[] = [];
    for (let index = 0; index < count; index++) values.push(this.value(depth + 1));
    return new LuaTable(values);
  }

  #map(count: number, depth: number): LuaTable {
    const table = new LuaTable();
    for (let index = 0; index < count; index++) {
      const key = this.value(depth + 1);
      table.set(key, this.value(depth + 1));
    }
    return table;
  }
}
