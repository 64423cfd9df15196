import { readFileSync } from "node:fs";
import { AnaxError, systemCodeOf } from "../../base/errors.ts";
import { nearestOf } from "../../base/nearest.ts";
import { splitInline } from "../../wire/resp/inline.ts";
import { PARAMETERS, PARAMETER_NAMES, type Parameter, type ParameterValues } from "./parameters.ts";
import { parseParameter } from "./parameter-text.ts";

/** What a redis.conf says, or several of them and the command line. */
export interface StartSettings {
  readonly parameters: Partial<ParameterValues>;
  /** Rules of users, a list of words for each: name first. */
  readonly users: readonly (readonly string[])[];
}

/** Files that include each other are read this deep. */
const INCLUDES_MAX = 8;
/** Directives of which later ones add to those before. */
const ADDING: ReadonlySet<string> = new Set(["save"]);

/** Reads a redis.conf. Throws `config.unreadable`, `config.invalid` with every problem. */
export function readRedisConf(file: string): readonly Directive[] {
  return linesOf(file, 0);
}

/** One directive, with where it stands. */
export interface Directive {
  readonly name: string;
  readonly values: readonly string[];
  readonly from: string;
}

function linesOf(file: string, depth: number): Directive[] {
  let text: string;
  try {
    text = readFileSync(file, "latin1");
  } catch (thrown) {
    throw new AnaxError("config.unreadable", { file, reason: systemCodeOf(thrown) ?? String(thrown) }, { cause: thrown });
  }
  return text.split(/\r?\n/).flatMap((line, index): Directive[] => {
    const from = `${file}:${index + 1}`;
    if (/^\s*(#|$)/.test(line)) return [];
    const words = splitInline(line.trim());
    if (words === undefined || words.length === 0)
      throw new AnaxError("config.invalid", { file, problems: [`${from}: unbalanced quotes`] });
    const [name, ...values] = words;
    if (name!.toLowerCase() !== "include") return [{ name: name!.toLowerCase(), values, from }];
    if (depth >= INCLUDES_MAX) throw new AnaxError("config.invalid", { file, problems: [`${from}: files include each other too deeply`] });
    return values.flatMap((each) => linesOf(each, depth + 1));
  });
}

/** What directives say together; later ones win. Throws `config.invalid` with every problem. */
export function settingsOfDirectives(directives: readonly Directive[]): StartSettings {
  const parameters: Record<string, string | number | boolean> = {};
  const users: (readonly string[])[] = [];
  const problems: string[] = [];
  for (const { name: given, values, from } of directives) {
    if (given === "user") {
      users.push(values);
      continue;
    }
    const name = PARAMETER_NAMES.get(given);
    if (name === undefined) {
      const near = nearestOf(given, Object.keys(PARAMETERS));
      problems.push(`${from}: unknown parameter ${given}${near === undefined ? "" : `, did you mean ${near}?`}`);
      continue;
    }
    const parameter: Parameter = PARAMETERS[name];
    const before = parameters[name] ?? parameter.default;
    const text = values.join(" ");
    const adds = ADDING.has(name) && text !== "" && parameters[name] !== undefined && parameters[name] !== "";
    const value = parseParameter(parameter, adds ? `${String(parameters[name])} ${text}` : text, before);
    if (typeof value === "object") problems.push(`${from}: ${given}: ${value.problem}`);
    else parameters[name] = value;
  }
  if (problems.length > 0) throw new AnaxError("config.invalid", { problems });
  return { parameters, users };
}
