import { AnaxError } from "../../base/errors.ts";
import { matchesGlob } from "../glob.ts";
import { CommandError } from "../command-error.ts";
import type { Client } from "../clients/client.ts";
import { LISTENING } from "../clients/listeners.ts";
import { PARAMETERS, PARAMETER_NAMES, type Parameter, type ParameterName } from "../parameters/parameters.ts";
import { parseParameter, textOfParameter, type ParameterValue } from "../parameters/parameter-text.ts";
import { rewriteConf } from "../parameters/rewrite-conf.ts";
import type { Command } from "./command.ts";
import { helpOf } from "./help.ts";

const FLAGS = ["admin", "noscript", "loading", "stale"] as const;

const get: Command = {
  name: "config|get",
  arity: -3,
  flags: FLAGS,
  group: "server",
  summary: "Values of the parameters that match any of these patterns.",
  since: "2.0.0",
  run(client, request) {
    const patterns = request.texts(2).map((pattern) => pattern.toLowerCase());
    const found = [...PARAMETER_NAMES].filter(([known, name]) =>
      patterns.some((pattern) => pattern === known || (!isHidden(name) && matchesGlob(pattern, known))),
    );
    client.reply.map(found.length);
    for (const [known, name] of found) {
      client.reply.bulk(known);
      client.reply.bulk(textOfParameter(PARAMETERS[name], client.store.parameters[name]));
    }
  },
};

function isHidden(name: ParameterName): boolean {
  const parameter: Parameter = PARAMETERS[name];
  return parameter.hidden === true;
}

const set: Command = {
  name: "config|set",
  arity: -4,
  flags: FLAGS,
  group: "server",
  summary: "Changes parameters: all of them, or none.",
  since: "2.0.0",
  run(client, request) {
    if (request.count % 2 !== 0) throw new CommandError("ERR wrong number of arguments for 'config|set' command");
    const changes = new Map<ParameterName, string | number | boolean>();
    for (let i = 2; i < request.count; i += 2) {
      const given = request.word(i);
      const name = PARAMETER_NAMES.get(given);
      if (name === undefined) throw new CommandError(`ERR Unknown option or number of arguments for CONFIG SET - '${request.text(i)}'`);
      const parameter: Parameter = PARAMETERS[name];
      if (parameter.secret === true) client.redact(i + 1);
      if (parameter.fixed === true) throw failed(request.text(i), "can't set immutable config");
      if (parameter.guarded === true && !isAllowed(client, "enable-protected-configs"))
        throw failed(request.text(i), "can't set protected config");
      if (changes.has(name)) throw failed(request.text(i), "duplicate parameter");
      const value = parseParameter(parameter, request.text(i + 1), client.store.parameters[name]);
      if (typeof value === "object") throw failed(request.text(i), value.problem);
      changes.set(name, value);
    }
    const place = LISTENING.find((name) => changes.get(name) !== undefined && changes.get(name) !== client.store.parameters[name]);
    if (place === undefined || client.store.listeners === undefined) {
      change(client, changes);
      client.reply.ok();
    } else listenAnew(client, place, changes);
  },
};

/** Gives the old values back. Throws where the new ones cannot be had; the old ones are there again then. */
function change({ store }: Client, changes: ReadonlyMap<ParameterName, ParameterValue>): ReadonlyMap<ParameterName, ParameterValue> {
  const before = new Map([...changes.keys()].map((name) => [name, store.parameters[name]]));
  Object.assign(store.parameters, Object.fromEntries(changes));
  try {
    store.parametersChanged([...changes.keys()]);
  } catch (thrown) {
    if (!(thrown instanceof CommandError)) throw thrown;
    Object.assign(store.parameters, Object.fromEntries(before));
    throw failed(
      [...changes.keys()].find((each) => each.startsWith("oom-score-adj"))!,
      thrown.message,
    );
  }
  return before;
}

/** The client waits until the new places are open and the old ones closed, or all is as it was. */
function listenAnew(client: Client, place: ParameterName, changes: ReadonlyMap<ParameterName, ParameterValue>): void {
  const { store } = client;
  const { parameters, blocked } = store;
  const listeners = store.listeners!; // as the caller has seen
  if (!client.mayBlock) throw failed(place, "not possible within a transaction");
  if (listeners.busy) throw failed(place, "another client is changing it");
  const before = change(client, changes);
  blocked.add(client, { db: client.db, keys: [], serve: () => false, timedOut: () => {}, reason: "pause", timer: undefined });
  void listeners
    .apply({ plain: parameters.port || -1, tls: parameters["tls-port"] || -1 })
    .then(
      () => client.reply.ok(),
      (thrown: unknown) => {
        if (!(thrown instanceof AnaxError)) throw thrown;
        change(client, before);
        const why = place === "bind" ? "Failed to bind to specified addresses." : "Unable to listen on this port. Check server logs.";
        client.fail(failed(place, thrown.code === "config.invalid" ? thrown.message : why).message);
      },
    )
    .finally(() => blocked.release(client));
}

const failed = (name: string, why: string): CommandError =>
  new CommandError(`ERR CONFIG SET failed (possibly related to argument '${name}') - ${why}`);

/** Whether what is dangerous in the wrong hands is switched on, for this client. */
export function isAllowed(client: Client, name: "enable-protected-configs" | "enable-debug-command" | "enable-module-command"): boolean {
  const value = client.store.parameters[name];
  return value === "yes" || (value === "local" && client.isLocal);
}

const resetstat: Command = {
  name: "config|resetstat",
  arity: 2,
  flags: FLAGS,
  group: "server",
  summary: "Sets the counters of INFO to zero.",
  since: "2.0.0",
  run(client: Client) {
    client.store.resetStatistics();
    client.reply.ok();
  },
};

const rewrite: Command = {
  name: "config|rewrite",
  arity: 2,
  flags: FLAGS,
  group: "server",
  summary: "Writes the parameters to the file that they came from.",
  since: "2.8.0",
  run({ store, reply }) {
    const { configFile } = store;
    if (configFile === "") throw new CommandError("ERR The server is running without a config file");
    try {
      rewriteConf(store, configFile);
    } catch (thrown) {
      throw new CommandError(`ERR Rewriting config file: ${(thrown as Error).message}`);
    }
    reply.ok();
  },
};

export const CONFIG: Command = {
  name: "config",
  arity: -2,
  flags: [],
  group: "server",
  summary: "Parameters of the server.",
  since: "2.0.0",
  subcommands: [
    get,
    helpOf("config", "server", "5.0.0", [
      "GET <pattern> [<pattern> ...]",
      "    Values of the parameters that match.",
      "SET <parameter> <value> [<parameter> <value> ...]",
      "    Changes parameters: all of them, or none.",
      "RESETSTAT",
      "    Sets the counters of INFO to zero.",
      "REWRITE",
      "    Writes the parameters to the file that they came from.",
    ]),
    resetstat,
    rewrite,
    set,
  ],
};
