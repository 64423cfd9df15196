import { LuaError } from "./error.ts";
import { LuaTable } from "./table.ts";
import { isFunction, numberText, toNumber, typeOf, type LuaFunction, type LuaValue } from "./value.ts";

/** Arguments of a library's function, from 0 on; messages count from 1. */
export type Arguments = readonly LuaValue[];

export const badArgument = (index: number, name: string, problem: string): LuaError =>
  new LuaError(`bad argument #${index + 1} to '${name}' (${problem})`, 1);

const expected = (args: Arguments, index: number, name: string, type: string): LuaError =>
  badArgument(index, name, `${type} expected, got ${index < args.length ? typeOf(args[index]) : "no value"}`);

export function tableAt(args: Arguments, index: number, name: string): LuaTable {
  const value = args[index];
  if (value instanceof LuaTable) return value;
  throw expected(args, index, name, "table");
}

export function functionAt(args: Arguments, index: number, name: string): LuaFunction {
  const value = args[index];
  if (isFunction(value)) return value;
  throw expected(args, index, name, "function");
}

/** A string, or a number as one. */
export function stringAt(args: Arguments, index: number, name: string): string {
  const value = args[index];
  if (typeof value === "string") return value;
  if (typeof value === "number") return numberText(value);
  throw expected(args, index, name, "string");
}

export function numberAt(args: Arguments, index: number, name: string): number {
  const value = args[index];
  if (typeof value === "number") return value;
  const number = toNumber(value);
  if (number === undefined) throw expected(args, index, name, "number");
  return number;
}

/** A number without its fraction, or the default where none is given. */
export function integerAt(args: Arguments, index: number, name: string, otherwise?: number): number {
  if (otherwise !== undefined && args[index] === undefined) return otherwise;
  const number = Math.trunc(numberAt(args, index, name));
  return Number.isNaN(number) ? -Infinity : number;
}

export function anyAt(args: Arguments, index: number, name: string): LuaValue {
  if (index >= args.length) throw badArgument(index, name, "value expected");
  return args[index];
}

/** A table of functions. */
export function library(functions: Readonly<Record<string, LuaValue>>): LuaTable {
  const table = new LuaTable();
  for (const [name, value] of Object.entries(functions)) table.setNamed(name, value);
  return table;
}
