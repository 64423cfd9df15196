import { InvalidArgumentError, Option, type Command } from "commander";
import { AnaxError } from "../base/errors.ts";
import { parseBytes, parseDurationMs } from "../base/units.ts";
import { SYSTEM_FILE } from "../node/paths.ts";
import { parsePieceLength } from "../wire/http/piece-length.ts";

export interface SettingOptions {
  readonly config?: string;
  readonly dataDir?: string;
  readonly logLevel?: string;
  readonly set: Readonly<Record<string, string>>;
}

/** The options by which every command that reads settings takes them. */
export function withSettings(command: Command): Command {
  return command
    .option("-c, --config <file>", `YAML file with settings (default: ANAX_CONFIG, then ${SYSTEM_FILE} if it exists)`)
    .option("--data-dir <dir>", "where everything that must survive is kept")
    .addOption(new Option("--log-level <level>", "what is logged").choices(["error", "warn", "info", "debug", "silent"]))
    .option(
      "--set <path=value>",
      "override one setting, e.g. p2p.proxy.port=4001 (repeatable; see: anax config --help-all)",
      pairOption,
      {},
    );
}

export function pairOption(text: string, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const split = text.indexOf("=");
  if (split < 1) throw new InvalidArgumentError("expected path=value");
  return { ...before, [text.slice(0, split)]: text.slice(split + 1) };
}

export const collect = (text: string, before: readonly string[]): readonly string[] => [...before, text];

/** With Dragonfly's units, since the number enters the task id: `4MiB` is binary, `4MB` and `4M` decimal. */
export function pieceLengthOption(text: string): number {
  return parsePieceLength(text) ?? refuse("expected a size such as 4MiB");
}

export function bytesOption(text: string): number {
  return parseBytes(text) ?? refuse("expected a size such as 500MiB");
}

export function durationOption(text: string): number {
  return parseDurationMs(text) ?? refuse("expected a duration such as 30s or 2h");
}

export function countOption(text: string): number {
  return /^\d{1,9}$/.test(text) ? Number(text) : refuse("expected a whole number");
}

/** `Name: value` pairs as HTTP sends them; a line break in one would smuggle in another. */
export function headersOf(lines: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    lines.map((line) => {
      const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)$/.exec(line);
      if (match === null) throw new AnaxError("input.invalid", { header: line, expected: "Name: value" });
      return [match[1]!, match[2]!.trim()]; // both groups matched
    }),
  );
}

function refuse(reason: string): never {
  throw new InvalidArgumentError(reason);
}
