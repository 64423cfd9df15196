import type { LuaTable } from "./table.ts";

/**
 * Values of Lua in JavaScript: nil is undefined, strings are latin-1 (one character for one byte), functions are functions. Nothing else that
 * JavaScript has is ever a value, so that a script reaches nothing of it: whatever is looked up is looked up in a `LuaTable`.
 */
export type LuaValue = undefined | boolean | number | string | LuaTable | LuaFunction | Coroutine | LightUserdata;
/** Arguments that are not given are undefined, and not counted. */
export type LuaFunction = (...args: LuaValue[]) => LuaResult;
/** One value, or an array of any number of them, which nobody may change. */
export type LuaResult = LuaValue | readonly LuaValue[];

/** What runs step by step, as the functions of a chunk that uses coroutines do. */
export type LuaSteps = Generator<readonly LuaValue[], LuaResult, readonly LuaValue[]>;

export class Coroutine {
  status: "suspended" | "running" | "normal" | "dead" = "suspended";
  readonly body: LuaFunction;
  steps: LuaSteps | undefined;

  constructor(body: LuaFunction) {
    this.body = body;
  }
}

/** A value with nothing but its identity, such as `cjson.null`. */
export class LightUserdata {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

export const isFunction = (value: LuaValue): value is LuaFunction => typeof value === "function";

/** No values at all. */
export const NOTHING: readonly LuaValue[] = Object.freeze([]);

const isSeveral = (result: LuaResult): result is readonly LuaValue[] => Array.isArray(result);

export const first = (result: LuaResult): LuaValue => (isSeveral(result) ? result[0] : result);

export const valuesOf = (result: LuaResult): readonly LuaValue[] => (isSeveral(result) ? result : [result]);

export const valueAt = (result: LuaResult, index: number): LuaValue =>
  isSeveral(result) ? result[index] : index === 0 ? result : undefined;

export const isTrue = (value: LuaValue): boolean => value !== undefined && value !== false;

export function typeOf(value: LuaValue): string {
  if (value === undefined) return "nil";
  if (typeof value !== "object") return typeof value;
  return value instanceof Coroutine ? "thread" : value instanceof LightUserdata ? "userdata" : "table";
}

/** As C's `%.14g` writes it, which is what Lua makes of a number. */
export function numberText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e14) return Object.is(value, -0) ? "-0" : String(value);
  return generalText(value, 14);
}

/** C's `%.{precision}g`, without flags. */
export function generalText(value: number, precision: number, keepZeros = false): string {
  if (Number.isNaN(value)) return "-nan"; // what 0/0 is on x86
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) {
    const zero = keepZeros ? (0).toPrecision(precision) : "0";
    return Object.is(value, -0) ? `-${zero}` : zero;
  }
  const digits = exponentialText(value, Math.max(precision, 1) - 1);
  const at = digits.indexOf("e");
  const exponent = Number(digits.slice(at + 1));
  if (exponent < -4 || exponent >= Math.max(precision, 1)) {
    const mantissa = keepZeros ? digits.slice(0, at) : withoutZeros(digits.slice(0, at));
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const text = fixedText(value, Math.max(0, precision - 1 - exponent));
  return keepZeros ? text : withoutZeros(text);
}

/** `toExponential`, but what lies exactly between two goes to the even one, as in C. */
export function exponentialText(value: number, decimals: number): string {
  const [digits = "", exponent = ""] = value.toExponential().split("e");
  if (!isBetween(digits, decimals) || !/^0*$/.test(fractionOf(value.toExponential(EXACT_DIGITS)).slice(decimals + 1)))
    return value.toExponential(decimals);
  return isEven(digits.at(-2)) || (decimals === 0 && isEven(digits.at(-3)))
    ? `${digits.slice(0, decimals === 0 ? -2 : -1)}e${exponent}`
    : value.toExponential(decimals);
}

/** `toFixed` in the same way, and of any size. */
export function fixedText(value: number, decimals: number): string {
  if (Math.abs(value) >= 1e21) return BigInt(value).toString() + (decimals > 0 ? `.${"0".repeat(decimals)}` : "");
  if (
    decimals >= EXACT_DIGITS ||
    !isBetween(String(value), decimals) ||
    !/^0*$/.test(fractionOf(value.toFixed(EXACT_DIGITS)).slice(decimals + 1))
  )
    return value.toFixed(decimals);
  const text = value.toFixed(decimals + 1);
  return isEven(text.at(-2) === "." ? text.at(-3) : text.at(-2)) ? text.slice(0, decimals === 0 ? -2 : -1) : value.toFixed(decimals);
}

/** As many as JavaScript writes exactly. */
const EXACT_DIGITS = 100;
const fractionOf = (text: string): string => /\.(\d*)/.exec(text)?.[1] ?? "";
/** Whether the shortest form of a number ends in a 5 behind its last digit but one. */
const isBetween = (text: string, decimals: number): boolean => text.endsWith("5") && fractionOf(text).length === decimals + 1;
const isEven = (digit: string | undefined): boolean => Number(digit) % 2 === 0;

const withoutZeros = (digits: string): string => (digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits);

const NUMBER = /^[ \f\n\r\t\v]*([+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?))[ \f\n\r\t\v]*$/;
const HEXADECIMAL = /^[ \f\n\r\t\v]*([+-]?)0[xX]([0-9a-fA-F]*)(?:\.([0-9a-fA-F]*))?(?:[pP]([+-]?\d+))?[ \f\n\r\t\v]*$/;
const SPECIAL = /^[ \f\n\r\t\v]*([+-]?)(inf|infinity|nan)[ \f\n\r\t\v]*$/i;

/** A number as C's `strtod` reads it, with spaces around it; undefined where the text is none. */
export function numberOf(text: string): number | undefined {
  const decimal = NUMBER.exec(text);
  if (decimal !== null) return Number(decimal[1]);
  const hexadecimal = HEXADECIMAL.exec(text);
  if (hexadecimal !== null) {
    const [, sign, whole = "", fraction = "", exponent = "0"] = hexadecimal;
    if (whole === "" && fraction === "") return undefined;
    let value = 0;
    for (const digit of whole + fraction) value = value * 16 + Number.parseInt(digit, 16);
    return (sign === "-" ? -1 : 1) * value * 2 ** (Number(exponent) - 4 * fraction.length);
  }
  const special = SPECIAL.exec(text);
  if (special === null) return undefined;
  return special[2]!.toLowerCase() === "nan" ? Number.NaN : special[1] === "-" ? -Infinity : Infinity;
}

/** A number, or a string that reads as one. */
export const toNumber = (value: LuaValue): number | undefined =>
  typeof value === "number" ? value : typeof value === "string" ? numberOf(value) : undefined;

/** What tells tables, functions and coroutines apart as text: no addresses, but as unlike any others. */
export function createAddresses(): (value: object) => string {
  const addresses = new WeakMap<object, string>();
  let last = 0x55_5555_0000;
  return (value) => {
    let address = addresses.get(value);
    if (address === undefined) {
      last += 64;
      address = `0x${last.toString(16)}`;
      addresses.set(value, address);
    }
    return address;
  };
}
