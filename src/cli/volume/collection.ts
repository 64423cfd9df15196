import type { Command } from "commander";
import { formatBytes } from "../../base/units.ts";
import type { Flaw } from "../../volume/meta/ledger.ts";
import { durationOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { volumeCommand, serviceOf, type VolumeOptions } from "./options.ts";

const MINUTE_MS = 60_000;
const PROGRESS_BLOBS = 4096;

interface GcOptions extends VolumeOptions {
  readonly grace: number;
  readonly scan?: boolean;
  readonly quarantine?: boolean;
}

export function gcCommand(): Command {
  return volumeCommand("gc <name>", "Delete the blobs that no file refers to any more, as the ledger names them.")
    .option("--grace <duration>", "only what has been unused for so long", durationOption, 10 * MINUTE_MS)
    .option("--scan", "also look for objects that the ledger does not know, and report them")
    .option("--quarantine", "move those aside (never deleted); implies --scan")
    .action(async (name: string, options: GcOptions) => {
      const { collected, strangers } = await serviceOf(options).call(
        "gc",
        [
          name,
          {
            graceMs: options.grace,
            scan: options.scan === true || options.quarantine === true,
            quarantine: options.quarantine === true,
          },
        ],
        progress("gc", options),
      );
      if (options.json === true) return printJson({ ...collected, ...(strangers !== undefined && { strangers }) });
      printLine(`deleted ${collected.blobs} blobs, ${formatBytes(collected.bytes)}`);
      if (collected.expired > 0) printLine(`${collected.expired} files and directories had been in the trash for long enough`);
      if (collected.abandoned > 0) printLine(`${collected.abandoned} blobs of clients that died will go with a later run`);
      if (strangers === undefined) return;
      const what = strangers.quarantined > 0 ? "moved aside" : "left where they are";
      printLine(
        `${strangers.strangers} of ${strangers.objects} objects are unknown to the ledger${strangers.strangers > 0 ? `, ${what}` : ""}`,
      );
      for (const key of strangers.keys) printLine(`  ${key}`);
    });
}

interface FsckOptions extends VolumeOptions {
  readonly data?: boolean;
  readonly repair?: boolean;
}

export function fsckCommand(): Command {
  return volumeCommand(
    "fsck <name>",
    "Check a volume: names, inodes, links, extents, blobs and all that is counted. Exit code 5 when something is wrong.",
  )
    .option("--data", "read all content, too, and compare it with its digests")
    .option("--repair", "count anew what is only counted; nothing else is changed")
    .action(async (name: string, options: FsckOptions) => {
      const { flaws, repaired } = await serviceOf(options).call(
        "fsck",
        [name, { data: options.data === true, repair: options.repair === true }],
        progress("fsck", options),
      );
      if (options.json === true) printJson({ clean: flaws.length === 0, repaired, flaws });
      else {
        for (const flaw of flaws) printLine(flawText(flaw));
        printLine(flaws.length === 0 ? (repaired > 0 ? `clean; ${repaired} repaired` : "clean") : `${flaws.length} flaws`);
      }
      if (flaws.length > 0) process.exitCode = 5;
    });
}

export function statsCommand(): Command {
  return volumeCommand("stats <name>", "Count what a volume consists of.").action(async (name: string, options: VolumeOptions) => {
    const volumes = serviceOf(options);
    const stats = await volumes.call("stats", [name]);
    const inBucket = (await volumes.call("get", [name])).data.kind === "s3";
    const reads = inBucket ? await volumes.call("reads", [name]) : undefined;
    if (options.json === true) return printJson({ ...stats, ...(reads !== undefined && { reads }) });
    for (const [key, value] of Object.entries(stats)) printLine(`${key.padEnd(14)} ${key.endsWith("Bytes") ? formatBytes(value) : value}`);
    if (reads === undefined) return;
    const { resting, ...counts } = reads;
    printLine("On this machine, in the last 30 days:");
    for (const [key, value] of Object.entries(counts)) printLine(`${key.padEnd(14)} ${key.endsWith("Bytes") ? formatBytes(value) : value}`);
    for (const reason of resting) printLine(`peers are left alone for a moment: ${reason}`);
  });
}

const flawText = ({ kind, id, found, expected }: Flaw): string => `${kind.padEnd(20)} ${id}: found ${found}, expected ${expected}`;

/** A line now and then: JSON for programs, else on standard error. */
function progress(title: string, { json }: VolumeOptions): (done: { readonly blobs: number; readonly bytes: number }) => void {
  let shown = 0;
  return ({ blobs, bytes }) => {
    if (blobs - shown < PROGRESS_BLOBS) return;
    shown = blobs;
    if (json === true) printJson({ event: "progress", title, blobs, bytes });
    else process.stderr.write(`${title}: ${blobs} blobs, ${formatBytes(bytes)}\n`);
  };
}
