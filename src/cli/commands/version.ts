import { Command } from "commander";
import { VERSION } from "../../base/version.ts";
import { printJson, printLine } from "../output.ts";

export function command(): Command {
  return new Command("version")
    .description("Print the version of Anax and of what it runs on.")
    .option("--json", "one JSON object")
    .action((options: { readonly json?: boolean }) => {
      const facts = { anax: VERSION, node: process.versions.node, platform: `${process.platform}-${process.arch}` };
      if (options.json === true) printJson(facts);
      else printLine(`anax ${facts.anax} (node ${facts.node}, ${facts.platform})`);
    });
}
