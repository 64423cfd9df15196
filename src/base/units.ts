const BYTE_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  K: 1024,
  KB: 1000,
  KIB: 1024,
  M: 1024 ** 2,
  MB: 1e6,
  MIB: 1024 ** 2,
  G: 1024 ** 3,
  GB: 1e9,
  GIB: 1024 ** 3,
  T: 1024 ** 4,
  TB: 1e12,
  TIB: 1024 ** 4,
};
const BIT_UNITS: Readonly<Record<string, number>> = { BIT: 1 / 8, KBIT: 1e3 / 8, MBIT: 1e6 / 8, GBIT: 1e9 / 8, TBIT: 1e12 / 8 };
const MS_UNITS: Readonly<Record<string, number>> = { "": 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Bytes of `4MiB`, `1.5GB`, `4096`; undefined when it is no size. */
export function parseBytes(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([A-Za-z]*)$/.exec(text.trim());
  const unit = match === null ? undefined : BYTE_UNITS[match[2]!.toUpperCase()]; // the pattern has both groups
  return unit === undefined ? undefined : Math.round(Number(match![1]) * unit);
}

/** Bytes per second of `100MiB/s`, `800Mbit/s` or, as Dragonfly writes rates, of a mere size; undefined when it is none. */
export function parseBytesPerSecond(text: string): number | undefined {
  const amount = text.trim().replace(/\s*\/\s*s$/, "");
  const bits = /^(\d+(?:\.\d+)?)\s*([kmgt]?bit)$/i.exec(amount);
  return bits === null ? parseBytes(amount) : Number(bits[1]) * BIT_UNITS[bits[2]!.toUpperCase()]!; // the pattern names the units
}

/** Milliseconds of `500ms`, `30s`, `2h`, `1h30m`; a bare number is seconds, as in Dragonfly's flags. Undefined when it is none. */
export function parseDurationMs(text: string): number | undefined {
  const bare = /^\d+(\.\d+)?$/.exec(text.trim());
  if (bare) return Number(bare[0]) * 1000;
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text.trim())) return undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) sum += Number(amount) * MS_UNITS[unit!]!; // both matched
  return sum;
}

/** `4.00 MiB`: at most four significant digits, binary units. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const scaled = bytes / 1024 ** power;
  return `${power === 0 ? scaled : scaled.toFixed(scaled < 10 ? 2 : scaled < 100 ? 1 : 0)} ${units[power]}`;
}

/** `1h 05m`, `12.3 s`, `350 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes}m ${String(Math.floor((ms % 60_000) / 1000)).padStart(2, "0")}s`;
  return `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, "0")}m`;
}

/** `500GiB`, `4096`: what `parseBytes` reads as just so many bytes, in the largest binary unit that leaves no fraction. */
export const exactBytes = (bytes: number): string =>
  exactly(bytes, [
    [1024 ** 4, "TiB"],
    [1024 ** 3, "GiB"],
    [1024 ** 2, "MiB"],
    [1024, "KiB"],
    [1, ""],
  ]);

/** `48h`, `90s`, `1500ms`: what `parseDurationMs` reads as just so many milliseconds, in the largest unit that leaves no fraction. */
export const exactDuration = (ms: number): string =>
  exactly(ms, [
    [MS_UNITS["h"]!, "h"],
    [MS_UNITS["m"]!, "m"],
    [MS_UNITS["s"]!, "s"],
    [1, "ms"],
  ]);

function exactly(amount: number, units: readonly (readonly [factor: number, unit: string])[]): string {
  const [factor, unit] = units.find(([each]) => amount !== 0 && amount % each === 0) ?? [1, ""];
  return `${amount / factor}${unit}`;
}
