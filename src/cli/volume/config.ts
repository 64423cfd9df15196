import type { Command } from "commander";
import type { VolumeRecord } from "../../volume/lifecycle/volume-record.ts";
import { exactBytes, exactDuration } from "../../base/units.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import { serviceOf, volumeCommand, type VolumeOptions } from "./options.ts";

export function configCommand(): Command {
  return volumeCommand(
    "config <name>",
    "Show the settings of a volume, each as the option of `create` that gave it, and whether `update` changes it.",
  ).action(async (name: string, options: VolumeOptions) => {
    const { volume, meta } = await serviceOf(options).call("info", [name]);
    const [later, fixed] = [changedLater(volume), forGood(volume, meta)];
    if (options.json === true) return printJson({ changeable: Object.fromEntries(later), fixed: Object.fromEntries(fixed) });
    printTable(["OPTION", "VALUE"], later.map(toRow));
    printLine();
    printLine("Since its creation, for good:");
    printTable(["OPTION", "VALUE"], fixed.map(toRow));
  });
}

/** An option without its dashes, and a value as the option takes it. */
type Setting = readonly [option: string, value: string];

const toRow = ([option, value]: Setting): readonly string[] => [`--${option}`, value];

function changedLater(volume: VolumeRecord): readonly Setting[] {
  return [
    ["name", volume.name],
    ["owner", volume.owner],
    ["capacity", exactBytes(volume.capacityBytes)],
    ["inodes", String(volume.inodesMax)],
    ["read-only", String(volume.readOnly)],
    ["undelete-window", exactDuration(volume.undeleteMs)],
    ["on-delete", volume.onDelete],
    ["trash", exactDuration(volume.trashMs)],
    ...(volume.data.kind === "s3" ? [["peers", volume.data.peers ? "on" : "off"] as const] : []),
  ];
}

function forGood({ data }: VolumeRecord, meta: string): readonly Setting[] {
  if (data.kind === "directory") return [["meta", meta]];
  return [
    ["meta", meta],
    ["data", `s3://${data.bucket}/${data.prefix}`],
    ...(data.endpoint === undefined ? [] : [["endpoint", data.endpoint] as const]),
    ["region", data.region],
    ["durability", data.durability],
    ["cache", exactBytes(data.cacheBytesMax)],
    ["backlog", exactBytes(data.backlogBytesMax)],
  ];
}
