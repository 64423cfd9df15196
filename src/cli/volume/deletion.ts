import type { Command } from "commander";
import { isoText } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { printJson, printLine } from "../output.ts";
import { actor, recordJson, report, volumeCommand, serviceOf, type VolumeOptions } from "./options.ts";

interface DeleteOptions extends VolumeOptions {
  readonly yes?: boolean;
  readonly now?: boolean;
}

export function deleteCommand(): Command {
  return volumeCommand(
    "delete <name>",
    "Mark a volume as deleted: clients are told at once, reads go on by its policy, writes do not. It can be undeleted until its window closes.",
  )
    .option("--yes", "really do it")
    .option("--now", "no window: its content is removed at once, for good")
    .action(async (name: string, options: DeleteOptions) => {
      mustMean(options, name);
      const { volume, clients } = await serviceOf(options).call("delete", [name, { now: options.now === true, by: actor() }]);
      const told = clients === 0 ? "" : `; ${clients} ${clients === 1 ? "client was" : "clients were"} told`;
      const line =
        volume.state === "deleted"
          ? `deleted ${volume.name} for good${told}`
          : `marked ${volume.name} as deleted${told}; until ${isoText(volume.purgeAtMs ?? 0)}: anax volume undelete ${volume.name}`;
      report(options, volume, line, { clients });
    });
}

export function undeleteCommand(): Command {
  return volumeCommand("undelete <name>", "Take back a deletion whose window has not closed.").action(
    async (name: string, options: VolumeOptions) => {
      const volume = await serviceOf(options).call("undelete", [name]);
      report(options, volume, `${volume.name} is back`);
    },
  );
}

export function purgeCommand(): Command {
  return volumeCommand("purge [name]", "Remove the content of deleted volumes whose window has closed, or of one of them.")
    .option("--yes", "with a name: really do it")
    .option("--force", "with a name: although its window is open")
    .action(async (name: string | undefined, options: DeleteOptions & { readonly force?: boolean }) => {
      const volumes = serviceOf(options);
      if (name !== undefined) mustMean(options, name);
      const due = name === undefined ? (await volumes.call("due", [])).map(({ uuid }) => uuid) : [name];
      for (const each of due) {
        const volume = await volumes.call("purge", [each, { force: options.force === true }]);
        if (options.json === true) printJson(recordJson(volume));
        else printLine(`purged ${volume.name} (${volume.uuid})`);
      }
      if (due.length === 0 && options.json !== true) printLine("Nothing is due.");
    });
}

function mustMean({ yes }: DeleteOptions, name: string): void {
  if (yes !== true) throw new AnaxError("input.invalid", { volume: name, expected: "--yes" });
}
