import type { Request } from "../../wire/resp/request.ts";
import type { Client } from "../clients/client.ts";
import { slotOfKey } from "../keyspace/key-slot.ts";
import { CommandError } from "../command-error.ts";
import type { Command } from "../commands/command.ts";
import { integerAt } from "../numbers.ts";
import { LuaTable } from "../lua/table.ts";
import type { LuaValue } from "../lua/value.ts";
import type { Store } from "../store.ts";
import { Libraries, LibraryLoader, type LibraryFunction } from "./functions.ts";
import type { ScriptHost } from "./script-host.ts";
import { stopped } from "./script-host.ts";
import type { Callable, ScriptRun } from "./script-run.ts";
import { Scripts, type Script } from "./scripts.ts";
import type { LogLevel } from "./redis-library.ts";

/** While a script takes too long, other connections are looked after so often; more rarely where that takes long. */
const POLL_MS = 5;
const POLL_SHARE = 0.2;

const BUSY = "BUSY Redis is busy running a script. You can only call";

/** Scripts and functions of a server. One runs at a time; the two kinds share nothing but that. */
export class Scripting {
  readonly #store: Store;
  #scripts: Scripts | undefined;
  #loader: LibraryLoader | undefined;
  libraries = new Libraries();
  /** Reads what other connections send, in between; undefined: there are none. */
  poll: (() => void) | undefined;
  onLog: (level: LogLevel, message: string) => void = () => {};
  #run: ScriptRun | undefined;
  #pollAtMs = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Made when it is needed: most servers never run a script. */
  get scripts(): Scripts {
    return (this.#scripts ??= new Scripts(this.#store, (level, message) => this.onLog(level, message)));
  }

  get loader(): LibraryLoader {
    return (this.#loader ??= new LibraryLoader(this.#store, (level, message) => this.onLog(level, message)));
  }

  get cachedScripts(): { readonly count: number; readonly bytes: number } {
    return { count: this.#scripts?.count ?? 0, bytes: this.#scripts?.bytes ?? 0 };
  }

  /** The one that runs. */
  get running(): ScriptRun | undefined {
    return this.#run;
  }

  /** What commands are answered while a script takes too long; undefined: none does. */
  get busy(): string | undefined {
    const run = this.#run;
    return run?.busy === undefined ? undefined : busyWith(run);
  }

  /** Calls a script with the keys and arguments that begin at index 2 of the request, with their count. */
  eval(client: Client, request: Request, script: Script, readOnly: boolean): void {
    const { keys, args } = argumentsOf(request);
    const run = this.#prepare(client, script, readOnly, keys);
    this.scripts.setArguments(keys, args);
    this.#perform(this.scripts.host, run, script.body, []);
  }

  /** The same for a function. */
  call(client: Client, request: Request, callee: LibraryFunction, readOnly: boolean): void {
    const { keys, args } = argumentsOf(request, "ERR Bad number of keys provided");
    const run = this.#prepare(client, callee, readOnly, keys);
    this.#perform(this.loader.host, run, callee.body, [new LuaTable(keys), new LuaTable(args)]);
  }

  /** Whether what a command runs says of itself that it writes nothing; false where that is not known. */
  onlyReads(command: Command, request: Request): boolean {
    if (request.count < 2) return false;
    const text = request.text(1);
    const callable =
      command.name === "fcall"
        ? this.libraries.function(text)
        : command.name === "eval"
          ? this.scripts.known(text)
          : this.scripts.get(text);
    return callable?.flags?.has("no-writes") === true;
  }

  /** Ends the one that runs, if it may be ended. Throws a `CommandError` where not. */
  kill(kind: Callable["kind"]): void {
    const run = this.#run;
    if (run === undefined) throw new CommandError("NOTBUSY No scripts in execution right now.");
    if (run.wrote)
      throw new CommandError(
        "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination " +
          "or kill the server in a hard way using the SHUTDOWN NOSAVE command.",
      );
    if (run.kind !== kind) throw new CommandError(busyWith(run));
    run.killed = true;
  }

  /** The server goes down: whatever runs ends at once. */
  abort(): void {
    if (this.#run !== undefined) this.#run.killed = true;
  }

  #prepare(client: Client, callable: Callable, readOnly: boolean, keys: readonly string[]): ScriptRun {
    const store = this.#store;
    const { flags } = callable;
    if (store.cluster !== undefined && flags?.has("no-cluster") === true)
      throw new CommandError("ERR Can not run script on cluster, 'no-cluster' flag is set.");
    const writes = flags !== undefined && !flags.has("no-writes");
    if (writes) {
      if (readOnly) throw new CommandError("ERR Can not execute a script with write flag using *_ro command.");
      const refusal = store.refusalOf(client, ["write"]);
      if (refusal !== undefined) throw new CommandError(refusal);
    }
    if (writes && store.outOfMemory && !flags.has("allow-oom"))
      throw new CommandError("OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'");
    return {
      name: callable.name,
      kind: callable.kind,
      flags,
      caller: client,
      readOnly: readOnly || flags?.has("no-writes") === true,
      mayUseMemory: flags?.has("allow-oom") === true,
      outOfMemory: store.outOfMemory,
      startedMs: store.clock.nowMs(),
      wrote: false,
      killed: false,
      slot: store.cluster === undefined ? undefined : firstSlotOf(flags, keys),
      busy: undefined,
    };
  }

  #perform(host: ScriptHost, run: ScriptRun, body: Script["body"], args: readonly LuaValue[]): void {
    const { caller } = run;
    this.#run = run;
    try {
      host.perform(run, body, args, () => this.#slice(run));
    } finally {
      this.#run = undefined;
      caller.propagateAs(); // each command has told its effects itself
    }
  }

  /** Now and then while a script runs. */
  #slice(run: ScriptRun): void {
    const { clock, parameters } = this.#store;
    const nowMs = clock.nowMs();
    const limitMs = parameters["busy-reply-threshold"];
    if (!run.killed && (limitMs === 0 || nowMs - run.startedMs < limitMs)) return;
    if (run.busy === undefined) {
      run.busy = { command: run.caller.running?.texts() ?? [] };
      const order = run.kind === "script" ? "SCRIPT KILL" : "FUNCTION KILL";
      this.onLog(
        "warning",
        `Slow script detected: still in execution after ${Math.round(nowMs - run.startedMs)} milliseconds. ` +
          `You can try killing the script using the ${order} command. Script name is: ${run.name}.`,
      );
    }
    if (!run.killed && nowMs >= this.#pollAtMs) {
      this.poll?.();
      const tookMs = clock.nowMs() - nowMs;
      this.#pollAtMs = nowMs + Math.max(POLL_MS, tookMs / POLL_SHARE);
    }
    if (run.killed) throw stopped("Script killed by user with SCRIPT KILL...");
  }
}

/** Scripts as before Redis 7, and those that say so, may use keys of several slots. */
function firstSlotOf(flags: Callable["flags"], keys: readonly string[]): number | undefined {
  if (flags === undefined || flags.has("allow-cross-slot-keys")) return -1;
  return keys.length === 0 ? undefined : slotOfKey(keys[0]!);
}

const busyWith = ({ kind }: ScriptRun): string => `${BUSY} ${kind === "script" ? "SCRIPT" : "FUNCTION"} KILL or SHUTDOWN NOSAVE.`;

/** From index 2 on: how many keys, the keys, other arguments. */
function argumentsOf(request: Request, notANumber?: string): { readonly keys: string[]; readonly args: string[] } {
  const count = integerAt(request, 2, notANumber === undefined ? {} : { error: notANumber });
  if (count > request.count - 3) throw new CommandError("ERR Number of keys can't be greater than number of args");
  if (count < 0) throw new CommandError("ERR Number of keys can't be negative");
  return { keys: request.texts(3, 3 + count), args: request.texts(3 + count) };
}
