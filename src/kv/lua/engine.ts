import { Script } from "node:vm";
import { library } from "./arguments.ts";
import { chunkFile, chunkName } from "./chunk.ts";
import { LuaError } from "./error.ts";
import { generate } from "./generate.ts";
import { createBaseLibrary } from "./library-base.ts";
import { createBitLibrary } from "./library-bit.ts";
import { createCjsonLibrary } from "./library-cjson.ts";
import { createCmsgpackLibrary } from "./library-cmsgpack.ts";
import { createCoroutineLibrary } from "./library-coroutine.ts";
import { createMathLibrary } from "./library-math.ts";
import { createStringLibrary } from "./library-string.ts";
import { createStructLibrary } from "./library-struct.ts";
import { createTableLibrary } from "./library-table.ts";
import { Meter } from "./meter.ts";
import { createOperations, type Operations } from "./operations.ts";
import { parse } from "./parser.ts";
import { LuaTable } from "./table.ts";
import { createAddresses, type LuaFunction, type LuaValue } from "./value.ts";

/** Lua 5.1: its libraries as Redis opens them, and a compiler to JavaScript. */
export class LuaEngine {
  readonly meter = new Meter();
  readonly globals: LuaTable;
  readonly operations: Operations;
  readonly textOf: (value: LuaValue) => string;
  readonly #names: readonly string[];

  constructor() {
    const strings = new LuaTable();
    this.operations = createOperations(this.meter, strings);
    this.#names = Object.keys(this.operations);
    const { globals, textOf } = createBaseLibrary(this.operations, (source, name) => this.compile(source, name), createAddresses());
    this.globals = globals;
    this.textOf = textOf;
    const string = createStringLibrary(this.operations);
    strings.setNamed("__index", string);
    const libraries = {
      bit: createBitLibrary(),
      cjson: createCjsonLibrary(this.meter),
      cmsgpack: createCmsgpackLibrary(this.meter),
      coroutine: createCoroutineLibrary(this.operations),
      math: createMathLibrary(),
      os: library({ clock: () => process.cpuUsage().user / 1e6 }),
      string,
      struct: createStructLibrary(this.meter),
      table: createTableLibrary(this.operations),
    };
    for (const [name, table] of Object.entries(libraries)) globals.setNamed(name, table);
  }

  /**
   * A source as a function. `name` as `chunkName` takes it: `@user_script`. Throws `LuaError` where it is not Lua.
   */
  compile(source: string, name: string, globals = this.globals): LuaFunction {
    const chunk = chunkName(name);
    try {
      const tree = parse(source, chunk);
      const dialect = { steps: source.includes("coroutine") };
      const { code, lines } = generate(tree, dialect, this.#names);
      const make = new Script(code, { filename: chunkFile({ name: chunk, lines }) }).runInThisContext() as (
        operations: Operations,
        globals: LuaTable,
      ) => LuaFunction; // what `generate` writes
      return make(this.operations, globals);
    } catch (thrown) {
      // V8's parser and ours go as deep as the source does.
      if (thrown instanceof RangeError) throw new LuaError(`${chunk}:1: chunk has too many syntax levels`);
      throw thrown;
    }
  }
}
