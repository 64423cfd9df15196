import { writeLatin1 } from "../../base/latin1.ts";
import { Request } from "../../wire/resp/request.ts";
import { forbidden } from "../acl/check.ts";
import { Client } from "../clients/client.ts";
import { CommandError, OUT_OF_MEMORY } from "../command-error.ts";
import { scriptRefusal } from "../cluster/route.ts";
import type { Command } from "../commands/command.ts";
import { run } from "../dispatch.ts";
import { LuaEngine } from "../lua/engine.ts";
import { LuaError, ScriptStopped, luaErrorOf } from "../lua/error.ts";
import { LuaTable } from "../lua/table.ts";
import { first, generalText, type LuaFunction, type LuaResult, type LuaValue } from "../lua/value.ts";
import { REPLICATE } from "../replicate.ts";
import type { Store } from "../store.ts";
import { errorOf, replyWith } from "./lua-to-reply.ts";
import { scriptError, type LogLevel, type RedisHost } from "./redis-library.ts";
import { ReplyReader, errorTable } from "./reply-to-lua.ts";
import type { ScriptRun } from "./script-run.ts";

const MINUS = 45;
const FIRST_BYTES = 1024;
const KEPT_BYTES_MAX = 64 * 1024;
/**
 * A script that has used up V8's stack must not end in the middle of a command, so there is a look at what is left, 100 KiB: more than any command takes
 * and so many calls of functions as there may have been since the last look.
 */
const RESERVE: readonly number[] = Array.from({ length: 12_800 }, () => 0);
const TURNS_BETWEEN_LOOKS = 50;

/** Runs what is written in Lua, one at a time, and the commands that it calls. */
export class ScriptHost implements RedisHost {
  readonly engine = new LuaEngine();
  readonly #store: Store;
  /** Has no connection: its replies are the script's. */
  readonly #client: Client;
  readonly #request = new Request();
  readonly #replies = new ReplyReader();
  readonly #onLog: (level: LogLevel, message: string) => void;
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #run: ScriptRun | undefined;
  /** Turns of the meter at the last look at the stack. */
  #lookedAt = 0;

  constructor(store: Store, onLog: (level: LogLevel, message: string) => void) {
    this.#store = store;
    this.#onLog = onLog;
    this.#client = new Client(store, 0, { wake: () => {}, resume: () => {}, close: () => {} });
    this.#client.mayBlock = false;
  }

  /** Calls the function for a client and replies with what it returns. `onSlice` is called as `Meter` says. Throws the script's `CommandError`. */
  perform(script: ScriptRun, body: LuaFunction, args: readonly LuaValue[], onSlice: () => void): void {
    const { caller } = script;
    const { meter } = this.engine;
    this.#begin(script);
    meter.begin(onSlice);
    let result: LuaResult;
    try {
      result = body(...args);
    } catch (thrown) {
      throw this.#failureOf(script, thrown);
    } finally {
      meter.end();
      this.#run = undefined;
      this.#store.propagation.targets = REPLICATE.all;
    }
    const value = first(result);
    const error = value instanceof LuaTable ? errorOf(value) : undefined;
    if (error !== undefined) throw new CommandError(error.message, error.counted);
    replyWith(caller, value, this.#client.reply.protocol === 3);
  }

  #begin(script: ScriptRun): void {
    const client = this.#client;
    client.caller = script.caller;
    client.user = script.caller.user;
    client.known = true;
    client.db = script.caller.db;
    client.noTouch = script.caller.noTouch;
    client.inExec = script.caller.inExec;
    client.asking = script.caller.asking;
    client.readsReplica = script.caller.readsReplica;
    client.reply.protocol = 2;
    client.reply.truncate();
    this.#run = script;
    this.#lookedAt = this.engine.meter.turns; // little of the stack is used yet
  }

  /** What the caller is answered: the error, and where the script was. */
  #failureOf(script: ScriptRun, thrown: unknown): CommandError {
    const error = thrown instanceof ScriptStopped ? thrown : luaErrorOf(thrown);
    const { value } = error;
    const table = value instanceof LuaTable ? errorOf(value) : { message: `ERR ${this.engine.textOf(value)}`, counted: false };
    // Of what is thrown in a function of ours, the place where that was called.
    const frame = error.frames.find(({ line }) => line !== undefined);
    const where = frame === undefined ? "" : ` script: ${script.name}, on @${frame.source}:${frame.line}.`;
    return new CommandError(`${table?.message ?? "ERR unknown error"}${where}`, table?.counted ?? false);
  }

  // --- for `redis.…` ----------------------------------------------------------------------------------------------------------------

  call(args: readonly LuaValue[], raising: boolean): LuaValue {
    const script = this.#run;
    if (script === undefined) throw scriptError("redis.call/pcall can only be called inside a script invocation");
    const problem = this.#take(args);
    if (problem !== undefined) return this.#failed(problem, raising, false);
    this.#reserveStack();
    const command = this.#store.commands.find(this.#request);
    const { wrote } = script;
    const refusal = this.#refusalOf(script, command) ?? this.#refusalByCluster(script, command!, wrote);
    if (refusal !== undefined) {
      if (command !== undefined) this.#store.statistics.of(command).rejected++;
      this.#store.statistics.error(refusal.startsWith("-") ? refusal.slice(1) : `ERR ${refusal}`);
      return this.#failed(refusal, raising, true);
    }
    const { reply } = this.#client;
    const before = reply.length;
    run(this.#client, command!, this.#request);
    const bytes = reply.view(before);
    const failed = bytes[0] === MINUS;
    const value = this.#replies.read(bytes);
    reply.truncate(before);
    if (failed && raising) throw new LuaError(value);
    return value;
  }

  #reserveStack(): void {
    const { turns } = this.engine.meter;
    if (turns - this.#lookedAt < TURNS_BETWEEN_LOOKS) return;
    this.#lookedAt = turns;
    takeArguments.apply(undefined, RESERVE as number[]);
  }

  #failed(message: string, raising: boolean, counted: boolean): LuaValue {
    const error = scriptError(message, counted);
    if (raising) throw error;
    return error.value;
  }

  /** The arguments as a request; a problem: they are none. */
  #take(args: readonly LuaValue[]): string | undefined {
    if (args.length === 0) return "Please specify at least one argument for this redis lib call";
    const request = this.#request;
    request.count = 0;
    let at = 0;
    for (const arg of args) {
      const text = typeof arg === "string" ? arg : typeof arg === "number" ? argumentText(arg) : undefined;
      if (text === undefined) return "Lua redis lib command arguments must be strings or integers";
      if (at + text.length > this.#bytes.length) this.#grow(at, at + text.length);
      request.add(at, text.length);
      at += writeLatin1(this.#bytes, text, at);
    }
    request.bytes = this.#bytes;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    return undefined;
  }

  #grow(used: number, needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, needed));
    this.#bytes.copy(grown, 0, 0, used);
    this.#bytes = grown;
  }

  /** Why the command is not run: `-CODE …` or a text without a code. */
  #refusalOf(script: ScriptRun, command: Command | undefined): string | undefined {
    const request = this.#request;
    if (command?.run === undefined) return "Unknown Redis command called from script";
    const { arity, flags } = command;
    if (arity > 0 ? request.count !== arity : request.count < -arity) return "Wrong number of args calling Redis command from script";
    if (flags.includes("noscript") && !this.#store.scriptsMayAll) return "This Redis command is not allowed from script";
    const client = this.#client;
    if (!client.user.unrestricted) {
      const denial = forbidden(client, command, request);
      if (denial !== undefined) return `The user executing the script ${denial.replace(/^NOPERM this user /, "")}`;
    }
    if (script.readOnly && (flags.includes("write") || flags.includes("may_replicate")))
      return "Write commands are not allowed from read-only scripts.";
    if (!flags.includes("write")) return this.#refusesMemory(script, command);
    if (!script.wrote) {
      const refusal = this.#store.refusalOf(script.caller, command.flags);
      if (refusal !== undefined) return `-${refusal}`;
    }
    const memory = this.#refusesMemory(script, command);
    if (memory === undefined) script.wrote = true;
    return memory;
  }

  /** Keys that were not declared may be elsewhere. */
  #refusalByCluster(script: ScriptRun, command: Command, wrote: boolean): string | undefined {
    const { cluster } = this.#store;
    if (cluster === undefined || script.caller.isPrimary) return undefined;
    const outcome = scriptRefusal(cluster.node, this.#client, { command, request: this.#request }, wrote);
    if (typeof outcome === "string") return outcome;
    if (outcome === undefined || script.slot === -1) return undefined;
    script.slot ??= outcome.slot;
    return script.slot === outcome.slot ? undefined : "Script attempted to access keys that do not hash to the same slot";
  }

  #refusesMemory(script: ScriptRun, { flags }: Command): string | undefined {
    return script.outOfMemory && !script.mayUseMemory && !script.wrote && flags.includes("denyoom") ? `-${OUT_OF_MEMORY}` : undefined;
  }

  mayCall(parts: readonly string[]): boolean | undefined {
    const request = Request.of(parts);
    const command = this.#store.commands.find(request);
    if (command?.run === undefined) return undefined;
    const { user } = this.#client;
    return user.unrestricted || user.denialOf(command, request) === undefined;
  }

  get setProtocol(): ((protocol: 2 | 3) => void) | undefined {
    if (this.#run === undefined) return undefined;
    return (protocol) => (this.#client.reply.protocol = protocol);
  }

  get setReplication(): ((targets: number) => void) | undefined {
    if (this.#run === undefined) return undefined;
    return (targets) => (this.#store.propagation.targets = targets);
  }

  log(level: LogLevel, message: string): void {
    this.#onLog(level, message);
  }
}

/** Takes as much of the stack as its arguments, and gives it back; throws now what would be thrown later. */
function takeArguments(..._arguments: number[]): void {}

/** As C's `%.17g`. */
const argumentText = (value: number): string =>
  Number.isInteger(value) && Math.abs(value) < 1e17 && !Object.is(value, -0) ? String(value) : generalText(value, 17);

/** An error table of a script that was stopped. */
export const stopped = (message: string): ScriptStopped => new ScriptStopped(errorTable(`ERR ${message}`, false));
