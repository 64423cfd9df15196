import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { Writable } from "node:stream";
import type { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { writeWhole } from "../../disk/whole-file.ts";
import type { Volumes } from "../../volume/lifecycle/volumes.ts";
import { printJson, printLine } from "../output.ts";
import { META_HELP, metaOption, remoteOf, report, serviceOf, volumeCommand, volumesOf, type VolumeOptions } from "./options.ts";

/** In the place of a file: standard output, or standard input. */
const STANDARD = "-";

export function dumpCommand(): Command {
  return volumeCommand(
    "dump <name> <file>",
    "Write a volume's metadata to a file of this machine (-: standard output), as a backup: names, attributes and where content lies, not the content.",
  ).action(async (name: string, file: string, options: VolumeOptions) => {
    const volumes = serviceOf(options);
    if (file === STANDARD) {
      if (process.stdout.isTTY) throw new AnaxError("input.invalid", { file, reason: "a dump is not for a terminal" });
      await volumes.dump(name, standardOutput());
      return;
    }
    const { uuid } = await writeWhole(resolve(file), (out) => volumes.dump(name, out));
    if (options.json === true) printJson({ volume: name, uuid, file });
    else printLine(`wrote ${file}`);
  });
}

interface LoadOptions extends VolumeOptions {
  readonly name?: string;
  readonly meta?: string;
}

export function loadCommand(): Command {
  return volumeCommand(
    "load <file>",
    "Make the volume of a dump (-: from standard input) anew, with its uuid, where it is gone. Its content must be where it was; anax volume fsck tells.",
  )
    .option("--name <name>", "another name")
    .option("--meta <url>", META_HELP, metaOption)
    .action(async (file: string, options: LoadOptions) => {
      const { volume, key } = await loaded(file, options);
      report(options, volume, `loaded volume ${volume.name} (${volume.uuid})\naccess key ${key.id}\nsecret     ${key.secret}`, { key });
    });
}

function loaded(file: string, options: LoadOptions): ReturnType<Volumes["load"]> {
  const { name } = options;
  const meta = options.meta === "sqlite" ? undefined : options.meta;
  if (file !== STANDARD && remoteOf(options) === undefined) return volumesOf(options).load(resolve(file), name, meta);
  const from = file === STANDARD ? process.stdin : createReadStream(resolve(file));
  return serviceOf(options).load(from, { ...(name !== undefined && { name }), ...(meta !== undefined && { meta }) });
}

const standardOutput = (): Writable =>
  new Writable({
    write(chunk: Buffer, _encoding, done) {
      process.stdout.write(chunk, done);
    },
  });
