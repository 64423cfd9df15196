import type { Parameter } from "./parameters.ts";

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

export interface Refused {
  readonly problem: string;
}

/** A value as redis.conf and CONFIG SET write it: `1gb`, `yes`, `-2`. */
export function parseParameter(parameter: Parameter, text: string): string | number | boolean | Refused {
  switch (parameter.kind) {
    case "boolean":
      if (/^yes$/i.test(text)) return true;
      return /^no$/i.test(text) ? false : { problem: "argument must be 'yes' or 'no'" };
    case "choice": {
      const found = parameter.choices.find((choice) => choice === text.toLowerCase());
      return found ?? { problem: `argument(s) must be one of the following: ${parameter.choices.join(", ")}` };
    }
    case "text":
      return text;
    case "integer":
    case "memory": {
      const value = parameter.kind === "memory" ? bytesOf(text) : /^-?\d+$/.test(text) ? Number(text) : undefined;
      if (value === undefined)
        return { problem: parameter.kind === "memory" ? "argument must be a memory value" : "argument couldn't be parsed into an integer" };
      if (value < parameter.min || value > parameter.max)
        return { problem: `argument must be between ${parameter.min} and ${parameter.max} inclusive` };
      return value;
    }
  }
}

export function textOfParameter(parameter: Parameter, value: string | number | boolean): string {
  if (parameter.kind !== "boolean") return String(value);
  return value === true ? "yes" : "no";
}

function bytesOf(text: string): number | undefined {
  const found = /^(\d+)([a-z]*)$/i.exec(text);
  const unit = found === null ? undefined : UNITS[found[2]!.toLowerCase()];
  return unit === undefined ? undefined : Number(found![1]) * unit;
}
