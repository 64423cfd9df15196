import { z } from "zod";
import { parseBytes, parseBytesPerSecond, parseDurationMs } from "./units.ts";

/** A setting in bytes: a number or text with a unit; bounds are given the same way. */
export function byteSize(bounds: { readonly min: string; readonly max: string }) {
  return quantity(parseBytes, "a size such as 4MiB", bounds);
}

/** A setting in milliseconds: text with a unit (`30s`), or a number of seconds. */
export function duration(bounds: { readonly min: string; readonly max: string }) {
  return quantity(parseDurationMs, "a duration such as 30s", bounds);
}

/** A setting in bytes per second: a number or text with a unit (`100MiB/s`, `800Mbit/s`), or 0 where there is no limit. */
export function rateLimit(bounds: { readonly min: string; readonly max: string }) {
  return quantity(parseBytesPerSecond, "0 for no limit, or a rate such as 100MiB/s or 800Mbit/s", { ...bounds, orZero: true });
}

/** Kept as text in the schema, so that defaults and documentation show `4MiB`; parsed to a number for the rooms. */
function quantity(
  parse: (text: string) => number | undefined,
  what: string,
  bounds: { readonly min: string; readonly max: string; readonly orZero?: boolean },
) {
  const min = parse(bounds.min)!;
  const max = parse(bounds.max)!;
  return z
    .union([z.string(), z.number()])
    .meta({ quantity: what, minimumText: bounds.min, maximumText: bounds.max })
    .transform((value, context) => {
      const parsed = parse(String(value));
      if (parsed !== undefined && parsed >= min && parsed <= max) return parsed;
      if (parsed === 0 && bounds.orZero === true) return parsed;
      context.addIssue({ code: "custom", message: `expected ${what} from ${bounds.min} to ${bounds.max}` });
      return z.NEVER;
    });
}
