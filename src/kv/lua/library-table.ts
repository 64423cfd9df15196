import { functionAt, integerAt, library, numberAt, stringAt, tableAt } from "./arguments.ts";
import { STRING_BYTES_MAX } from "./meter.ts";
import { failure, luaCall, type Operations } from "./operations.ts";
import { READONLY, type LuaTable } from "./table.ts";
import { NOTHING, first, isTrue, numberText, typeOf, type LuaFunction, type LuaResult, type LuaValue } from "./value.ts";

/** https://www.lua.org/manual/5.1/manual.html#5.5, with what 5.0 had and 5.1 still has. */
export function createTableLibrary({ meter, less }: Operations): LuaTable {
  function concat(...args: LuaValue[]): LuaResult {
    const table = tableAt(args, 0, "concat");
    const separator = args[1] === undefined ? "" : stringAt(args, 1, "concat");
    const from = integerAt(args, 2, "concat", 1);
    const to = integerAt(args, 3, "concat", table.length);
    let text = "";
    for (let index = from; index <= to; index++) {
      const value = table.at(index);
      if (typeof value === "string") text += value;
      else if (typeof value === "number") text += numberText(value);
      else throw failure(`invalid value (${typeOf(value)}) at index ${index} in table for 'concat'`);
      if (index < to) text += separator;
      if (text.length > STRING_BYTES_MAX) throw failure("not enough memory", 0);
      if (--meter.left < 0) meter.tick();
    }
    meter.charge(text.length);
    return text;
  }

  function insert(...args: LuaValue[]): LuaResult {
    const table = tableAt(args, 0, "insert");
    const end = table.length + 1;
    if (args.length === 2) {
      table.push(args[1]);
      return NOTHING;
    }
    if (args.length !== 3) throw failure("wrong number of arguments to 'insert'");
    const index = integerAt(args, 1, "insert");
    if (index >= 1 && index < end) {
      meter.charge((end - index) * 8);
      table.insert(index, args[2]);
    } else table.set(index, args[2]);
    return NOTHING;
  }

  function remove(...args: LuaValue[]): LuaResult {
    const table = tableAt(args, 0, "remove");
    const index = integerAt(args, 1, "remove", table.length);
    if (index < 1 || index > table.length) return NOTHING;
    meter.charge((table.length - index) * 8);
    return table.remove(index);
  }

  function sort(...args: LuaValue[]): LuaResult {
    const table = tableAt(args, 0, "sort");
    const before = args[1] === undefined ? undefined : functionAt(args, 1, "sort");
    const values = [...table.values];
    if (table.isReadonly) throw failure(READONLY, 0);
    if (before === undefined && !values.includes(undefined)) sortPlain(values);
    else
      sortBy(
        values,
        before === undefined ? (a, b) => isTrue(first(luaCall(compare, [a, b]))) : (a, b) => isTrue(first(luaCall(before, [a, b]))),
      );
    table.replaceValues(values);
    return NOTHING;
  }

  const compare: LuaFunction = (a, b) => less(a, b);

  function sortPlain(values: LuaValue[]): void {
    meter.charge(values.length * 64);
    if (values.every((value) => typeof value === "string")) values.sort(); // by their characters, which are bytes
    else if (values.every((value) => typeof value === "number")) values.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
    else sortBy(values, (a, b) => isTrue(first(luaCall(compare, [a, b]))));
  }

  function sortBy(values: LuaValue[], before: (a: LuaValue, b: LuaValue) => boolean): void {
    // Undefined would be sorted to the end without a question.
    const boxed = values.map((value) => ({ value }));
    boxed.sort((a, b) => {
      if (--meter.left < 0) meter.tick();
      return before(a.value, b.value) ? -1 : 0; // whatever is not before is asked for the other way round, or equal
    });
    for (const [index, { value }] of boxed.entries()) values[index] = value;
  }

  return library({
    concat,
    foreach: (...args) => foreach(tableAt(args, 0, "foreach"), functionAt(args, 1, "foreach")),
    foreachi,
    getn: (...args) => tableAt(args, 0, "getn").length,
    insert,
    maxn,
    remove,
    setn(...args) {
      tableAt(args, 0, "setn");
      numberAt(args, 1, "setn");
      throw failure("'setn' is obsolete");
    },
    sort,
  });
}

function foreach(table: LuaTable, visit: LuaFunction): LuaResult {
  for (let key: LuaValue; ;) {
    const position = table.positionAfter(key);
    if (position === undefined || position < 0) return NOTHING;
    key = table.keyAt(position);
    const result = first(luaCall(visit, [key, table.valueAt(position)]));
    if (result !== undefined) return result;
  }
}

function foreachi(...args: LuaValue[]): LuaResult {
  const table = tableAt(args, 0, "foreachi");
  const visit = functionAt(args, 1, "foreachi");
  const { length } = table;
  for (let index = 1; index <= length; index++) {
    const result = first(luaCall(visit, [index, table.at(index)]));
    if (result !== undefined) return result;
  }
  return NOTHING;
}

function maxn(...args: LuaValue[]): LuaResult {
  const table = tableAt(args, 0, "maxn");
  let largest = 0;
  for (let key: LuaValue; ;) {
    const position = table.positionAfter(key);
    if (position === undefined || position < 0) return largest;
    key = table.keyAt(position);
    if (typeof key === "number" && key > largest) largest = key;
  }
}
