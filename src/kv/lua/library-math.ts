import { badArgument, library, numberAt } from "./arguments.ts";
import { failure } from "./operations.ts";
import type { LuaTable } from "./table.ts";
import { NOTHING, type LuaFunction, type LuaResult, type LuaValue } from "./value.ts";

/** How large numbers are that `random` makes of. */
const RANDOM_MAX = 2 ** 31 - 1;
const MULTIPLIER = 0x5_deec_e66dn;
const FIRST = 0x1234_abcd_330en;
const LOW = 0x330en;

/** The generator of C's `lrand48`, which Redis uses on all machines: the same seed, the same numbers. */
function createRandom(): { readonly next: () => number; readonly seed: (value: number) => void } {
  let state = FIRST;
  return {
    next() {
      state = BigInt.asUintN(48, state * MULTIPLIER + 0xbn);
      return Number(state >> 17n);
    },
    seed(value) {
      state = (BigInt.asUintN(32, BigInt(value)) << 16n) | LOW;
    },
  };
}

/** https://www.lua.org/manual/5.1/manual.html#5.6 */
export function createMathLibrary(): LuaTable {
  const { next, seed } = createRandom();

  function random(...args: LuaValue[]): LuaResult {
    const part = (next() % RANDOM_MAX) / RANDOM_MAX;
    if (args.length === 0) return part;
    const last = int32At(args, args.length - 1, "random");
    if (args.length === 1) {
      if (last < 1) throw badArgument(0, "random", "interval is empty");
      return Math.floor(part * last) + 1;
    }
    if (args.length !== 2) throw failure("wrong number of arguments");
    const from = int32At(args, 0, "random");
    if (from > last) throw badArgument(1, "random", "interval is empty");
    return Math.floor(part * (last - from + 1)) + from;
  }

  return library({
    ...Object.fromEntries([
      ...(
        [
          "abs",
          "acos",
          "asin",
          "atan",
          "ceil",
          "cos",
          "cosh",
          "exp",
          "floor",
          "log",
          "log10",
          "sin",
          "sinh",
          "sqrt",
          "tan",
          "tanh",
        ] as const
      ).map((name) => unary(name, Math[name])),
      unary("deg", (x) => (x / Math.PI) * 180),
      unary("rad", (x) => (x / 180) * Math.PI),
      unary("modf", (x) => [Math.trunc(x), Number.isFinite(x) ? x - Math.trunc(x) : Number.isNaN(x) ? x : 0]),
      unary("frexp", split),
      binary("atan2", Math.atan2),
      binary("fmod", (x, y) => x % y),
      binary("mod", (x, y) => x % y),
      binary("pow", (x, y) => (x === 1 ? 1 : x ** y)),
      binary("ldexp", (x, exponent) => x * 2 ** Math.trunc(exponent)),
    ]),
    huge: Infinity,
    max: extreme("max"),
    min: extreme("min"),
    pi: Math.PI,
    random,
    randomseed(...args) {
      seed(int32At(args, 0, "randomseed"));
      return NOTHING;
    },
  });
}

function extreme(name: "max" | "min"): LuaFunction {
  return (...args) => {
    let found = numberAt(args, 0, name);
    for (let index = 1; index < args.length; index++) {
      const value = numberAt(args, index, name);
      if (name === "max" ? value > found : value < found) found = value;
    }
    return found;
  };
}

const unary = (name: string, compute: (x: number) => LuaResult): [string, LuaFunction] => [
  name,
  (...args) => compute(numberAt(args, 0, name)),
];

const binary = (name: string, compute: (x: number, y: number) => LuaResult): [string, LuaFunction] => [
  name,
  (...args) => compute(numberAt(args, 0, name), numberAt(args, 1, name)),
];

/** As C converts a double to an `int`. */
function int32At(args: readonly LuaValue[], index: number, name: string): number {
  const value = Math.trunc(numberAt(args, index, name));
  return value >= -(2 ** 31) && value < 2 ** 31 ? value : -(2 ** 31);
}

/** Mantissa from 0.5 to 1 and exponent of 2. */
function split(value: number): LuaResult {
  if (value === 0 || !Number.isFinite(value)) return [value, 0];
  let exponent = Math.max(-1023, Math.floor(Math.log2(Math.abs(value))) + 1);
  let mantissa = value * 2 ** -exponent;
  while (Math.abs(mantissa) < 0.5) {
    mantissa *= 2;
    exponent--;
  }
  while (Math.abs(mantissa) >= 1) {
    mantissa /= 2;
    exponent++;
  }
  return [mantissa, exponent];
}
