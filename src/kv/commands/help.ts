import type { Command, Group } from "./command.ts";

/** `… HELP`: a line for each form and one, indented, for what it does. */
export const helpOf = (name: string, group: Group, since: string, lines: readonly string[]): Command => ({
  name: `${name}|help`,
  arity: 2,
  flags: ["loading", "stale"],
  group,
  summary: "What subcommands there are.",
  since,
  run(client) {
    const all = [
      `${name.toUpperCase()} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`,
      ...lines,
      "HELP",
      "    Print this help.",
    ];
    client.reply.array(all.length);
    for (const line of all) client.reply.simple(line);
  },
});
