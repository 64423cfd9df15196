import { createHash } from "node:crypto";
import { CommandError } from "../command-error.ts";
import { luaErrorOf, type LuaError } from "../lua/error.ts";
import { LuaTable } from "../lua/table.ts";
import type { LuaFunction, LuaValue } from "../lua/value.ts";
import type { Store } from "../store.ts";
import { LEGACY, createRedisLibrary, protect, refuseMissing, type LogLevel } from "./redis-library.ts";
import { ScriptHost } from "./script-host.ts";
import { SCRIPT_FLAGS, type Callable, type ScriptFlag } from "./script-run.ts";

/** A script that EVAL has run, or SCRIPT LOAD has brought. */
export interface Script extends Callable {
  readonly body: LuaFunction;
}

/** Scripts by their digests, and the globals that they share. */
export class Scripts {
  readonly host: ScriptHost;
  readonly #globals: LuaTable;
  readonly #byDigest = new Map<string, Script>();
  /** By their text: hashing that twice is spared. */
  readonly #byText = new Map<string, Script>();
  #bytes = 0;

  constructor(store: Store, onLog: (level: LogLevel, message: string) => void) {
    this.host = new ScriptHost(store, onLog);
    const { globals } = this.host.engine;
    const redis = createRedisLibrary(this.host);
    for (const [name, value] of Object.entries(LEGACY)) redis.setNamed(name, value);
    globals.setNamed("redis", redis);
    globals.setNamed("server", redis);
    refuseMissing(globals);
    protect(globals);
    protect(this.host.engine.operations.strings);
    this.#globals = globals;
  }

  get count(): number {
    return this.#byDigest.size;
  }

  /** Of the scripts' texts. */
  get bytes(): number {
    return this.#bytes;
  }

  get(digest: string): Script | undefined {
    return this.#byDigest.get(digest.toLowerCase());
  }

  /** The script of a text; undefined where it does not compile. */
  known(text: string): Script | undefined {
    try {
      return this.load(text);
    } catch {
      return undefined;
    }
  }

  /** The script of a text, compiled if it is new. Throws a `CommandError` where it is none. */
  load(text: string): Script {
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const name = createHash("sha1").update(text, "latin1").digest("hex");
    const { flags, code } = splitShebang(text);
    let body: LuaFunction;
    try {
      body = this.host.engine.compile(code, "@user_script");
    } catch (thrown) {
      throw new CommandError(`ERR Error compiling script (new function): ${messageOf(luaErrorOf(thrown))}`);
    }
    const script: Script = { name, kind: "script", flags, body };
    this.#byText.set(text, script);
    this.#byDigest.set(name, script);
    this.#bytes += text.length;
    return script;
  }

  /** Forgets all of them. */
  clear(): void {
    this.#byDigest.clear();
    this.#byText.clear();
    this.#bytes = 0;
  }

  /** What the next script finds in `KEYS` and `ARGV`. */
  setArguments(keys: LuaValue[], args: LuaValue[]): void {
    const globals = this.#globals;
    globals.isReadonly = false;
    globals.setNamed("KEYS", new LuaTable(keys));
    globals.setNamed("ARGV", new LuaTable(args));
    globals.isReadonly = true;
  }
}

export const messageOf = (error: LuaError): string => (typeof error.value === "string" ? error.value : error.message);

/** The first line of a script may say how it wants to run: `#!lua flags=no-writes`. What follows keeps its lines' numbers. */
function splitShebang(text: string): { readonly flags: ReadonlySet<ScriptFlag> | undefined; readonly code: string } {
  if (!text.startsWith("#!")) return { flags: undefined, code: text };
  const end = text.indexOf("\n");
  if (end < 0) throw new CommandError("ERR Invalid script shebang");
  const [engine = "", ...options] = text.slice(0, end).split(" ");
  if (engine !== "#!lua") throw new CommandError(`ERR Unexpected engine in script shebang: ${engine}`);
  const flags = new Set<ScriptFlag>();
  for (const option of options) {
    if (option === "") continue;
    if (!option.startsWith("flags=")) throw new CommandError(`ERR Unknown lua shebang option: ${option}`);
    for (const name of option.slice(6).split(",")) {
      if (name === "") continue;
      const flag = SCRIPT_FLAGS.find((known) => known === name);
      if (flag === undefined) throw new CommandError(`ERR Unexpected flag in script shebang: ${name}`);
      flags.add(flag);
    }
  }
  return { flags, code: text.slice(end) };
}
