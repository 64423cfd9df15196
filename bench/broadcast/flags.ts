import { parseArgs } from "node:util";
import { parseBytes } from "../../src/base/units.ts";

export interface Flags {
  readonly scenarios: readonly string[] | undefined;
  readonly drivers: readonly string[] | undefined;
  readonly n: number | undefined;
  readonly bytes: number | undefined;
  readonly rateBits: number | undefined;
  readonly warmBytes: number;
  readonly runs: number;
  readonly set: readonly string[];
  readonly anaxDist: string | undefined;
  readonly logs: string | undefined;
  readonly quick: boolean;
  readonly list: boolean;
  readonly json: boolean;
  readonly strict: boolean;
  readonly keep: boolean;
  readonly help: boolean;
}

export const HELP = `npm run bench:broadcast -- [options]
  --scenarios a,b     only these, as --list names them
  --drivers a,b       anax, anax-digest (told the sha256), aria2, libtorrent, chain (what the network allows)
  --quick             one short scenario
  --n N               other numbers of hosts, sizes and rates than the scenarios name
  --size SIZE         such as 128MiB
  --rate RATE         such as 100mbit
  --warm SIZE         what the daemons of anax bring before they are timed, as daemons do that run all the time (default 64MiB; 0: nothing)
  --runs N            of each row; medians are reported, and the worst ratio (default 1)
  --json              end with one line of JSON on standard output
  --strict            exit with 1 when a row misses what is required
  --set PATH=VALUE    a setting for all daemons and the scheduler of anax (repeatable)
  --anax-dist DIR     a built tree to run instead of this one's
  --logs DIR          copy the logs of all processes there
  --keep              leave data and copies where they are
  --list              what there is
`;

const N_MAX = 64;

/** Throws in words for the user. */
export function parseFlags(args: readonly string[]): Flags {
  const { values } = parseArgs({
    args: [...args],
    options: {
      scenarios: { type: "string" },
      drivers: { type: "string" },
      n: { type: "string" },
      size: { type: "string" },
      rate: { type: "string" },
      warm: { type: "string", default: "64MiB" },
      runs: { type: "string", default: "1" },
      set: { type: "string", multiple: true, default: [] },
      "anax-dist": { type: "string" },
      logs: { type: "string" },
      quick: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      strict: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  return {
    scenarios: values.scenarios?.split(","),
    drivers: values.drivers?.split(","),
    n: values.n === undefined ? undefined : whole("--n", values.n, N_MAX),
    bytes: values.size === undefined ? undefined : positive("--size", parseBytes(values.size)),
    rateBits: values.rate === undefined ? undefined : positive("--rate", parseRateBits(values.rate)),
    warmBytes: values.warm === "0" ? 0 : positive("--warm", parseBytes(values.warm)),
    runs: whole("--runs", values.runs, 100),
    set: values.set,
    anaxDist: values["anax-dist"],
    logs: values.logs,
    quick: values.quick,
    list: values.list,
    json: values.json,
    strict: values.strict,
    keep: values.keep,
    help: values.help,
  };
}

/** Bits per second of `50mbit`, `1gbit`, `512kbit`; undefined when it is no rate. */
export function parseRateBits(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(k|m|g)bit$/i.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * { k: 1e3, m: 1e6, g: 1e9 }[match[2]!.toLowerCase() as "k" | "m" | "g"]; // the pattern has both
}

function whole(flag: string, text: string, max: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > max) throw new Error(`${flag} is a number from 1 to ${max}, not ${text}`);
  return value;
}

function positive(flag: string, value: number | undefined): number {
  if (value === undefined || value <= 0) throw new Error(`${flag} needs a value such as --size 128MiB or --rate 100mbit`);
  return value;
}
