import { badArgument, integerAt, library, stringAt } from "./arguments.ts";
import { decodeJson } from "./json-decode.ts";
import { STRING_BYTES_MAX, type Meter } from "./meter.ts";
import { failure } from "./operations.ts";
import { LuaTable } from "./table.ts";
import { LightUserdata, generalText, numberText, typeOf, type LuaResult, type LuaValue } from "./value.ts";

const INT_MAX = 2 ** 31 - 1;
/** Quotes, backslash, slash and control characters. */
const ESCAPED = /["\\/]|[^ -~\x80-\xff]/;
const ALL_ESCAPED = new RegExp(ESCAPED, "g");
const ESCAPES: Readonly<Record<string, string>> = {
  "\b": "\\b",
  "\t": "\\t",
  "\n": "\\n",
  "\f": "\\f",
  "\r": "\\r",
  '"': '\\"',
  "\\": "\\\\",
  "/": "\\/",
};

interface Settings {
  sparseConvert: boolean;
  sparseRatio: number;
  sparseSafe: number;
  encodeDepthMax: number;
  decodeDepthMax: number;
  precision: number;
  keepBuffer: boolean;
  encodeInvalid: "off" | "on" | "null";
  decodeInvalid: boolean;
}

const DEFAULTS: Settings = {
  sparseConvert: false,
  sparseRatio: 2,
  sparseSafe: 10,
  encodeDepthMax: 1000,
  decodeDepthMax: 1000,
  precision: 14,
  keepBuffer: true,
  encodeInvalid: "off",
  decodeInvalid: true,
};

/** JSON as lua-cjson 2.1 has it (https://kyne.au/~mark/software/lua-cjson-manual.html), settings and error texts as well. */
export function createCjsonLibrary(meter: Meter, jsonNull = new LightUserdata("(nil)")): LuaTable {
  const settings = { ...DEFAULTS };

  function encode(...args: LuaValue[]): LuaResult {
    if (args.length !== 1) throw badArgument(0, "encode", "expected 1 argument");
    const text = encoded(args[0], 0);
    meter.charge(text.length);
    return text;
  }

  function encoded(value: LuaValue, depth: number): string {
    if (typeof value === "string") return quoted(value);
    if (typeof value === "number") return numeral(value);
    if (typeof value === "boolean") return value ? "true" : "false";
    if (value === undefined || value === jsonNull) return "null";
    if (value instanceof LuaTable) return encodedTable(value, depth + 1);
    throw unserialisable(value, "type not supported");
  }

  function encodedTable(table: LuaTable, depth: number): string {
    if (depth > settings.encodeDepthMax) throw failure(`Cannot serialise, excessive nesting (${depth})`);
    const length = arrayLength(table);
    if (length <= 0) return encodedObject(table, depth);
    let text = "[";
    for (let index = 1; index <= length; index++) {
      if (index > 1) text += ",";
      text = appended(text, encoded(table.at(index), depth));
    }
    return `${text}]`;
  }

  function appended(text: string, more: string): string {
    if (--meter.left < 0) meter.tick();
    if (text.length + more.length > STRING_BYTES_MAX) throw failure("not enough memory", 0);
    return text + more;
  }

  function encodedObject(table: LuaTable, depth: number): string {
    let text = "{";
    for (let position = table.positionAfter(undefined)!; position >= 0;) {
      const key = table.keyAt(position);
      if (text.length > 1) text += ",";
      if (typeof key === "number") text += `"${numeral(key)}":`;
      else if (typeof key === "string") text += `${quoted(key)}:`;
      else throw unserialisable(key, "table key must be a number or string");
      text = appended(text, encoded(table.valueAt(position), depth));
      position = table.positionAfter(key)!; // it has just been there
    }
    return `${text}}`;
  }

  /** The largest index of a table with nothing but indices; -1 for one that becomes an object. */
  function arrayLength(table: LuaTable): number {
    let largest = 0;
    let items = 0;
    for (let position = table.positionAfter(undefined)!; position >= 0;) {
      const key = table.keyAt(position);
      if (typeof key !== "number" || !Number.isInteger(key) || key < 1) return -1;
      if (key === position + 1 && position + 1 < table.length && table.at(table.length) !== undefined && items === position) {
        // A dense array need not be walked: its last value is there, and holes count little.
        items = countOf(table);
        largest = table.length;
        position = table.positionAfter(table.length)!;
        continue;
      }
      largest = Math.max(largest, key);
      items++;
      position = table.positionAfter(key)!; // it has just been there
    }
    if (settings.sparseRatio > 0 && largest > items * settings.sparseRatio && largest > settings.sparseSafe) {
      if (!settings.sparseConvert) throw failure("Cannot serialise table: excessively sparse array");
      return -1;
    }
    return largest;
  }

  function numeral(value: number): string {
    if (!Number.isFinite(value)) {
      if (settings.encodeInvalid === "off") throw unserialisable(value, "must not be NaN or Inf");
      if (settings.encodeInvalid === "null") return "null";
      if (Number.isNaN(value)) return "nan";
    }
    return settings.precision === 14 ? numberText(value) : generalText(value, settings.precision);
  }

  function decode(...args: LuaValue[]): LuaResult {
    if (args.length !== 1) throw badArgument(0, "decode", "expected 1 argument");
    const text = stringAt(args, 0, "decode");
    meter.charge(text.length * 4);
    return decodeJson(text, { depthMax: settings.decodeDepthMax, invalidNumbers: settings.decodeInvalid, null: jsonNull });
  }

  type Numeric = "sparseRatio" | "sparseSafe" | "encodeDepthMax" | "decodeDepthMax" | "precision";
  function number(given: LuaValue, name: string, setting: Numeric, bounds: readonly [number, number]): number {
    if (given !== undefined) {
      const value = integerAt([given], 0, name);
      if (value < bounds[0] || value > bounds[1]) throw badArgument(0, name, `expected integer between ${bounds[0]} and ${bounds[1]}`);
      settings[setting] = value;
    }
    return settings[setting];
  }

  return library({
    encode,
    decode,
    encode_sparse_array(...args) {
      atMost(args, 3, "encode_sparse_array");
      const convert = choice(args[0], "encode_sparse_array", ["off", "on"]);
      if (convert !== undefined) settings.sparseConvert = convert === "on";
      const ratio = number(args[1], "encode_sparse_array", "sparseRatio", [0, INT_MAX]);
      return [settings.sparseConvert, ratio, number(args[2], "encode_sparse_array", "sparseSafe", [0, INT_MAX])];
    },
    encode_max_depth(...args) {
      atMost(args, 1, "encode_max_depth");
      return number(args[0], "encode_max_depth", "encodeDepthMax", [1, INT_MAX]);
    },
    decode_max_depth(...args) {
      atMost(args, 1, "decode_max_depth");
      return number(args[0], "decode_max_depth", "decodeDepthMax", [1, INT_MAX]);
    },
    encode_number_precision(...args) {
      atMost(args, 1, "encode_number_precision");
      return number(args[0], "encode_number_precision", "precision", [1, 14]);
    },
    encode_keep_buffer(...args) {
      atMost(args, 1, "encode_keep_buffer");
      const keep = choice(args[0], "encode_keep_buffer", ["off", "on"]);
      if (keep !== undefined) settings.keepBuffer = keep === "on";
      return settings.keepBuffer;
    },
    encode_invalid_numbers(...args) {
      atMost(args, 1, "encode_invalid_numbers");
      const invalid = choice(args[0], "encode_invalid_numbers", ["off", "on", "null"]);
      if (invalid !== undefined) settings.encodeInvalid = invalid as Settings["encodeInvalid"]; // one of the options
      return shown(settings.encodeInvalid);
    },
    decode_invalid_numbers(...args) {
      atMost(args, 1, "decode_invalid_numbers");
      const invalid = choice(args[0], "decode_invalid_numbers", ["off", "on"]);
      if (invalid !== undefined) settings.decodeInvalid = invalid === "on";
      return settings.decodeInvalid;
    },
    new: () => createCjsonLibrary(meter, jsonNull),
    null: jsonNull,
    _NAME: "cjson",
    _VERSION: "2.1.0",
  });
}

function countOf(table: LuaTable): number {
  let count = 0;
  for (const value of table.values) if (value !== undefined) count++;
  return count;
}

const unserialisable = (value: LuaValue, problem: string) => failure(`Cannot serialise ${typeOf(value)}: ${problem}`);

const quoted = (text: string): string => (ESCAPED.test(text) ? `"${text.replaceAll(ALL_ESCAPED, escaped)}"` : `"${text}"`);

const escaped = (char: string): string => ESCAPES[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;

function atMost(args: readonly LuaValue[], count: number, name: string): void {
  if (args.length > count) throw badArgument(count, name, "found too many arguments");
}

/** `on`, `off` and their like, or a boolean. */
function choice(value: LuaValue, name: string, options: readonly string[]): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value === "boolean") return value ? "on" : "off";
  const text = stringAt([value], 0, name);
  if (!options.includes(text)) throw badArgument(0, name, `invalid option '${text}'`);
  return text;
}

const shown = (option: string): LuaValue => (option === "null" ? "null" : option === "on");
