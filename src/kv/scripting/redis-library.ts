import { createHash } from "node:crypto";
import { library } from "../lua/arguments.ts";
import { LuaError } from "../lua/error.ts";
import { LuaTable } from "../lua/table.ts";
import { NOTHING, numberText, toNumber, type LuaResult, type LuaValue } from "../lua/value.ts";
import { REPLICATE } from "../replicate.ts";
import { REDIS_VERSION } from "../version.ts";
import { errorTable, field } from "./reply-to-lua.ts";

const LOG_LEVELS = ["debug", "verbose", "notice", "warning"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** What the functions of the library need of the server. */
export interface RedisHost {
  /** A command of the script that runs. Throws a `LuaError` where there is none, or where `raising` its error. */
  readonly call: (args: readonly LuaValue[], raising: boolean) => LuaValue;
  /** Whether the caller's user may run this; undefined: there is no such command. */
  readonly mayCall: (parts: readonly string[]) => boolean | undefined;
  /** Undefined: no script runs. */
  readonly setProtocol: ((protocol: 2 | 3) => void) | undefined;
  readonly setReplication: ((targets: number) => void) | undefined;
  readonly log: (level: LogLevel, message: string) => void;
}

/** An error that scripts get as a table: `ERR …`. */
export const scriptError = (message: string, counted = false): LuaError => new LuaError(errorTable(withCode(message), counted));

/** `-CODE text` as it is, any other text as `ERR text`. */
function withCode(message: string): string {
  const text = message.replace(/^[\r\n]+|[\r\n]+$/g, "");
  if (!text.startsWith("-")) return `ERR ${text}`;
  return text.includes(" ") ? text.slice(1) : `ERR ${text.slice(1)}`;
}

/** What a library of functions gets while it is loaded, too. */
export const createLogLibrary = (host: RedisHost): Record<string, LuaValue> => ({
  log(...args): LuaResult {
    if (args.length < 2) throw scriptError("redis.log() requires two arguments or more.");
    const level = typeof args[0] === "number" ? Math.trunc(args[0]) : undefined;
    if (level === undefined) throw scriptError("First argument must be a number (log level).");
    const name = LOG_LEVELS[level];
    if (name === undefined) throw scriptError("Invalid debug level.");
    host.log(name, args.slice(1).map(textOf).join(" "));
    return NOTHING;
  },
  LOG_DEBUG: 0,
  LOG_VERBOSE: 1,
  LOG_NOTICE: 2,
  LOG_WARNING: 3,
  REDIS_VERSION,
  REDIS_VERSION_NUM: REDIS_VERSION.split(".").reduce((number, part) => number * 256 + Number(part), 0),
});

/** The table `redis`, which is `server` as well (https://redis.io/docs/latest/develop/interact/programmability/lua-api/). */
export function createRedisLibrary(host: RedisHost): LuaTable {
  return library({
    ...createLogLibrary(host),
    call: (...args) => host.call(args, true),
    pcall: (...args) => host.call(args, false),
    sha1hex(...args) {
      if (args.length !== 1) throw scriptError("wrong number of arguments");
      return createHash("sha1").update(textOf(args[0]), "latin1").digest("hex");
    },
    error_reply(...args) {
      const [text] = args;
      if (args.length !== 1 || typeof text !== "string") return errorTable("ERR wrong number or type of arguments", false);
      return errorTable(withCode(text.startsWith("-") ? text : `-${text}`), false);
    },
    status_reply(...args) {
      const [text] = args;
      if (args.length !== 1 || typeof text !== "string") return errorTable("ERR wrong number or type of arguments", false);
      return field("ok", text);
    },
    setresp(...args) {
      if (host.setProtocol === undefined) throw scriptError("redis.setresp can only be called inside a script invocation");
      if (args.length !== 1) throw scriptError("redis.setresp() requires one argument.");
      const protocol = toNumber(args[0]);
      if (protocol !== 2 && protocol !== 3) throw scriptError("RESP version must be 2 or 3.");
      host.setProtocol(protocol);
      return NOTHING;
    },
    set_repl(...args) {
      if (host.setReplication === undefined) throw scriptError("redis.set_repl can only be called inside a script invocation");
      if (args.length !== 1) throw scriptError("redis.set_repl() requires two arguments.");
      const targets = toNumber(args[0]);
      if (targets === undefined || ![0, 1, 2, 3].includes(targets))
        throw scriptError("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.");
      host.setReplication(targets);
      return NOTHING;
    },
    REPL_NONE: REPLICATE.none,
    REPL_AOF: REPLICATE.journal,
    REPL_SLAVE: REPLICATE.replicas,
    REPL_REPLICA: REPLICATE.replicas,
    REPL_ALL: REPLICATE.all,
    acl_check_cmd(...args) {
      const parts = args.map((arg) => (typeof arg === "string" || typeof arg === "number" ? textOf(arg) : undefined));
      if (parts.length === 0) throw scriptError("Please specify at least one argument for this redis lib call");
      if (parts.includes(undefined)) throw scriptError("redis.acl_check_cmd() command arguments must be strings or integers");
      const allowed = host.mayCall(parts as string[]); // none is undefined
      if (allowed === undefined) throw scriptError("Invalid command passed to redis.acl_check_cmd()");
      return allowed;
    },
  });
}

/** What only scripts have: they are from the time when a script itself was replicated, and of a debugger that is not there. */
export const LEGACY: Readonly<Record<string, LuaValue>> = {
  breakpoint: () => false,
  debug: () => NOTHING,
  replicate_commands: () => true,
};

const textOf = (value: LuaValue): string => (typeof value === "number" ? numberText(value) : typeof value === "string" ? value : "");

/** Nothing that can be reached from a table can be assigned any more. */
export function protect(table: LuaTable): void {
  if (table.isReadonly) return;
  table.isReadonly = true;
  if (table.metatable !== undefined) protect(table.metatable);
  for (let position = table.positionAfter(undefined)!; position >= 0;) {
    const value = table.valueAt(position);
    if (value instanceof LuaTable) protect(value);
    position = table.positionAfter(table.keyAt(position))!; // it is there
  }
}

/** Reading what a table does not have is an error from now on. */
export function refuseMissing(table: LuaTable): void {
  table.metatable = library({
    __index(_, name) {
      throw new LuaError(`Script attempted to access nonexistent global variable '${typeof name === "string" ? name : textOf(name)}'`, 1);
    },
  });
}
