import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { Command, InvalidArgumentError } from "commander";
import { isoText, realClock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { formatBytes } from "../../base/units.ts";
import type { VolumeRecord } from "../../volume/lifecycle/volume-record.ts";
import { localVolumes, type VolumeService } from "../../volume/service/methods.ts";
import { RemoteVolumes } from "../../volume/service/remote-volumes.ts";
import { readToken } from "../../volume/service/token.ts";
import { Volumes } from "../../volume/lifecycle/volumes.ts";
import { printJson } from "../output.ts";
import { settingsOf } from "../settings.ts";

/** Of `--meta`. */
export const META_HELP =
  "postgres://user@host/database, redis://host, rediss://host, etcd://host:2379,… or etcds://host:2379,…?cacert=FILE&cert=FILE&key=FILE; or @FILE, with such a URL in it: what keeps its metadata, for good (default: sqlite, in the data directory)";

/** A URL, or `@FILE` for one with a password, which the list of processes would show to everybody. */
export function metaOption(text: string): string {
  if (!text.startsWith("@")) return text;
  try {
    return readFileSync(text.slice(1), "utf8").trim();
  } catch (thrown) {
    throw new InvalidArgumentError(`the file cannot be read: ${errorOf(thrown).message}`);
  }
}

/** What every command about volumes takes. */
export interface VolumeOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
  readonly server?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
}

/** A subcommand that also works on volumes of a service elsewhere. */
export const volumeCommand = (usage: string, description: string): Command => withServer(hereCommand(usage, description));

/** The options by which commands are told of a service. */
export function withServer(command: Command): Command {
  return command
    .option(
      "--server <url>",
      "http://host:port or https://host:port of `anax volume serve`, which has the volumes (default: ANAX_VOLUME_SERVER, else here)",
    )
    .option("--token-file <file>", "with --server: file with its token (default: ANAX_VOLUME_TOKEN)")
    .option("--ca-file <file>", "with --server: PEM file of the authority of its certificate");
}

/** A subcommand for volumes of this machine. */
export function hereCommand(usage: string, description: string): Command {
  const [name, ...args] = usage.split(" ");
  const command = new Command(name).description(description);
  for (const argument of args) command.argument(argument);
  return command
    .option("--data-dir <dir>", "where volumes are kept")
    .option("-c, --config <file>", "YAML file with settings")
    .option("--json", "JSON instead of text");
}

type ServerOptions = Pick<VolumeOptions, "server" | "tokenFile" | "caFile">;

/** Undefined: the volumes are here. Throws `input.invalid` for `--server` without a token, or one that is no address. */
export function remoteOf(options: ServerOptions): RemoteVolumes | undefined {
  const { server = process.env["ANAX_VOLUME_SERVER"], tokenFile, caFile } = options;
  if (server === undefined || (server === "" && options.server === undefined)) return undefined;
  const token = tokenFile === undefined ? process.env["ANAX_VOLUME_TOKEN"] : readToken(tokenFile);
  if (token === undefined) throw new AnaxError("input.invalid", { expected: "--token-file, or ANAX_VOLUME_TOKEN" });
  return new RemoteVolumes({ server, token, caFile });
}

/** Throws as `remoteOf`. */
export const serviceOf = (options: VolumeOptions): VolumeService => remoteOf(options) ?? localVolumes(volumesOf(options));

/** Of this machine. */
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
