import { resolve } from "node:path";
import type { Command } from "commander";
import { printJson, printLine } from "../output.ts";
import { hereCommand, report, volumesOf, type VolumeOptions } from "./options.ts";

export function dumpCommand(): Command {
  return hereCommand(
    "dump <name> <file>",
    "Write a volume's metadata to a file, as a backup: names, attributes and where content lies, not the content.",
  ).action(async (name: string, file: string, options: VolumeOptions) => {
    const volumes = volumesOf(options);
    const { uuid } = volumes.get(name);
    await volumes.dump(name, resolve(file));
    if (options.json === true) printJson({ volume: name, uuid, file });
    else printLine(`wrote ${file}`);
  });
}

export function loadCommand(): Command {
  return hereCommand(
    "load <file>",
    "Make the volume of a dump anew, with its uuid, where it is gone. Its content must be where it was; anax volume fsck tells.",
  )
    .option("--name <name>", "another name")
    .action(async (file: string, options: VolumeOptions & { readonly name?: string }) => {
      const { volume, key } = await volumesOf(options).load(resolve(file), options.name);
      report(options, volume, `loaded volume ${volume.name} (${volume.uuid})\naccess key ${key.id}\nsecret     ${key.secret}`, { key });
    });
}
