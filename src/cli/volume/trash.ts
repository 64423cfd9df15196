import { Command, InvalidArgumentError } from "commander";
import { isoText } from "../../base/clock.ts";
import { formatBytes } from "../../base/units.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import { volumeCommand, serviceOf, type VolumeOptions } from "./options.ts";

export function trashCommand(): Command {
  const trash = new Command("trash")
    .description("What was deleted in a volume: list, restore, or remove it for good.")
    .usage("<command> …");
  for (const make of [listCommand, restoreCommand, emptyCommand]) trash.addCommand(make());
  return trash;
}

function listCommand(): Command {
  return volumeCommand("list <name> [path]", "List what can be restored, or of it what was at a path and below.").action(
    async (name: string, path: string | undefined, options: VolumeOptions) => {
      const volumes = serviceOf(options);
      const { trashMs } = await volumes.call("get", [name]);
      const rows: string[][] = [];
      for (const { deletedAtMs, ...entry } of await volumes.call("trashList", [name, path ?? "/"])) {
        const [deletedAt, expiresAt] = [isoText(deletedAtMs), isoText(deletedAtMs + trashMs)];
        if (options.json === true) printJson({ ...entry, deletedAt, expiresAt });
        else rows.push([String(entry.ino), entry.kind, formatBytes(entry.size), deletedAt, expiresAt, entry.path]);
      }
      if (options.json === true) return;
      if (rows.length === 0) return printLine("Nothing.");
      printTable(["ID", "KIND", "SIZE", "DELETED", "EXPIRES", "PATH"], rows, [0, 2]);
    },
  );
}

function restoreCommand(): Command {
  return volumeCommand(
    "restore <name> <path>",
    "Give back what was at the path, and with a directory all that was below it; of each path the newest.",
  )
    .option("--to <path>", "under another path, in a directory that is there")
    .option("--id <id>", "of several that were deleted at the path this one", idOption)
    .action(async (name: string, path: string, options: VolumeOptions & { readonly to?: string; readonly id?: number }) => {
      const { to, id } = options;
      const done = await serviceOf(options).call("trashRestore", [name, path, { to, ino: id }]);
      if (options.json === true) return printJson(done);
      printLine(`restored ${done.restored} files and directories`);
      for (const taken of done.taken) printLine(`something else is there now: ${taken}`);
    });
}

function emptyCommand(): Command {
  return volumeCommand("empty <name> [path]", "Remove what can be restored for good, or of it what was at a path and below.").action(
    async (name: string, path: string | undefined, options: VolumeOptions) => {
      const { removed, bytes } = await serviceOf(options).call("trashEmpty", [name, path ?? "/"]);
      if (options.json === true) return printJson({ removed, bytes });
      printLine(`removed ${removed} files and directories, ${formatBytes(bytes)}`);
    },
  );
}

/** An inode: those of a volume that was made from a dump are beyond 2^40. */
function idOption(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError("expected an id as list shows it");
  return Number(text);
}
