import { bytesOf, type Refused } from "./parameter-forms.ts";
import type { Parameter } from "./parameters.ts";

export type ParameterValue = string | number | boolean;

/** A value as redis.conf and CONFIG SET write it: `1gb`, `yes`, `-2`. */
export function parseParameter(parameter: Parameter, text: string, before: ParameterValue): ParameterValue | Refused {
  switch (parameter.kind) {
    case "boolean":
      if (/^yes$/i.test(text)) return true;
      return /^no$/i.test(text) ? false : { problem: "argument must be 'yes' or 'no'" };
    case "choice": {
      const found = parameter.choices.find((choice) => choice === text.toLowerCase());
      return found ?? { problem: `argument(s) must be one of the following: ${[...new Set(parameter.choices)].join(", ")}` };
    }
    case "text":
      return parameter.form === undefined ? text : parameter.form(text, String(before));
    case "integer":
      return bounded(parameter, /^-?\d+$/.test(text) ? Number(text) : undefined, "argument couldn't be parsed into an integer");
    case "memory": {
      const percent = parameter.percent === true ? /^(\d{1,3})%$/.exec(text) : null;
      if (percent !== null)
        return Number(percent[1]) > 100 ? { problem: "percentage argument must be less or equal to 100" } : -Number(percent[1]);
      return bounded(
        { min: Math.max(0, parameter.min), max: parameter.max },
        bytesOf(text),
        parameter.percent === true ? "argument must be a memory or percent value" : "argument must be a memory value",
      );
    }
  }
}

function bounded(
  { min, max }: { readonly min: number; readonly max: number },
  value: number | undefined,
  problem: string,
): number | Refused {
  if (value === undefined) return { problem };
  return value < min || value > max ? { problem: `argument must be between ${min} and ${max} inclusive` } : value;
}

export function textOfParameter(parameter: Parameter, value: ParameterValue): string {
  if (parameter.kind === "boolean") return value === true ? "yes" : "no";
  if (parameter.kind === "memory" && typeof value === "number" && value < 0) return `${-value}%`;
  return String(value);
}
