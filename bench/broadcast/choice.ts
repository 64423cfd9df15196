import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { builtProgram } from "../../test/kit/build.ts";
import { anax } from "./drivers/anax.ts";
import { aria2 } from "./drivers/aria2.ts";
import { chain } from "./drivers/chain.ts";
import type { Driver } from "./drivers/driver.ts";
import { libtorrent } from "./drivers/libtorrent.ts";
import type { Flags } from "./flags.ts";
import type { Scenario } from "./scenario.ts";
import { SCENARIOS } from "./scenarios.ts";

/** What is to be run. */
export interface Round {
  readonly scenario: Scenario;
  readonly drivers: readonly Driver[];
}

const MIB = 1024 ** 2;
const QUICK = { scenarios: ["flash-8-1ms"], bytes: 128 * MIB };
const USUAL_DRIVERS = ["anax", "aria2", "libtorrent"];

/** Throws in words for the user. */
export function roundsOf(flags: Flags): readonly Round[] {
  const names =
    flags.scenarios ?? (flags.quick ? QUICK.scenarios : SCENARIOS.filter(({ extra }) => extra !== true).map(({ name }) => name));
  const bytes = flags.bytes ?? (flags.quick ? QUICK.bytes : undefined);
  const driverOf = createDrivers(flags);
  return names.map((name) => {
    const scenario = SCENARIOS.find((each) => each.name === name);
    if (scenario === undefined) throw new Error(`there is no scenario ${name}; --list names all`);
    const drivers = flags.drivers ?? [...(scenario.calibrated === true ? ["chain"] : []), ...USUAL_DRIVERS];
    return {
      scenario: { ...scenario, n: flags.n ?? scenario.n, bytes: bytes ?? scenario.bytes, rateBits: flags.rateBits ?? scenario.rateBits },
      drivers: drivers.map(driverOf),
    };
  });
}

function createDrivers(flags: Flags): (name: string) => Driver {
  const ofAnax = (name: string, digest: boolean) => () => anax(name, { program: programOf(flags), set: flags.set, digest });
  const drivers: Readonly<Record<string, () => Driver>> = {
    anax: ofAnax("anax", false),
    "anax-digest": ofAnax("anax-digest", true),
    aria2: () => aria2,
    libtorrent: () => libtorrent,
    chain: () => chain,
  };
  return (name) => {
    const create = Object.hasOwn(drivers, name) ? drivers[name] : undefined;
    if (create === undefined) throw new Error(`there is no driver ${name}; there are ${Object.keys(drivers).join(", ")}`);
    return create();
  };
}

function programOf({ anaxDist }: Flags): string {
  if (anaxDist === undefined) return builtProgram();
  const program = resolve(anaxDist, "bin/anax.js");
  if (!existsSync(program)) throw new Error(`there is no ${program}`);
  return program;
}
