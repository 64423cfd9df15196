import { getHeapStatistics } from "node:v8";
import { anyAt, badArgument, functionAt, integerAt, library, stringAt, tableAt } from "./arguments.ts";
import { LuaError, luaErrorOf } from "./error.ts";
import { failure, luaCall, type Operations } from "./operations.ts";
import { LuaTable, READONLY } from "./table.ts";
import {
  NOTHING,
  isTrue,
  first,
  LightUserdata,
  numberOf,
  numberText,
  typeOf,
  valuesOf,
  type LuaFunction,
  type LuaResult,
  type LuaValue,
} from "./value.ts";

/** Lua's limit on values that a call from C may give. */
export const RESULTS_MAX = 7999;
/** What Lua's own compiled code begins with; there is none here. */
export const BINARY_MARK = "\x1bLua";

export interface BaseLibrary {
  readonly globals: LuaTable;
  readonly textOf: (value: LuaValue) => string;
}

/** Compiles a source; `name` as `chunkName` takes it. Throws `LuaError`. */
export type Compile = (source: string, name: string) => LuaFunction;

/** What stands in the global table itself (https://www.lua.org/manual/5.1/manual.html#5.1), as far as a script may have it. */
export function createBaseLibrary(operations: Operations, compile: Compile, addressOf: (value: object) => string): BaseLibrary {
  const { handlerOf, metatableOf, callable, meter } = operations;

  function textOf(value: LuaValue): string {
    if (typeof value === "string") return value;
    if (typeof value === "number") return numberText(value);
    if (value === undefined) return "nil";
    if (typeof value === "boolean") return String(value);
    if (value instanceof LightUserdata) return `userdata: ${value.name}`;
    return `${typeOf(value)}: ${addressOf(value)}`;
  }

  function tostring(...args: LuaValue[]): LuaResult {
    const value = anyAt(args, 0, "tostring");
    const handler = handlerOf(value, "__tostring");
    return handler === undefined ? textOf(value) : first(luaCall(callable(handler), [value]));
  }

  function getmetatable(...args: LuaValue[]): LuaResult {
    const metatable = metatableOf(anyAt(args, 0, "getmetatable"));
    return metatable?.named("__metatable") ?? metatable;
  }

  function pcall(...args: LuaValue[]): LuaResult {
    // Redis' own `pcall` calls its place holder where nothing is given.
    const callee = args.length === 0 ? true : args[0];
    try {
      return [true, ...valuesOf(luaCall(callable(callee), args.slice(1)))];
    } catch (thrown) {
      const { value } = luaErrorOf(thrown);
      // Scripts written for Redis before 7 expect a text where there is a table now.
      const text = value instanceof LuaTable ? value.named("err") : undefined;
      return [false, typeof text === "string" ? text : value];
    }
  }

  function xpcall(...args: LuaValue[]): LuaResult {
    const handler = anyAt(args, 1, "xpcall");
    try {
      return [true, ...valuesOf(luaCall(callable(args[0]), []))];
    } catch (thrown) {
      return [false, first(luaCall(callable(handler), [luaErrorOf(thrown).value]))];
    }
  }

  function compiled(source: string, name: string): LuaResult {
    if (source.startsWith("\x1b")) return [undefined, `${name}: bad binary format`];
    try {
      return compile(source, name);
    } catch (thrown) {
      return [undefined, luaErrorOf(thrown).value];
    }
  }

  function loadstring(...args: LuaValue[]): LuaResult {
    const source = stringAt(args, 0, "loadstring");
    return compiled(source, args[1] === undefined ? source : stringAt(args, 1, "loadstring"));
  }

  function load(...args: LuaValue[]): LuaResult {
    const read = functionAt(args, 0, "load");
    const name = args[1] === undefined ? "=(load)" : stringAt(args, 1, "load");
    let source = "";
    for (;;) {
      const piece = first(luaCall(read, []));
      if (piece === undefined || piece === "") return compiled(source, name);
      if (typeof piece !== "string") throw failure("reader function must return a string");
      source += piece;
      meter.charge(piece.length);
    }
  }

  const globals = library({
    assert,
    collectgarbage,
    error,
    gcinfo: () => getHeapStatistics().used_heap_size / 1024,
    getmetatable,
    ipairs: (...args) => [operations.nextIndex, tableAt(args, 0, "ipairs"), 0],
    load,
    loadstring,
    next: operations.next,
    pairs: (...args) => [operations.next, tableAt(args, 0, "pairs"), undefined],
    pcall,
    rawequal: (...args) => anyAt(args, 0, "rawequal") === anyAt(args, 1, "rawequal"),
    rawget: (...args) => tableAt(args, 0, "rawget").get(anyAt(args, 1, "rawget")),
    rawset(...args) {
      const table = tableAt(args, 0, "rawset");
      table.set(anyAt(args, 1, "rawset"), anyAt(args, 2, "rawset"));
      return table;
    },
    select,
    setmetatable,
    tonumber,
    tostring,
    type: (...args) => typeOf(anyAt(args, 0, "type")),
    unpack,
    xpcall,
    _VERSION: "Lua 5.1",
  });
  globals.setNamed("_G", globals);
  return { globals, textOf };
}

/** As C's `strtoul` reads it: 64 bits, a minus wraps. */
function numberInBase(text: string, base: number): number | undefined {
  const found = /^[ \f\n\r\t\v]*([+-]?)([0-9a-zA-Z]+)[ \f\n\r\t\v]*$/.exec(text);
  if (found === null) return undefined;
  let digits = found[2]!.toLowerCase();
  if (base === 16 && digits.startsWith("0x")) digits = digits.slice(2);
  let value = 0n;
  for (const char of digits) {
    const digit = Number.parseInt(char, 36);
    if (digit >= base) return undefined;
    value = value * BigInt(base) + BigInt(digit);
    if (value >= 2n ** 64n) value = 2n ** 64n - 1n;
  }
  return Number(BigInt.asUintN(64, found[1] === "-" ? -value : value));
}

function assert(...args: LuaValue[]): LuaResult {
  if (isTrue(anyAt(args, 0, "assert"))) return args;
  throw failure(args[1] === undefined ? "assertion failed!" : stringAt(args, 1, "assert"));
}

function error(message?: LuaValue, level?: LuaValue): LuaResult {
  throw new LuaError(
    typeof message === "number" ? numberText(message) : message,
    typeof message === "string" || typeof message === "number" ? integerAt([message, level], 1, "error", 1) : 0,
  );
}

function setmetatable(...args: LuaValue[]): LuaResult {
  const table = tableAt(args, 0, "setmetatable");
  const metatable = args[1];
  if (args.length < 2 || (metatable !== undefined && !(metatable instanceof LuaTable)))
    throw badArgument(1, "setmetatable", "nil or table expected");
  if (table.metatable?.named("__metatable") !== undefined) throw failure("cannot change a protected metatable");
  if (table.isReadonly) throw failure(READONLY, 0);
  table.metatable = metatable;
  return table;
}

function select(...args: LuaValue[]): LuaResult {
  if (args[0] === "#") return args.length - 1;
  const from = integerAt(args, 0, "select");
  if (from < 0 ? -from > args.length - 1 : from === 0) throw badArgument(0, "select", "index out of range");
  return args.slice(from < 0 ? args.length + from : from);
}

function tonumber(...args: LuaValue[]): LuaResult {
  const base = integerAt(args, 1, "tonumber", 10);
  if (base === 10) {
    const value = anyAt(args, 0, "tonumber");
    return typeof value === "number" ? value : typeof value === "string" ? numberOf(value) : undefined;
  }
  const text = stringAt(args, 0, "tonumber");
  if (base < 2 || base > 36) throw badArgument(1, "tonumber", "base out of range");
  return numberInBase(text, base);
}

function unpack(...args: LuaValue[]): LuaResult {
  const table = tableAt(args, 0, "unpack");
  const from = integerAt(args, 1, "unpack", 1);
  const to = integerAt(args, 2, "unpack", table.length);
  if (from > to) return NOTHING;
  if (!(to - from < RESULTS_MAX)) throw failure("too many results to unpack");
  const values: LuaValue[] = [];
  for (let index = from; index <= to; index++) values.push(table.at(index));
  return values;
}

function collectgarbage(...args: LuaValue[]): LuaResult {
  const option = args[0] === undefined ? "collect" : stringAt(args, 0, "collectgarbage");
  if (option === "count") return getHeapStatistics().used_heap_size / 1024;
  if (["collect", "stop", "restart", "setpause", "setstepmul"].includes(option)) return 0;
  if (option === "step") return true;
  throw badArgument(0, "collectgarbage", `invalid option '${option}'`);
}
