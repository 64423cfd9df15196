import { InvalidArgumentError, Option, type Command } from "commander";
import { isoText } from "../../base/clock.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { AnaxError } from "../../base/errors.ts";
import { IN_DIRECTORY, placeText, s3DataOf, type S3Data, type VolumeData } from "../../volume/data/volume-data.ts";
import type { VolumeRecord } from "../../volume/lifecycle/volume-record.ts";
import type { CopyOptions, Volumes, VolumeUpdate } from "../../volume/lifecycle/volumes.ts";
import { bytesOption, countOption, durationOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";
import {
  actor,
  limitText,
  META_HELP,
  metaOption,
  recordJson,
  report,
  volumeCommand,
  serviceOf,
  remoteOf,
  volumesOf,
  type VolumeOptions,
} from "./options.ts";

const HOUR_MS = 3_600_000;

interface RecordOptions extends VolumeOptions {
  readonly owner?: string;
  readonly capacity?: number;
  readonly inodes?: number;
  readonly undeleteWindow?: number;
  readonly onDelete?: VolumeRecord["onDelete"];
  readonly trash?: number;
}

/** Attributes that are given at creation, or changed later. */
function withAttributes(command: Command): Command {
  return command
    .option("--owner <name>", "whom it belongs to (default: who creates it)")
    .option("--capacity <size>", "most bytes of content, such as 500GiB; 0: no limit", bytesOption)
    .option("--inodes <count>", "most files and directories; 0: no limit", countOption)
    .option("--undelete-window <duration>", "how long it can be undeleted (default: 48h)", durationOption)
    .option(
      "--trash <duration>",
      "how long files that are deleted in it can be restored, such as 24h; 0, the default: not at all",
      durationOption,
    )
    .addOption(new Option("--on-delete <policy>", "when its clients leave (default: detach-now)").choices(["detach-now", "at-purge"]));
}

interface CreateOptions extends RecordOptions {
  readonly readOnly?: boolean;
  readonly uid?: number;
  readonly gid?: number;
  readonly mode: number;
  readonly data?: string;
  readonly meta?: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly durability?: S3Data["durability"];
  readonly cache?: number;
  readonly backlog?: number;
  readonly peers?: "on" | "off";
}

export function createCommand(): Command {
  return withAttributes(volumeCommand("create <name>", "Create a volume. Prints its access key; the secret is shown this once."))
    .option("--read-only", "nobody may change anything")
    .option("--uid <id>", "owner of its root directory (default: who creates it)", countOption)
    .option("--gid <id>", "group of its root directory", countOption)
    .option("--mode <octal>", "permissions of its root directory", modeOption, 0o755)
    .option("--meta <url>", META_HELP, metaOption)
    .option("--data <url>", "s3://bucket/prefix: where its content lies, for good (default: in the data directory)")
    .option("--endpoint <url>", "with --data: of a store that is not Amazon's")
    .option("--region <name>", "with --data (default: us-east-1)")
    .addOption(
      new Option("--durability <where>", "with --data: what fsync and close wait for (default: remote)").choices(["remote", "local"]),
    )
    .option("--cache <size>", "with --data: most that is kept on a machine to be read again (default: 10GiB)", bytesOption)
    .option("--backlog <size>", "with --data: most that waits on a machine to be uploaded (default: 1GiB)", bytesOption)
    .addOption(
      new Option("--peers <switch>", "with --data: ask other machines, through the daemon, before the store (default: off)").choices([
        "on",
        "off",
      ]),
    )
    .action(async (name: string, options: CreateOptions) => {
      const { volume, key } = await serviceOf(options).call("create", [
        {
          name,
          owner: options.owner ?? actor().split("@")[0]!, // split never gives an empty list
          capacityBytes: options.capacity ?? 0,
          inodesMax: options.inodes ?? 0,
          readOnly: options.readOnly === true,
          onDelete: options.onDelete ?? "detach-now",
          undeleteMs: options.undeleteWindow ?? 48 * HOUR_MS,
          trashMs: options.trash ?? 0,
          uid: options.uid ?? process.getuid?.() ?? 0,
          gid: options.gid ?? process.getgid?.() ?? 0,
          permissions: options.mode,
          data: dataOf(options),
          ...(options.meta !== undefined && options.meta !== "sqlite" && { meta: options.meta }),
        },
      ]);
      report(options, volume, `created volume ${volume.name} (${volume.uuid})\naccess key ${key.id}\nsecret     ${key.secret}`, { key });
    });
}

function dataOf({ data, endpoint, region, durability, cache, backlog, peers }: CreateOptions): VolumeData {
  const limits = { cacheBytesMax: cache, backlogBytesMax: backlog };
  if (data !== undefined) return s3DataOf({ url: data, endpoint, region, durability, ...limits, peers: isOn(peers) });
  if ([endpoint, region, durability, cache, backlog, peers].some((given) => given !== undefined))
    throw new AnaxError("input.invalid", { expected: "--data s3://bucket/prefix, which these options are about" });
  return IN_DIRECTORY;
}

export function attachCommand(): Command {
  return volumeCommand(
    "attach <uuid>",
    "Use a volume here whose metadata are in an engine that others use, too, and whose content is in a bucket.",
  )
    .requiredOption("--meta <url>", "the engine that has its metadata; or @FILE, with the URL in it", metaOption)
    .option("--name <name>", "what it is called here (default: as it was created)")
    .action(async (uuid: string, options: VolumeOptions & { readonly meta: string; readonly name?: string }) => {
      const { volume, key } = await serviceOf(options).call("attach", [uuid, { meta: options.meta, name: options.name }]);
      report(options, volume, `attached volume ${volume.name} (${volume.uuid})\naccess key ${key.id}\nsecret     ${key.secret}`, { key });
    });
}

export const cloneCommand = (): Command =>
  copyCommand("clone", "Make another volume with the content that this one has now. It shares the blobs: no content is copied.", false);

export const snapshotCommand = (): Command =>
  copyCommand("snapshot", "Keep the content that a volume has now, as a read-only volume that shares the blobs.", true);

function copyCommand(verb: string, description: string, readOnly: boolean): Command {
  return volumeCommand(`${verb} <name> <new>`, description)
    .option("--owner <name>", "whom it belongs to (default: who creates it)")
    .option("--meta <url>", "what keeps its metadata: sqlite, or as for create (default: what keeps those of the original)", metaOption)
    .action(async (name: string, to: string, options: VolumeOptions & { readonly owner?: string; readonly meta?: string }) => {
      const owner = options.owner ?? actor().split("@")[0]!; // split never gives an empty list
      const { volume, key, shared } = await copied(name, { name: to, owner, readOnly, meta: options.meta }, options);
      const line = `created ${readOnly ? "snapshot" : "volume"} ${volume.name} (${volume.uuid}), ${shared.blobs} blobs shared`;
      report(options, volume, `${line}\naccess key ${key.id}\nsecret     ${key.secret}`, { key, shared });
    });
}

function copied(name: string, { meta, ...copy }: CopyOptions, options: VolumeOptions): ReturnType<Volumes["clone"]> {
  if (meta === undefined) return serviceOf(options).call("clone", [name, copy]);
  if (remoteOf(options) === undefined) return volumesOf(options).clone(name, { ...copy, meta });
  throw new AnaxError("input.invalid", { expected: "no --meta with --server: copy it on that machine, or leave it where the original is" });
}

export function listCommand(): Command {
  return volumeCommand("list", "List the volumes.")
    .option("--all", "also those that are deleted for good")
    .action(async (options: VolumeOptions & { readonly all?: boolean }) => {
      const all = await serviceOf(options).call("list", []);
      const volumes = all.filter(({ state }) => options.all === true || state !== "deleted");
      if (options.json === true) return volumes.forEach((volume) => printJson(recordJson(volume)));
      if (volumes.length === 0) return printLine("No volumes here yet. Try: anax volume create NAME");
      printTable(
        ["NAME", "STATE", "OWNER", "CAPACITY", "CREATED", "UUID"],
        volumes.map((volume) => [
          volume.name,
          stateText(volume),
          volume.owner,
          limitText(volume.capacityBytes),
          isoText(volume.createdAtMs),
          volume.uuid,
        ]),
        [3],
      );
    });
}

export function infoCommand(): Command {
  return volumeCommand("info <name>", "Show a volume: its record, usage, clients and access keys.").action(
    async (name: string, options: VolumeOptions) => {
      const { volume, usage, keys, meta, clients: sessions } = await serviceOf(options).call("info", [name]);
      const clients = sessions.map(({ startedAtMs, seenAtMs, ...rest }) => ({
        ...rest,
        startedAt: isoText(startedAtMs),
        seenAt: isoText(seenAtMs),
      }));
      if (options.json === true) return printJson({ ...recordJson(volume), meta, usage, clients, keys: keys.map(({ id }) => id) });
      printLine(`${volume.name} (${volume.uuid}), epoch ${volume.epoch}`);
      printLine(`state      ${stateText(volume)}${volume.readOnly ? ", read-only" : ""}`);
      printLine(`owner      ${volume.owner}`);
      printLine(`metadata   ${meta}`);
      printLine(`content    ${formatBytes(usage?.usedBytes ?? 0)} of ${limitText(volume.capacityBytes)}`);
      printLine(`inodes     ${usage?.usedInodes ?? 0} of ${volume.inodesMax === 0 ? "no limit" : volume.inodesMax}`);
      printLine(`data       ${placeText(volume.data)}`);
      printLine(`deletion   ${formatDuration(volume.undeleteMs)} to undelete; clients: ${volume.onDelete}`);
      printLine(`trash      ${volume.trashMs === 0 ? "off" : formatDuration(volume.trashMs)}`);
      printLine(`keys       ${keys.map(({ id }) => id).join(", ") || "none"}`);
      for (const { id, host, pid, mountpoint, seenAt } of clients)
        printLine(`client     ${id}: ${mountpoint} on ${host}, pid ${pid}, last seen ${seenAt}`);
    },
  );
}

interface UpdateOptions extends RecordOptions {
  readonly name?: string;
  readonly readOnly?: boolean;
  readonly writable?: boolean;
  readonly peers?: "on" | "off";
}

export function updateCommand(): Command {
  return withAttributes(volumeCommand("update <name>", "Change attributes of a volume; clients learn of it at once."))
    .option("--name <name>", "another name")
    .option("--read-only", "nobody may change anything from now on")
    .option("--writable", "changes are allowed again")
    .addOption(
      new Option("--peers <switch>", "of content in a bucket: ask other machines before the store; for mounts from now on").choices([
        "on",
        "off",
      ]),
    )
    .action(async (name: string, options: UpdateOptions) => {
      const readOnly = options.readOnly === true ? true : options.writable === true ? false : undefined;
      const changes: VolumeUpdate = defined({
        name: options.name,
        owner: options.owner,
        capacityBytes: options.capacity,
        inodesMax: options.inodes,
        undeleteMs: options.undeleteWindow,
        trashMs: options.trash,
        onDelete: options.onDelete,
        readOnly,
        peers: isOn(options.peers),
      });
      const volume = await serviceOf(options).call("update", [name, changes]);
      report(options, volume, `updated ${volume.name}: ${Object.keys(changes).join(", ") || "nothing"}`);
    });
}

const isOn = (given: "on" | "off" | undefined): boolean | undefined => (given === undefined ? undefined : given === "on");

/** Without what is undefined: absent means unchanged. */
const defined = (changes: { readonly [K in keyof VolumeUpdate]: VolumeUpdate[K] | undefined }): VolumeUpdate =>
  Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));

function stateText({ state, purgeAtMs }: VolumeRecord): string {
  return state === "deleting" && purgeAtMs !== undefined ? `deleting, undelete before ${isoText(purgeAtMs)}` : state;
}

function modeOption(text: string): number {
  if (!/^[0-7]{3,4}$/.test(text)) throw new InvalidArgumentError("expected octal permissions such as 755");
  return Number.parseInt(text, 8);
}
