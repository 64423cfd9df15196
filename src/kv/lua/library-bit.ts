import { badArgument, library } from "./arguments.ts";
import type { LuaTable } from "./table.ts";
import { toNumber, typeOf, type LuaFunction, type LuaValue } from "./value.ts";

/** Adding it leaves a number's lowest 32 bits, rounded, in the lowest bits of the double. */
const ROUNDING = 6755399441055744;

/** Bitwise operations on 32 bits (https://bitop.luajit.org/api.html). */
export function createBitLibrary(): LuaTable {
  return library({
    tobit: (...args) => bitsAt(args, 0, "tobit"),
    bnot: (...args) => ~bitsAt(args, 0, "bnot"),
    band: fold("band", (a, b) => a & b),
    bor: fold("bor", (a, b) => a | b),
    bxor: fold("bxor", (a, b) => a ^ b),
    lshift: shift("lshift", (bits, count) => bits << count),
    rshift: shift("rshift", (bits, count) => bits >>> count),
    arshift: shift("arshift", (bits, count) => bits >> count),
    rol: shift("rol", (bits, count) => (bits << count) | (bits >>> ((32 - count) & 31))),
    ror: shift("ror", (bits, count) => (bits >>> count) | (bits << ((32 - count) & 31))),
    bswap(...args) {
      const bits = bitsAt(args, 0, "bswap");
      return (bits >>> 24) | ((bits >> 8) & 0xff00) | ((bits & 0xff00) << 8) | (bits << 24);
    },
    tohex(...args) {
      const bits = bitsAt(args, 0, "tohex") >>> 0;
      const digits = args.length < 2 ? 8 : bitsAt(args, 1, "tohex");
      const count = Math.min(8, Math.abs(digits));
      const text = count === 0 ? "" : bits.toString(16).padStart(8, "0").slice(-count);
      return digits < 0 ? text.toUpperCase() : text;
    },
  });
}

function bitsAt(args: readonly LuaValue[], index: number, name: string): number {
  const number = toNumber(args[index]);
  if (number === undefined)
    throw badArgument(index, name, `number expected, got ${index < args.length ? typeOf(args[index]) : "no value"}`);
  return (number + ROUNDING - ROUNDING) | 0;
}

const shift = (name: string, compute: (bits: number, count: number) => number): LuaFunction => {
  return (...args) => compute(bitsAt(args, 0, name), bitsAt(args, 1, name) & 31) | 0;
};

const fold = (name: string, compute: (a: number, b: number) => number): LuaFunction => {
  return (...args) => {
    let bits = bitsAt(args, 0, name);
    for (let index = 1; index < args.length; index++) bits = compute(bits, bitsAt(args, index, name));
    return bits;
  };
};
