import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { LuaEngine } from "./engine.ts";
import { LuaError, luaErrorOf } from "./error.ts";
import { LuaTable } from "./table.ts";
import { first, isFunction, type LuaResult, type LuaValue } from "./value.ts";

const RUNS = { numRuns: 300 };
const WORDS =
  "and break do else elseif end false for function if in local nil not or repeat return then true until while x y f t 1 2.5 0x1f 'a' \"b\" [[c]] + - * / % ^ # == ~= <= >= < > = ( ) { } [ ] ; : , . .. ...".split(
    " ",
  );
const bytes = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)), maxLength: 80 });

/** A function of a library, called with these. */
function calling(engine: LuaEngine, library: string, name: string): (...args: LuaValue[]) => LuaResult {
  const found = (engine.globals.named(library) as LuaTable).named(name); // one of the engine's own
  assert.ok(isFunction(found));
  return found;
}

test("whatever is compiled either is Lua or fails as Lua does", () => {
  const engine = new LuaEngine();
  const compiles = (source: string): void => {
    try {
      engine.compile(source, "@fuzz");
    } catch (thrown) {
      assert.ok(thrown instanceof LuaError, `${JSON.stringify(source)}: ${String(thrown)}`);
      assert.match(thrown.message, /^fuzz:\d+: /);
    }
  };
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...WORDS), { maxLength: 40 }), (words) => compiles(words.join(" "))),
    RUNS,
  );
  fc.assert(fc.property(bytes, compiles), RUNS);
});

test("what is deeper than the stack fails, and nothing else does", () => {
  const engine = new LuaEngine();
  for (const source of [
    `return ${"1+".repeat(200_000)}1`,
    `return ${"a.".repeat(100_000)}a`,
    `return ${"(".repeat(100_000)}`,
    `return ${"{".repeat(100_000)}`,
    `return ${"not ".repeat(100_000)}1`,
    `return ${"a..".repeat(100_000)}a`,
    "if x then ".repeat(100_000),
  ])
    assert.throws(() => engine.compile(source, "@deep"), LuaError);
});

test("cjson, cmsgpack and struct take any bytes, and fail as Lua does", () => {
  const engine = new LuaEngine();
  const unharmed = (work: () => void): void => {
    try {
      work();
    } catch (thrown) {
      luaErrorOf(thrown); // throws on what is none
    }
  };
  const decode = calling(engine, "cjson", "decode");
  const unpack = calling(engine, "cmsgpack", "unpack");
  const structs = ["pack", "unpack", "size"].map((name) => calling(engine, "struct", name));
  const json = fc
    .array(fc.constantFrom(...'[]{},:"\\u0e-19.tfn a'.split(""), "true", "null", "\\ud83d"), { maxLength: 30 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(fc.oneof(bytes, json), (text) => unharmed(() => decode(text))),
    RUNS,
  );
  fc.assert(
    fc.property(bytes, (text) => unharmed(() => unpack(text))),
    RUNS,
  );
  const layout = fc.string({ unit: fc.constantFrom(...Array.from("<>!=bBhHlLTfdxsciI0123456789 ")), maxLength: 12 });
  fc.assert(
    fc.property(layout, bytes, fc.double(), (format, data, number) => {
      for (const each of structs) unharmed(() => each(format, data, number, number, data));
    }),
    RUNS,
  );
  for (const nested of ["[", "\x91", '{"a":'].map((open) => open.repeat(200_000))) {
    assert.throws(() => decode(nested), LuaError);
    unharmed(() => unpack(nested));
  }
});

test("what cjson and cmsgpack have written they read again", () => {
  const engine = new LuaEngine();
  const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => Number(value.toPrecision(14)) + 0);
  const { tree } = fc.letrec<{ tree: LuaValue; leaf: LuaValue }>((tie) => ({
    leaf: fc.oneof(number, fc.integer(), fc.boolean(), bytes),
    tree: fc.oneof(
      { depthSize: "small" },
      tie("leaf"),
      fc.array(tie("tree"), { minLength: 1, maxLength: 5 }).map((values) => new LuaTable(values)),
      fc
        .dictionary(fc.string({ unit: fc.constantFrom("a", "b", "c", "\xe9"), minLength: 1, maxLength: 3 }), tie("tree"), {
          minKeys: 1,
          maxKeys: 5,
        })
        .map((entries) => {
          const table = new LuaTable();
          for (const [key, value] of Object.entries(entries)) table.setNamed(key, value);
          return table;
        }),
    ),
  }));
  for (const [library, write, read] of [
    ["cjson", "encode", "decode"],
    ["cmsgpack", "pack", "unpack"],
  ] as const) {
    const [encode, decode] = [calling(engine, library, write), calling(engine, library, read)];
    fc.assert(
      fc.property(tree, (value) => assert.deepEqual(plain(first(decode(first(encode(value))))), plain(value))),
      RUNS,
    );
  }
});

function plain(value: LuaValue): unknown {
  if (!(value instanceof LuaTable)) return Object.is(value, -0) ? 0 : value;
  const entries: [unknown, unknown][] = [];
  for (let position = value.positionAfter(undefined)!; position >= 0; position = value.positionAfter(value.keyAt(position))!)
    entries.push([value.keyAt(position), plain(value.valueAt(position))]);
  return entries;
}

test("a table is what a map of JavaScript is, in any order of assignments", () => {
  const key = fc.oneof(fc.integer({ min: -2, max: 12 }), fc.constantFrom("a", "b", "__proto__", "constructor", true, 1.5));
  const change = fc.tuple(key, fc.oneof(fc.constant(undefined), fc.integer()));
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const table = new LuaTable();
      const model = new Map<LuaValue, LuaValue>();
      for (const [at, value] of changes) {
        table.set(at, value);
        if (value === undefined) model.delete(at);
        else model.set(at, value);
        const { length } = table;
        assert.ok((length === 0 || model.has(length)) && !model.has(length + 1));
      }
      const found = new Map<LuaValue, LuaValue>();
      for (let position = table.positionAfter(undefined)!; position >= 0; position = table.positionAfter(table.keyAt(position))!)
        found.set(table.keyAt(position), table.valueAt(position));
      assert.deepEqual(new Map([...found].toSorted(byText)), new Map([...model].toSorted(byText)));
    }),
    { numRuns: 500 },
  );
});

const byText = ([a]: readonly [LuaValue, LuaValue], [b]: readonly [LuaValue, LuaValue]): number => (shown(a) < shown(b) ? -1 : 1);
const shown = (key: LuaValue): string => `${typeof key} ${typeof key === "string" ? key : JSON.stringify(key)}`;
