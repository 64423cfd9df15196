import { badArgument, functionAt, integerAt, library, stringAt } from "./arguments.ts";
import { format } from "./format.ts";
import { BINARY_MARK, RESULTS_MAX } from "./library-base.ts";
import { STRING_BYTES_MAX } from "./meter.ts";
import { failure, luaCall, type Operations } from "./operations.ts";
import { Matcher } from "./pattern.ts";
import { LuaTable } from "./table.ts";
import { NOTHING, first, isFunction, numberText, typeOf, type LuaResult, type LuaValue } from "./value.ts";

/** https://www.lua.org/manual/5.1/manual.html#5.4 */
export function createStringLibrary({ meter, index }: Operations): LuaTable {
  function rep(...args: LuaValue[]): LuaResult {
    const text = stringAt(args, 0, "rep");
    const count = Math.max(0, integerAt(args, 1, "rep"));
    const bytes = text.length * count;
    if (bytes > STRING_BYTES_MAX) throw failure("not enough memory", 0);
    meter.charge(bytes);
    return bytes === 0 ? "" : text.repeat(count);
  }

  function reverse(...args: LuaValue[]): LuaResult {
    const text = stringAt(args, 0, "reverse");
    meter.charge(text.length * 8);
    return Buffer.from(Buffer.from(text, "latin1").toReversed()).toString("latin1");
  }

  /** Letters are those of ASCII, whatever the bytes beyond may mean. */
  const withCase = (name: "lower" | "upper") => {
    const letters = name === "lower" ? /[A-Z]+/g : /[a-z]+/g;
    return (...args: LuaValue[]): LuaResult => {
      const text = stringAt(args, 0, name);
      meter.charge(text.length);
      return text.replaceAll(letters, (found) => (name === "lower" ? found.toLowerCase() : found.toUpperCase()));
    };
  };

  /** `find` and `match`. */
  function search(args: readonly LuaValue[], name: "find" | "match"): LuaResult {
    const text = stringAt(args, 0, name);
    const pattern = stringAt(args, 1, name);
    const from = Math.min(text.length, Math.max(0, position(integerAt(args, 2, name, 1), text.length) - 1));
    if (name === "find" && ((args[3] !== undefined && args[3] !== false) || !/[\^$*+?.([%-]/.test(pattern))) {
      meter.charge(text.length - from);
      const found = text.indexOf(pattern, from);
      return found < 0 ? undefined : [found + 1, found + pattern.length];
    }
    const matcher = new Matcher(text, pattern, meter);
    const anchored = pattern.startsWith("^");
    for (let at = from; at <= text.length; at++) {
      const end = matcher.matchAt(at, anchored ? 1 : 0);
      if (end >= 0) {
        if (name === "match") return matcher.captures(at, end);
        return [at + 1, end, ...(matcher.captureCount > 0 ? matcher.captures(at, end) : [])];
      }
      if (anchored) break;
    }
    return undefined;
  }

  function gmatch(...args: LuaValue[]): LuaResult {
    const text = stringAt(args, 0, "gmatch");
    const matcher = new Matcher(text, stringAt(args, 1, "gmatch"), meter);
    let from = 0;
    return () => {
      for (let at = from; at <= text.length; at++) {
        const end = matcher.matchAt(at, 0);
        if (end < 0) continue;
        from = end === at ? end + 1 : end;
        return matcher.captures(at, end);
      }
      from = text.length + 1;
      return undefined;
    };
  }

  function gsub(...args: LuaValue[]): LuaResult {
    const text = stringAt(args, 0, "gsub");
    const pattern = stringAt(args, 1, "gsub");
    const replacement = args[2];
    const max = integerAt(args, 3, "gsub", text.length + 1);
    if (!["string", "number", "function"].includes(typeof replacement) && !(replacement instanceof LuaTable))
      throw badArgument(2, "gsub", "string/function/table expected");
    const anchored = pattern.startsWith("^");
    const matcher = new Matcher(text, pattern, meter);
    let result = "";
    let at = 0;
    let count = 0;
    while (count < max) {
      const end = matcher.matchAt(at, anchored ? 1 : 0);
      if (end >= 0) {
        count++;
        result += replaced(matcher, at, end, replacement);
        if (result.length > STRING_BYTES_MAX) throw failure("not enough memory", 0);
      }
      if (end > at) at = end;
      else if (at < text.length) result += text[at++]!;
      else break;
      if (anchored) break;
    }
    const rest = text.slice(at);
    meter.charge(result.length);
    return [result + rest, count];

    function replaced(found: Matcher, from: number, to: number, by: LuaValue): string {
      const whole = text.slice(from, to);
      if (typeof by === "string" || typeof by === "number") {
        const template = typeof by === "number" ? numberText(by) : by;
        if (!template.includes("%")) return template;
        return expanded(template, (digit) => (digit === 0 ? whole : textOf(found.capture(digit - 1, from, to))));
      }
      const value = isFunction(by) ? first(luaCall(by, found.captures(from, to))) : index(by, found.capture(0, from, to));
      if (value === undefined || value === false) return whole;
      if (typeof value !== "string" && typeof value !== "number") throw failure(`invalid replacement value (a ${typeOf(value)})`);
      return textOf(value);
    }
  }

  return library({
    byte,
    char,
    dump(...args) {
      functionAt(args, 0, "dump");
      return BINARY_MARK;
    },
    find: (...args) => search(args, "find"),
    format: (...args) => {
      const text = format(args);
      meter.charge(text.length);
      return text;
    },
    gfind: () => {
      throw failure("'string.gfind' was renamed to 'string.gmatch'");
    },
    gmatch,
    gsub,
    len: (...args) => stringAt(args, 0, "len").length,
    lower: withCase("lower"),
    match: (...args) => search(args, "match"),
    rep,
    reverse,
    sub,
    upper: withCase("upper"),
  });
}

const textOf = (value: LuaValue): string => (typeof value === "number" ? numberText(value) : (value as string)); // captures are nothing else

/** `%1` and the like replaced, any other character behind `%` as it is. */
function expanded(template: string, captureOf: (digit: number) => string): string {
  let text = "";
  for (let at = 0; at < template.length; at++) {
    if (template[at] !== "%") {
      text += template[at];
      continue;
    }
    const next = template[++at] ?? "\0";
    text += /[0-9]/.test(next) ? captureOf(Number(next)) : next;
  }
  return text;
}

/** An index from the end, where it is negative, as one from the start. */
const position = (at: number, length: number): number => (at >= 0 ? at : Math.max(0, length + at + 1));

function char(...args: LuaValue[]): LuaResult {
  let text = "";
  for (let at = 0; at < args.length; at++) {
    const code = integerAt(args, at, "char");
    if (code < 0 || code > 255) throw badArgument(at, "char", "invalid value");
    text += String.fromCharCode(code);
  }
  return text;
}

function byte(...args: LuaValue[]): LuaResult {
  const text = stringAt(args, 0, "byte");
  const from = position(integerAt(args, 1, "byte", 1), text.length);
  const to = Math.min(text.length, position(integerAt(args, 2, "byte", from), text.length));
  if (from === to) return from >= 1 ? text.charCodeAt(from - 1) : NOTHING;
  const values: number[] = [];
  if (to - Math.max(1, from) >= RESULTS_MAX) throw failure("string slice too long");
  for (let at = Math.max(1, from); at <= to; at++) values.push(text.charCodeAt(at - 1));
  return values;
}

function sub(...args: LuaValue[]): LuaResult {
  const text = stringAt(args, 0, "sub");
  const from = position(integerAt(args, 1, "sub"), text.length);
  const to = position(integerAt(args, 2, "sub", -1), text.length);
  return text.slice(Math.max(0, from - 1), Math.max(0, to));
}
