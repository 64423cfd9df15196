import { ownOf } from "../../base/own.ts";
/** Why a value is refused. */
export interface Refused {
  readonly problem: string;
}

const wordsOf = (text: string): string[] => text.split(/\s+/).filter((word) => word !== "");

/** `save`: pairs of seconds and changes. */
export function savePoints(text: string): string | Refused {
  const words = wordsOf(text);
  if (words.length % 2 !== 0) return { problem: "Invalid save parameters" };
  for (let i = 0; i < words.length; i += 2) {
    if (!/^\d+$/.test(words[i]!) || Number(words[i]) < 1 || !/^\d+$/.test(words[i + 1]!)) return { problem: "Invalid save parameters" };
  }
  return words.join(" ");
}

const CLASSES = ["normal", "slave", "pubsub"] as const;
export type OutputClass = (typeof CLASSES)[number];

/** Bytes that wait to be sent to a client: at once too many, or for too long. 0: no limit. */
export interface OutputLimit {
  readonly hardBytes: number;
  readonly softBytes: number;
  readonly softSeconds: number;
}

export function outputLimitsOf(text: string): Readonly<Record<OutputClass, OutputLimit>> {
  const words = text.split(" ");
  const limitAt = (at: number): OutputLimit => ({
    hardBytes: Number(words[at + 1]),
    softBytes: Number(words[at + 2]),
    softSeconds: Number(words[at + 3]),
  });
  return { normal: limitAt(0), slave: limitAt(4), pubsub: limitAt(8) };
}

/** `client-output-buffer-limit`: class, hard limit, soft limit, its seconds; classes that are not named stay as they were. */
export function outputLimits(text: string, before: string): string | Refused {
  const words = wordsOf(text);
  if (words.length === 0 || words.length % 4 !== 0) return { problem: "Wrong number of arguments in buffer limit configuration." };
  const limits: Record<string, OutputLimit> = { ...outputLimitsOf(before) };
  for (let i = 0; i < words.length; i += 4) {
    const name = words[i]!.toLowerCase() === "replica" ? "slave" : words[i]!.toLowerCase();
    if (!CLASSES.includes(name as OutputClass)) return { problem: "Invalid client class specified in buffer limit configuration." };
    const [hardBytes, softBytes] = [bytesOf(words[i + 1]!), bytesOf(words[i + 2]!)];
    if (hardBytes === undefined || softBytes === undefined || !/^\d+$/.test(words[i + 3]!))
      return { problem: "Error in hard, soft or soft_seconds setting in buffer limit configuration." };
    limits[name] = { hardBytes, softBytes, softSeconds: Number(words[i + 3]) };
  }
  return CLASSES.map((name) => `${name} ${limits[name]!.hardBytes} ${limits[name]!.softBytes} ${limits[name]!.softSeconds}`).join(" ");
}

/** `oom-score-adj-values`: three numbers that do not fall. */
export function scoreAdjustments(text: string): string | Refused {
  const words = wordsOf(text);
  if (words.length !== 3) return { problem: "wrong number of arguments" };
  const values = words.map((word) => (/^-?\d+$/.test(word) ? Number(word) : Number.NaN));
  if (values.some((value) => Number.isNaN(value) || value < -2000 || value > 2000))
    return { problem: "Invalid oom-score-adj-values, elements must be between -2000 and 2000." };
  return values.join(" ");
}

/** `latency-tracking-info-percentiles`. */
export function percentiles(text: string): string | Refused {
  const values = wordsOf(text).map(Number);
  if (values.some((value) => Number.isNaN(value))) return { problem: "Invalid latency-tracking-info-percentiles parameters" };
  if (values.some((value) => value < 0 || value > 100)) return { problem: "The percentiles should contain values between 0.0 and 100.0" };
  return values.join(" ");
}

const SHUTDOWN_FLAGS = ["default", "save", "nosave", "now", "force"];

/** `shutdown-on-sigterm`. */
export function shutdownFlags(text: string): string | Refused {
  const words = wordsOf(text.toLowerCase());
  if (words.length === 0 || words.some((word) => !SHUTDOWN_FLAGS.includes(word)))
    return { problem: `argument(s) must be one of the following: ${SHUTDOWN_FLAGS.join(", ")}` };
  if (words.includes("save") && words.includes("nosave")) return { problem: "shutdown flags SAVE and NOSAVE can not be used together" };
  return SHUTDOWN_FLAGS.filter((flag) => words.includes(flag)).join(" ");
}

/** `unixsocketperm`: octal. */
export const fileMode = (text: string): string | Refused => {
  if (!/^[0-7]+$/.test(text)) return { problem: "argument couldn't be parsed into an integer" };
  return Number.parseInt(text, 8) > 0o777 ? { problem: "argument must be between 0 and 777 inclusive" } : text;
};

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1000,
  kb: 1024,
  m: 1000 ** 2,
  mb: 1024 ** 2,
  g: 1000 ** 3,
  gb: 1024 ** 3,
};

/** `1gb`, `100mb`, `5`: bytes; undefined where it is none. */
export function bytesOf(text: string): number | undefined {
  const found = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = found === null ? undefined : ownOf(UNITS, found[2]!.toLowerCase());
  return unit === undefined ? undefined : Number(found![1]) * unit;
}
