import { latin1Of } from "../../base/latin1.ts";
import { LuaTable } from "../lua/table.ts";
import type { LuaValue } from "../lua/value.ts";

const CR = 13;
const MINUS = 45;
const ZERO = 48;

/**
 * A reply in RESP2 or RESP3 as a value of Lua (https://redis.io/docs/latest/develop/interact/programmability/lua-api/#data-type-conversion). The bytes are
 * those of one whole reply, as this server writes them.
 */
export class ReplyReader {
  #bytes: Buffer = EMPTY;
  #at = 0;

  read(bytes: Buffer): LuaValue {
    this.#bytes = bytes;
    this.#at = 0;
    const value = this.#value();
    this.#bytes = EMPTY;
    return value;
  }

  #value(): LuaValue {
    switch (this.#bytes.readUInt8(this.#at++)) {
      case 36: // $
        return this.#bulk();
      case 58: // :
        return this.#integer();
      case 43: // +
        return field("ok", this.#line());
      case 45: // -
        return errorTable(this.#line(), true);
      case 42: // *
        return this.#array();
      case 95: // _
        this.#at += 2;
        return undefined;
      case 35: // #
        return this.#line() === "t";
      case 44: // ,
        return field("double", doubleOf(this.#line()));
      case 40: // (
        return field("big_number", this.#line());
      case 61: // =
        return this.#verbatim();
      case 37: // %
        return field("map", this.#map());
      case 126: // ~
        return field("set", this.#set());
      case 124: // |
        this.#map();
        return this.#value();
      default:
        throw new Error("this server writes no such reply");
    }
  }

  #line(): string {
    const bytes = this.#bytes;
    const from = this.#at;
    let end = from;
    while (bytes[end] !== CR) end++;
    this.#at = end + 2;
    return latin1Of(bytes, from, end);
  }

  #integer(): number {
    const bytes = this.#bytes;
    let at = this.#at;
    const negative = bytes[at] === MINUS;
    if (negative) at++;
    let value = 0;
    for (; bytes[at] !== CR; at++) value = value * 10 + bytes[at]! - ZERO;
    this.#at = at + 2;
    return negative ? -value : value;
  }

  #bulk(): LuaValue {
    const length = this.#integer();
    if (length < 0) return false;
    const from = this.#at;
    this.#at = from + length + 2;
    return latin1Of(this.#bytes, from, from + length);
  }

  #array(): LuaValue {
    const length = this.#integer();
    if (length < 0) return false;
    const values: LuaValue[] = [];
    for (let index = 0; index < length; index++) values.push(this.#value());
    return new LuaTable(values);
  }

  #map(): LuaTable {
    const table = new LuaTable();
    for (let count = this.#integer(); count > 0; count--) {
      const key = this.#value();
      const value = this.#value();
      if (key !== undefined) table.set(key, value);
    }
    return table;
  }

  #set(): LuaTable {
    const table = new LuaTable();
    for (let count = this.#integer(); count > 0; count--) {
      const key = this.#value();
      if (key !== undefined) table.set(key, true);
    }
    return table;
  }

  #verbatim(): LuaTable {
    const text = this.#bulk() as string; // verbatim text is never null
    const verbatim = field("format", text.slice(0, 3));
    verbatim.setNamed("string", text.slice(4));
    return field("verbatim_string", verbatim);
  }
}

const EMPTY = Buffer.alloc(0);

export function field(name: string, value: LuaValue): LuaTable {
  const table = new LuaTable();
  table.setNamed(name, value);
  return table;
}

/** An error as scripts get it: `ERR …`. `counted`: statistics have it already. */
export function errorTable(message: string, counted: boolean): LuaTable {
  const table = field("err", message);
  if (counted) table.setNamed("ignore_error_stats_update", true);
  return table;
}

function doubleOf(text: string): number {
  if (text === "inf") return Infinity;
  if (text === "-inf") return -Infinity;
  return Number(text);
}
