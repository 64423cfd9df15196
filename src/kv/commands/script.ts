import { CommandError } from "../command-error.ts";
import { helpOf } from "./help.ts";
import { keysCountedAt, type Command } from "./command.ts";
import { tellMonitors } from "../info/observe.ts";

const NO_SCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
const FLAGS = ["noscript", "stale", "skip_monitor", "no_mandatory_keys", "movablekeys"] as const;

const evaluates = (name: "eval" | "eval_ro" | "evalsha" | "evalsha_ro", since: string): Command => {
  const readOnly = name.endsWith("_ro");
  const byDigest = name.startsWith("evalsha");
  return {
    name,
    arity: -3,
    flags: [...FLAGS, readOnly ? "readonly" : "may_replicate"],
    group: "scripting",
    summary: `Runs a script${byDigest ? " that is known by its digest" : ""}${readOnly ? ", which may only read" : ""}.`,
    since,
    keys: readOnly ? keysCountedAt(2, "RO", "access") : keysCountedAt(2, "RW", "access", "update"),
    run(client, request) {
      tellMonitors(client, request);
      const { scripting } = client.store;
      const given = request.text(1);
      const script = byDigest ? scripting.scripts.get(given) : scripting.scripts.load(given);
      if (script === undefined) throw new CommandError(NO_SCRIPT);
      scripting.eval(client, request, script, readOnly);
    },
  };
};

const subcommand = (name: string, arity: number, summary: string, run: Command["run"] & {}): Command => ({
  name: `script|${name}`,
  arity,
  flags: name === "kill" ? ["noscript", "allow_busy"] : ["noscript", "stale"],
  group: "scripting",
  summary,
  since: name === "debug" ? "3.2.0" : "2.6.0",
  run,
});

const load = subcommand("load", 3, "Keeps a script, to be run by its digest.", (client, request) => {
  client.reply.bulk(client.store.scripting.scripts.load(request.text(2)).name);
});

const exists = subcommand("exists", -3, "Which of these digests are those of known scripts.", (client, request) => {
  client.reply.array(request.count - 2);
  for (let i = 2; i < request.count; i++) client.reply.integer(client.store.scripting.scripts.get(request.text(i)) === undefined ? 0 : 1);
});

const flush = subcommand("flush", -2, "Forgets all scripts.", (client, request) => {
  if (request.count > 3 || (request.count === 3 && !["sync", "async"].includes(request.word(2))))
    throw new CommandError("ERR SCRIPT FLUSH only support SYNC|ASYNC option");
  client.store.scripting.scripts.clear();
  client.reply.ok();
});

const kill = subcommand("kill", 2, "Ends the script that runs, if it has changed nothing yet.", (client) => {
  client.store.scripting.kill("script");
  client.reply.ok();
});

const debug = subcommand("debug", 3, "Would have the next scripts stepped through; there is no such debugger here.", (client, request) => {
  const mode = request.word(2);
  if (!["yes", "sync", "no"].includes(mode)) throw new CommandError("ERR Use SCRIPT DEBUG YES/SYNC/NO");
  if (mode !== "no") throw new CommandError("ERR This server has no debugger of scripts");
  client.reply.ok();
});

const help = helpOf("script", "scripting", "5.0.0", [
  "DEBUG (YES|SYNC|NO)",
  "    Set the debug mode of the scripts that follow: there is none but NO.",
  "EXISTS <sha1> [<sha1> ...]",
  "    Tell which of these scripts are known.",
  "FLUSH [ASYNC|SYNC]",
  "    Forget all scripts.",
  "KILL",
  "    End the script that runs.",
  "LOAD <script>",
  "    Keep a script without running it.",
]);

const SCRIPT: Command = {
  name: "script",
  arity: -2,
  flags: [],
  group: "scripting",
  summary: "Scripts that the server knows.",
  since: "2.6.0",
  subcommands: [debug, exists, flush, help, kill, load],
};

export const SCRIPT_COMMANDS: readonly Command[] = [
  evaluates("eval", "2.6.0"),
  evaluates("eval_ro", "7.0.0"),
  evaluates("evalsha", "2.6.0"),
  evaluates("evalsha_ro", "7.0.0"),
  SCRIPT,
];
