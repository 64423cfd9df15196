import type { Command } from "commander";
import { isoText } from "../../base/clock.ts";
import { printJson, printLine } from "../output.ts";
import { volumeCommand, serviceOf, type VolumeOptions } from "./options.ts";

interface KeyOptions extends VolumeOptions {
  readonly add?: boolean;
  readonly remove?: string;
}

export function keyCommand(): Command {
  return volumeCommand("key <name>", "List a volume's access keys, add one, or withdraw one.")
    .option("--add", "make a new one; its secret is shown this once")
    .option("--remove <id>", "withdraw one")
    .action(async (name: string, options: KeyOptions) => {
      const volumes = serviceOf(options);
      if (options.remove !== undefined) {
        await volumes.call("removeKey", [name, options.remove]);
        return options.json === true ? printJson({ removed: options.remove }) : printLine(`removed ${options.remove}`);
      }
      if (options.add === true) {
        const key = await volumes.call("addKey", [name]);
        return options.json === true ? printJson(key) : printLine(`access key ${key.id}\nsecret     ${key.secret}`);
      }
      for (const { id, createdAtMs } of await volumes.call("keys", [name]))
        if (options.json === true) printJson({ id, createdAt: isoText(createdAtMs) });
        else printLine(`${id}  ${isoText(createdAtMs)}`);
    });
}
