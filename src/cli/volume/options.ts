import { hostname, userInfo } from "node:os";
import { Command } from "commander";
import { isoText, realClock } from "../../base/clock.ts";
import { formatBytes } from "../../base/units.ts";
import type { VolumeRecord } from "../../volume/lifecycle/volume-record.ts";
import { Volumes } from "../../volume/lifecycle/volumes.ts";
import { printJson } from "../output.ts";
import { settingsOf } from "../settings.ts";

/** What every command about volumes takes. */
export interface VolumeOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

/** A subcommand, with what all of them take. */
export function volumeCommand(usage: string, description: string): Command {
  const [name, ...args] = usage.split(" ");
  const command = new Command(name).description(description);
  for (const argument of args) command.argument(argument);
  return command
    .option("--data-dir <dir>", "where volumes are kept")
    .option("-c, --config <file>", "YAML file with settings")
    .option("--json", "JSON instead of text");
}

export const volumesOf = ({ config, dataDir }: VolumeOptions): Volumes =>
  new Volumes(
    settingsOf({ set: {}, ...(config !== undefined && { config }), ...(dataDir !== undefined && { dataDir }) }).dataDir,
    realClock,
  );

/** Who does something, for the record. */
export function actor(): string {
  const uid = process.getuid?.() ?? 0;
  try {
    return `${userInfo().username}@${hostname()}`;
  } catch {
    return `uid ${uid}@${hostname()}`; // a user without an entry in passwd
  }
}

/** A record as programs read it: times as ISO text, nothing undefined. */
export function recordJson({ createdAtMs, deletedAtMs, purgeAtMs, ...rest }: VolumeRecord): Record<string, unknown> {
  return {
    ...rest,
    createdAt: isoText(createdAtMs),
    ...(deletedAtMs !== undefined && { deletedAt: isoText(deletedAtMs) }),
    ...(purgeAtMs !== undefined && { purgeAt: isoText(purgeAtMs) }),
  };
}

export const limitText = (bytes: number): string => (bytes === 0 ? "no limit" : formatBytes(bytes));

/** The record for programs, or a line for a person. */
export function report(options: VolumeOptions, volume: VolumeRecord, line: string, more: Record<string, unknown> = {}): void {
  if (options.json === true) return printJson({ ...recordJson(volume), ...more });
  process.stdout.write(`${line}\n`);
}
