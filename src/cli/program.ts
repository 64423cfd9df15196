import { Command, CommanderError } from "commander";
import { AnaxError, errorOf, specOf } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import { endWithStdout, printError } from "./output.ts";

interface Entry {
  readonly summary: string;
  /** Loaded only when the command runs: a program that is called a thousand times a minute must start quickly. */
  readonly load: () => Promise<{ readonly command: () => Command }>;
}

/** What `anax` can be told to do, by name. */
export type CommandTable = Readonly<Record<string, Entry>>;

/** Runs one command line; resolves to the exit code. Every failure ends as one line on standard error, with its code. */
export async function runProgram(argv: readonly string[], commands: CommandTable): Promise<number> {
  endWithStdout();
  try {
    const program = await programFor(argv, commands);
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
async function programFor(argv: readonly string[], commands: CommandTable): Promise<Command> {
  const program = new Command("anax")
    .description("Gets data to every machine of a cluster.")
    .version(VERSION, "-V, --version", "print the version")
    .helpCommand(false);
  tame(program);
  const name = argv[0];
  if (name !== undefined && Object.hasOwn(commands, name)) {
    const { command } = await commands[name]!.load(); // just checked
    return program.addCommand(tame(command()));
  }
  if (name !== undefined && !name.startsWith("-")) {
    const { nearestOf } = await import("../base/nearest.ts");
    const near = nearestOf(name, Object.keys(commands));
    throw new AnaxError("input.invalid", { command: name, reason: "no such command", didYouMean: near, known: Object.keys(commands) });
  }
  for (const [each, { summary }] of Object.entries(commands)) program.command(each).description(summary);
  if (name === undefined) program.action(() => program.outputHelp());
  return program;
}

/** Errors of a command must reach `runProgram` as exceptions, instead of ending the process with a text of their own. */
function tame(command: Command): Command {
  command.commands.forEach(tame);
  return command.exitOverride().configureOutput({ outputError: () => undefined });
}

/** A wrong command line, with the same kind of error as everything else. */
function usageErrorOf(thrown: CommanderError): AnaxError {
  const reason = thrown.message.replace(/^error: /, "");
  return new AnaxError("input.invalid", { reason, hint: "--help shows the options" }, { cause: thrown });
}
