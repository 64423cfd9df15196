import { splitInline } from "../../wire/resp/inline.ts";
import { CommandError } from "../command-error.ts";
import { library } from "../lua/arguments.ts";
import { ScriptStopped, luaErrorOf } from "../lua/error.ts";
import { LuaTable } from "../lua/table.ts";
import { NOTHING, isFunction, type LuaFunction, type LuaResult, type LuaValue } from "../lua/value.ts";
import type { Store } from "../store.ts";
import { errorOf } from "./lua-to-reply.ts";
import { createLogLibrary, createRedisLibrary, protect, refuseMissing, scriptError, type LogLevel } from "./redis-library.ts";
import { ScriptHost, stopped } from "./script-host.ts";
import { SCRIPT_FLAGS, type Callable, type ScriptFlag } from "./script-run.ts";
import { messageOf } from "./scripts.ts";

/** Loading a library only registers functions: it takes no time. */
const LOAD_MS_MAX = 500;
const NAME = /^[A-Za-z0-9_]+$/;
const BAD_NAME = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

export interface LibraryFunction extends Callable {
  readonly flags: ReadonlySet<ScriptFlag>;
  readonly description: string | undefined;
  readonly body: LuaFunction;
}

export interface FunctionLibrary {
  readonly name: string;
  /** The whole text, its first line as well. */
  readonly code: string;
  /** By their names in lower case. */
  readonly functions: ReadonlyMap<string, LibraryFunction>;
}

/** A set of libraries whose functions all have different names. */
export class Libraries {
  readonly #libraries = new Map<string, FunctionLibrary>();
  readonly #functions = new Map<string, LibraryFunction>();

  get all(): Iterable<FunctionLibrary> {
    return this.#libraries.values();
  }

  get count(): number {
    return this.#libraries.size;
  }

  get functionCount(): number {
    return this.#functions.size;
  }

  get(name: string): FunctionLibrary | undefined {
    return this.#libraries.get(name);
  }

  function(name: string): LibraryFunction | undefined {
    return this.#functions.get(name.toLowerCase());
  }

  /** Takes the place of one of the same name. Throws a `CommandError` where another library has a function of the same name; nothing is changed then. */
  put(added: FunctionLibrary): void {
    const replaced = this.#libraries.get(added.name);
    for (const [key, { name }] of added.functions)
      if (this.#functions.has(key) && replaced?.functions.has(key) !== true) throw new CommandError(`ERR Function ${name} already exists`);
    this.delete(added.name);
    this.#libraries.set(added.name, added);
    for (const [key, each] of added.functions) this.#functions.set(key, each);
  }

  delete(name: string): boolean {
    for (const key of this.#libraries.get(name)?.functions.keys() ?? []) this.#functions.delete(key);
    return this.#libraries.delete(name);
  }

  clear(): void {
    this.#libraries.clear();
    this.#functions.clear();
  }

  copy(): Libraries {
    const copy = new Libraries();
    for (const each of this.all) copy.put(each);
    return copy;
  }
}

/** Compiles libraries, with globals that functions share and others while a library is loaded. */
export class LibraryLoader {
  readonly host: ScriptHost;
  readonly #store: Store;
  /** What functions see: nothing of its own, the globals behind it. */
  readonly #environment = new LuaTable();
  readonly #metatable: LuaTable;
  readonly #globals: LuaTable;
  readonly #whileLoading: LuaTable;
  #loading: Map<string, LibraryFunction> | undefined;

  constructor(store: Store, onLog: (level: LogLevel, message: string) => void) {
    this.#store = store;
    this.host = new ScriptHost(store, onLog);
    const { globals, operations } = this.host.engine;
    const redis = createRedisLibrary(this.host);
    globals.setNamed("redis", redis);
    globals.setNamed("server", redis);
    refuseMissing(globals);
    protect(globals);
    protect(operations.strings);
    this.#globals = globals;
    const loader = library({ ...createLogLibrary(this.host), register_function: (...args) => this.#register(args) });
    refuseMissing(loader);
    this.#whileLoading = library({ redis: loader, server: loader });
    refuseMissing(this.#whileLoading);
    protect(this.#whileLoading);
    this.#metatable = library({ __index: globals });
    this.#environment.metatable = this.#metatable;
    protect(this.#environment);
  }

  /** A library from its text: `#!lua name=…`, then Lua that registers functions. Throws a `CommandError`. */
  load(code: string): FunctionLibrary {
    const { name, body } = metadataOf(code);
    const functions = new Map<string, LibraryFunction>();
    this.#loading = functions;
    this.#see(this.#whileLoading);
    const { meter } = this.host.engine;
    const startedMs = this.#store.clock.nowMs();
    meter.begin(() => {
      if (this.#store.clock.nowMs() - startedMs > LOAD_MS_MAX) throw stopped("FUNCTION LOAD timeout");
    });
    try {
      this.#run(body);
    } finally {
      meter.end();
      this.#see(this.#globals);
      this.#loading = undefined;
    }
    if (functions.size === 0) throw new CommandError("ERR No functions registered");
    return { name, code, functions };
  }

  #see(globals: LuaTable): void {
    this.#metatable.isReadonly = false;
    this.#metatable.setNamed("__index", globals);
    this.#metatable.isReadonly = true;
  }

  #run(body: string): void {
    let chunk: LuaFunction;
    try {
      chunk = this.host.engine.compile(body, "@user_function", this.#environment);
    } catch (thrown) {
      throw new CommandError(`ERR Error compiling function: ${messageOf(luaErrorOf(thrown))}`);
    }
    try {
      chunk();
    } catch (thrown) {
      const error = thrown instanceof ScriptStopped ? thrown : luaErrorOf(thrown);
      const message = error.value instanceof LuaTable ? errorOf(error.value)?.message : `ERR ${messageOf(error)}`;
      throw new CommandError(`ERR Error registering functions: ${message ?? "ERR unknown error"}`);
    }
  }

  // --- redis.register_function ------------------------------------------------------------------------------------------------------

  #register(args: readonly LuaValue[]): LuaResult {
    const functions = this.#loading;
    if (args.length < 1 || args.length > 2) throw scriptError("wrong number of arguments to redis.register_function");
    const found = args.length === 1 ? named(args[0]) : positional(args);
    if (functions === undefined) throw scriptError("redis.register_function can only be called on FUNCTION LOAD command");
    if (!NAME.test(found.name)) throw scriptError(BAD_NAME);
    if (functions.has(found.name.toLowerCase())) throw scriptError("Function already exists in the library");
    functions.set(found.name.toLowerCase(), found);
    return NOTHING;
  }
}

function positional([name, body]: readonly LuaValue[]): LibraryFunction {
  if (typeof name !== "string" && typeof name !== "number") throw scriptError("first argument to redis.register_function must be a string");
  if (!isFunction(body)) throw scriptError("second argument to redis.register_function must be a function");
  return { name: String(name), kind: "function", flags: new Set(), description: undefined, body };
}

function named(given: LuaValue): LibraryFunction {
  if (!(given instanceof LuaTable))
    throw scriptError(
      "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
    );
  let name: string | undefined;
  let description: string | undefined;
  let body: LuaFunction | undefined;
  let flags: ReadonlySet<ScriptFlag> = new Set();
  for (let position = given.positionAfter(undefined)!; position >= 0;) {
    const key = given.keyAt(position);
    const value = given.valueAt(position);
    if (typeof key !== "string") throw scriptError("named argument key given to redis.register_function is not a string");
    switch (key.toLowerCase()) {
      case "function_name":
        name = textOf(value, "function_name argument given to redis.register_function must be a string");
        break;
      case "description":
        description = textOf(value, "description argument given to redis.register_function must be a string");
        break;
      case "callback":
        if (!isFunction(value)) throw scriptError("callback argument given to redis.register_function must be a function");
        body = value;
        break;
      case "flags":
        flags = flagsOf(value);
        break;
      default:
        throw scriptError("unknown argument given to redis.register_function");
    }
    position = given.positionAfter(key)!; // it is there
  }
  if (name === undefined) throw scriptError("redis.register_function must get a function name argument");
  if (body === undefined) throw scriptError("redis.register_function must get a callback argument");
  return { name, kind: "function", flags, description, body };
}

function textOf(value: LuaValue, problem: string): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return String(value);
  throw scriptError(problem);
}

function flagsOf(value: LuaValue): ReadonlySet<ScriptFlag> {
  if (!(value instanceof LuaTable))
    throw scriptError("flags argument to redis.register_function must be a table representing function flags");
  const flags = new Set<ScriptFlag>();
  for (const given of value.values) {
    const flag = SCRIPT_FLAGS.find((known) => known === given);
    if (flag === undefined) throw scriptError("unknown flag given");
    flags.add(flag);
  }
  return flags;
}

/** What the first line says, and the rest, whose lines keep their numbers. */
function metadataOf(code: string): { readonly name: string; readonly body: string } {
  if (!code.startsWith("#!")) throw new CommandError("ERR Missing library metadata");
  const end = code.indexOf("\n");
  const [engine, ...parts] = end < 0 ? [] : (splitInline(code.slice(0, end)) ?? []);
  if (engine === undefined) throw new CommandError("ERR Invalid library metadata");
  let name: string | undefined;
  for (const part of parts) {
    if (!part.toLowerCase().startsWith("name=")) throw new CommandError(`ERR Invalid metadata value given: ${part}`);
    if (name !== undefined) throw new CommandError("ERR Invalid metadata value, name argument was given multiple times");
    name = part.slice(5);
  }
  if (name === undefined) throw new CommandError("ERR Library name was not given");
  if (!NAME.test(name)) throw new CommandError(`ERR ${BAD_NAME}`);
  if (engine.slice(2).toLowerCase() !== "lua") throw new CommandError(`ERR Engine '${engine.slice(2)}' not found`);
  return { name, body: code.slice(end) };
}
