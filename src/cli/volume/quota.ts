import type { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import type { DirectoryQuota } from "../../volume/meta/control.ts";
import { bytesOption, countOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import { limitText, volumeCommand, serviceOf, type VolumeOptions } from "./options.ts";

interface QuotaOptions extends VolumeOptions {
  readonly bytes?: number;
  readonly inodes?: number;
  readonly remove?: boolean;
}

export function quotaCommand(): Command {
  return volumeCommand(
    "quota <name> [path]",
    "List the quotas of a volume's directories, or set or remove one. It counts everything below.",
  )
    .option("--bytes <size>", "most bytes of content below the directory; 0: no limit", bytesOption)
    .option("--inodes <count>", "most files and directories below it; 0: no limit", countOption)
    .option("--remove", "remove the quota")
    .action(async (name: string, path: string | undefined, options: QuotaOptions) => {
      const volumes = serviceOf(options);
      const sets = options.bytes !== undefined || options.inodes !== undefined || options.remove === true;
      if (path === undefined && sets) throw new AnaxError("input.invalid", { expected: "a path in the volume" });
      if (path === undefined) return show(await volumes.call("quotas", [name]), options);
      const before = (await volumes.call("quotas", [name])).find((quota) => quota.path === path);
      if (!sets) return show(before === undefined ? [] : [before], options);
      const limits = {
        bytesMax: options.remove === true ? 0 : (options.bytes ?? before?.bytesMax ?? 0),
        inodesMax: options.remove === true ? 0 : (options.inodes ?? before?.inodesMax ?? 0),
      };
      const quota = await volumes.call("setQuota", [name, path, limits]);
      if (quota !== undefined) return show([quota], options);
      if (options.json === true) printJson({ path, removed: true });
      else printLine(`no quota on ${path}`);
    });
}

function show(quotas: readonly (DirectoryQuota & { readonly path: string })[], options: VolumeOptions): void {
  if (options.json === true) return quotas.forEach((quota) => printJson(quota));
  if (quotas.length === 0) return printLine("No quota.");
  printTable(
    ["PATH", "BYTES", "OF", "INODES", "OF"],
    quotas.map(({ path, usedBytes, bytesMax, usedInodes, inodesMax }) => [
      path,
      formatBytes(usedBytes),
      limitText(bytesMax),
      String(usedInodes),
      inodesMax === 0 ? "no limit" : String(inodesMax),
    ]),
    [1, 2, 3, 4],
  );
}
