import type { Client } from "../clients/client.ts";
import { CommandError } from "../command-error.ts";
import { matchesGlob } from "../glob.ts";
import { Libraries, type FunctionLibrary } from "../scripting/functions.ts";
import { dumpFunctions, restoredFunctions } from "../scripting/function-payload.ts";
import type { Request } from "../../wire/resp/request.ts";
import { helpOf } from "./help.ts";
import { keysCountedAt, type Command, type CommandFlag } from "./command.ts";
import { tellMonitors } from "../info/observe.ts";

const calls = (name: "fcall" | "fcall_ro"): Command => {
  const readOnly = name === "fcall_ro";
  return {
    name,
    arity: -3,
    flags: ["noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys", readOnly ? "readonly" : "may_replicate"],
    group: "scripting",
    summary: `Calls a function of a library${readOnly ? ", which may only read" : ""}.`,
    since: "7.0.0",
    keys: readOnly ? keysCountedAt(2, "RO", "access") : keysCountedAt(2, "RW", "access", "update"),
    run(client, request) {
      tellMonitors(client, request);
      const { scripting } = client.store;
      const callee = scripting.libraries.function(request.text(1));
      if (callee === undefined) throw new CommandError("ERR Function not found");
      scripting.call(client, request, callee, readOnly);
    },
  };
};

const FLAGS: Readonly<Record<string, readonly CommandFlag[]>> = {
  delete: ["write"],
  flush: ["write"],
  kill: ["allow_busy"],
  load: ["write", "denyoom"],
  restore: ["write", "denyoom"],
  stats: ["allow_busy"],
};

const subcommand = (name: string, arity: number, summary: string, run: Command["run"] & {}): Command => ({
  name: `function|${name}`,
  arity,
  flags: ["noscript", ...(FLAGS[name] ?? [])],
  group: "scripting",
  summary,
  since: "7.0.0",
  run,
});

const load = subcommand("load", -3, "Adds a library of functions.", (client, request) => {
  let replaces = false;
  for (let i = 2; i < request.count - 1; i++) {
    if (replaces || request.word(i) !== "replace") throw new CommandError(`ERR Unknown option given: ${request.text(i)}`);
    replaces = true;
  }
  const { scripting } = client.store;
  const loaded = scripting.loader.load(request.text(request.count - 1));
  if (!replaces && scripting.libraries.get(loaded.name) !== undefined) throw alreadyThere(loaded);
  scripting.libraries.put(loaded);
  client.store.dirty++;
  client.reply.bulk(loaded.name);
});

const alreadyThere = ({ name }: FunctionLibrary): CommandError => new CommandError(`ERR Library '${name}' already exists`);

const remove = subcommand("delete", 3, "Deletes a library.", (client, request) => {
  if (!client.store.scripting.libraries.delete(request.text(2))) throw new CommandError("ERR Library not found");
  client.store.dirty++;
  client.reply.ok();
});

const flush = subcommand("flush", -2, "Deletes all libraries.", (client, request) => {
  if (request.count > 3) throw wrongForm("flush");
  if (request.count === 3 && !["sync", "async"].includes(request.word(2)))
    throw new CommandError("ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
  client.store.scripting.libraries.clear();
  client.store.dirty++;
  client.reply.ok();
});

const wrongForm = (name: string): CommandError =>
  new CommandError(`ERR unknown subcommand or wrong number of arguments for '${name}'. Try FUNCTION HELP.`);

const kill = subcommand("kill", 2, "Ends the function that runs, if it has changed nothing yet.", (client) => {
  client.store.scripting.kill("function");
  client.reply.ok();
});

const list = subcommand("list", -2, "The libraries and their functions.", (client, request) => {
  let withCode = false;
  let pattern: string | undefined;
  for (let i = 2; i < request.count; i++) {
    const word = request.word(i);
    if (word === "withcode" && !withCode) withCode = true;
    else if (word === "libraryname" && pattern === undefined) {
      if (++i >= request.count) throw new CommandError("ERR library name argument was not given");
      pattern = request.text(i);
    } else throw new CommandError(`ERR Unknown argument ${request.text(i)}`);
  }
  const libraries = [...client.store.scripting.libraries.all].filter(
    ({ name }) => pattern === undefined || matchesGlob(pattern.toLowerCase(), name.toLowerCase()),
  );
  client.reply.array(libraries.length);
  for (const library of libraries) describe(client, library, withCode);
});

function describe({ reply }: Client, { name, code, functions }: FunctionLibrary, withCode: boolean): void {
  reply.map(withCode ? 4 : 3);
  reply.bulk("library_name");
  reply.bulk(name);
  reply.bulk("engine");
  reply.bulk("LUA");
  reply.bulk("functions");
  reply.array(functions.size);
  for (const each of functions.values()) {
    reply.map(3);
    reply.bulk("name");
    reply.bulk(each.name);
    reply.bulk("description");
    reply.bulkOrNull(each.description);
    reply.bulk("flags");
    reply.set(each.flags.size);
    for (const flag of each.flags) reply.simple(flag);
  }
  if (!withCode) return;
  reply.bulk("library_code");
  reply.bulk(code);
}

const stats = subcommand("stats", 2, "The function that runs, and what engines there are.", ({ reply, store }) => {
  const { running, libraries } = store.scripting;
  reply.map(2);
  reply.bulk("running_script");
  if (running === undefined) reply.null();
  else {
    reply.map(3);
    reply.bulk("name");
    reply.bulk(running.name);
    reply.bulk("command");
    reply.bulks(running.busy?.command ?? []);
    reply.bulk("duration_ms");
    reply.integer(Math.round(store.clock.nowMs() - running.startedMs));
  }
  reply.bulk("engines");
  reply.map(1);
  reply.bulk("LUA");
  reply.map(2);
  reply.bulk("libraries_count");
  reply.integer(libraries.count);
  reply.bulk("functions_count");
  reply.integer(libraries.functionCount);
});

const dump = subcommand("dump", 2, "All libraries as one payload for FUNCTION RESTORE.", (client) => {
  client.reply.bulkBytes(dumpFunctions([...client.store.scripting.libraries.all].map(({ code }) => code)));
});

const POLICIES = ["append", "replace", "flush"];

const restore = subcommand("restore", -3, "Adds the libraries of a payload of FUNCTION DUMP.", (client, request) => {
  if (request.count > 4) throw wrongForm("restore");
  const policy = request.count === 4 ? request.word(3) : "append";
  if (!POLICIES.includes(policy))
    throw new CommandError("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.");
  const { scripting } = client.store;
  const libraries = policy === "flush" ? new Libraries() : scripting.libraries.copy();
  for (const library of restoredLibraries(client, request)) {
    if (policy === "append" && libraries.get(library.name) !== undefined)
      throw new CommandError(`ERR Library ${library.name} already exists`);
    libraries.put(library);
  }
  scripting.libraries = libraries;
  client.store.dirty++;
  client.reply.ok();
});

const restoredLibraries = (client: Client, request: Request): FunctionLibrary[] =>
  restoredFunctions(Buffer.from(request.slice(2))).map((code) => client.store.scripting.loader.load(code));

const help = helpOf("function", "scripting", "7.0.0", [
  "LOAD [REPLACE] <FUNCTION CODE>",
  "    Add a library, whose name its first line tells.",
  "DELETE <LIBRARY NAME>",
  "    Delete a library.",
  "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
  "    Tell of libraries: name, engine, functions, and the code if asked for.",
  "STATS",
  "    Tell of the function that runs, and of engines.",
  "KILL",
  "    End the function that runs.",
  "FLUSH [ASYNC|SYNC]",
  "    Delete all libraries.",
  "DUMP",
  "    Answer all libraries as a payload.",
  "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
  "    Add the libraries of a payload; FLUSH deletes others first, REPLACE those of the same name.",
]);

const FUNCTION: Command = {
  name: "function",
  arity: -2,
  flags: [],
  group: "scripting",
  summary: "Libraries of functions.",
  since: "7.0.0",
  subcommands: [remove, dump, flush, help, kill, list, load, restore, stats],
};

export const FUNCTION_COMMANDS: readonly Command[] = [calls("fcall"), calls("fcall_ro"), FUNCTION];
