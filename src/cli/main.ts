import { Command, CommanderError } from "commander";
import { AnaxError, errorOf, specOf } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { endWithStdout, printError } from "./output.ts";

interface Entry {
  readonly summary: string;
  /** Loaded only when the command runs: a program that is called a thousand times a minute must start quickly. */
  readonly load: () => Promise<{ readonly command: () => Command }>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  up: {
    summary: "run everything in one process: scheduler, seed and proxy, with embedded defaults",
    load: () => import("./commands/up.ts"),
  },
  scheduler: { summary: "run a scheduler", load: () => import("./commands/scheduler.ts") },
  daemon: { summary: "run a daemon (with --seed: one that reads sources for the others)", load: () => import("./commands/daemon.ts") },
  get: { summary: "download a file or a directory through the local daemon", load: () => import("./commands/get.ts") },
  ls: { summary: "list the tasks on this machine", load: () => import("./commands/ls.ts") },
  stat: { summary: "show one task on this machine", load: () => import("./commands/stat.ts") },
  rm: { summary: "remove tasks from this machine", load: () => import("./commands/rm.ts") },
  explain: { summary: "say why a task came from where it came from", load: () => import("./commands/explain.ts") },
  config: { summary: "print, check and describe the settings", load: () => import("./commands/config.ts") },
  doctor: { summary: "check this machine and say what to mend", load: () => import("./commands/doctor.ts") },
  version: { summary: "print the version", load: () => import("./commands/version.ts") },
  completion: { summary: "print a completion script for bash, zsh or fish", load: () => import("./commands/completion.ts") },
};

/** Runs one command line; resolves to the exit code. Every failure ends as one line on standard error, with its code. */
export async function main(argv: readonly string[]): Promise<number> {
  endWithStdout();
  try {
    const program = await programFor(argv);
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0; // help and version were shown
    const error = thrown instanceof CommanderError ? usageErrorOf(thrown) : errorOf(thrown);
    printError(error, argv.includes("--json"));
    return specOf(error).exit;
  }
}

/** The program with the one command that `argv` names, or with all of their names when it names none. */
async function programFor(argv: readonly string[]): Promise<Command> {
  const program = new Command("anax")
    .description("Gets data to every machine of a cluster.")
    .version(VERSION, "-V, --version", "print the version")
    .helpCommand(false);
  tame(program);
  const name = argv[0];
  if (name !== undefined && Object.hasOwn(COMMANDS, name)) {
    const { command } = await COMMANDS[name]!.load(); // just checked
    return program.addCommand(tame(command()));
  }
  if (name !== undefined && !name.startsWith("-")) {
    const { nearestOf } = await import("../base/nearest.ts");
    const near = nearestOf(name, Object.keys(COMMANDS));
    throw new AnaxError("input.invalid", { command: name, reason: "no such command", didYouMean: near, known: Object.keys(COMMANDS) });
  }
  for (const [each, { summary }] of Object.entries(COMMANDS)) program.command(each).description(summary);
  if (name === undefined) program.action(() => program.outputHelp());
  return program;
}

/** Every command with all of its options; for completion and documents. */
export async function allCommands(): Promise<readonly Command[]> {
  return Promise.all(Object.values(COMMANDS).map(async ({ load }) => (await load()).command()));
}

/** Errors of a command must reach `main` as exceptions, instead of ending the process with a text of their own. */
function tame(command: Command): Command {
  return command.exitOverride().configureOutput({ outputError: () => undefined });
}

/** A wrong command line, with the same kind of error as everything else. */
function usageErrorOf(thrown: CommanderError): AnaxError {
  const reason = thrown.message.replace(/^error: /, "");
  return new AnaxError("input.invalid", { reason, hint: "--help shows the options" }, { cause: thrown });
}
