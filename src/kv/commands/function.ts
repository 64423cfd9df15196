import type { Command } from "./command.ts";

const flush: Command = {
  name: "function|flush",
  arity: -2,
  flags: ["noscript", "write"],
  group: "scripting",
  summary: "Deletes all functions.",
  since: "7.0.0",
  run: (client) => client.reply.ok(),
};

const FUNCTION: Command = {
  name: "function",
  arity: -2,
  flags: [],
  group: "scripting",
  summary: "Libraries of functions.",
  since: "7.0.0",
  subcommands: [flush],
};

export const FUNCTION_COMMANDS: readonly Command[] = [FUNCTION];
