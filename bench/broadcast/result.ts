import { median } from "../kit/process.ts";
import type { Race } from "./race.ts";
import type { Scenario } from "./scenario.ts";

/** One row: a driver in a scenario. Medians over its runs, but for the worst ratio. */
export interface Row {
  readonly scenario: string;
  readonly driver: string;
  readonly n: number;
  /** Hosts that got the content; all but those that were killed. */
  readonly finished: number;
  readonly bytes: number;
  readonly runs: number;
  readonly secondsFirst: number;
  readonly secondsMedian: number;
  readonly secondsLast: number;
  readonly boundSeconds: number;
  readonly ratioLast: number;
  readonly ratioLastWorst: number;
  /** Bytes on the wire, headers included, in copies of the content: what the origin sent, and what came into other racks than its own. */
  readonly originCopies: number;
  readonly coreCopies?: number;
  /** Bytes that all sent, per copy that a host got. */
  readonly wireCopies: number;
  readonly cpuSecondsPerGiB: number;
  /** Of the program that delays packets, in which the receiving side of the network runs, too. */
  readonly delayCpuSecondsPerGiB: number;
  /** Of what else ran on this machine, in all. */
  readonly otherCpuSeconds: number;
  readonly busyShare: number;
  readonly crowdedShare: number;
  readonly peakResidentMiB: number;
  readonly required: Scenario["required"];
}

/** A driver that did not get through. */
export interface FailedRow {
  readonly scenario: string;
  readonly driver: string;
  readonly n: number;
  readonly failed: string;
  readonly required: Scenario["required"];
}

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;

export function rowOf(scenario: Scenario, driver: string, races: readonly Race[]): Row {
  const figures = races.map((race) => figuresOf(scenario, race));
  const middle = (figure: keyof Figures): number => round(median(figures.map((each) => each[figure])));
  return {
    scenario: scenario.name,
    driver,
    n: scenario.n,
    finished: middle("finished"),
    bytes: scenario.bytes,
    runs: races.length,
    secondsFirst: middle("secondsFirst"),
    secondsMedian: middle("secondsMedian"),
    secondsLast: middle("secondsLast"),
    boundSeconds: middle("boundSeconds"),
    ratioLast: middle("ratioLast"),
    ratioLastWorst: round(Math.max(...figures.map(({ ratioLast }) => ratioLast))),
    originCopies: middle("originCopies"),
    ...(scenario.racks === undefined ? {} : { coreCopies: middle("coreCopies") }),
    wireCopies: middle("wireCopies"),
    cpuSecondsPerGiB: middle("cpuSecondsPerGiB"),
    delayCpuSecondsPerGiB: middle("delayCpuSecondsPerGiB"),
    otherCpuSeconds: middle("otherCpuSeconds"),
    busyShare: middle("busyShare"),
    crowdedShare: middle("crowdedShare"),
    peakResidentMiB: middle("peakResidentMiB"),
    required: scenario.required,
  };
}

type Figures = ReturnType<typeof figuresOf>;

function figuresOf(scenario: Scenario, { hosts, bounds, ...race }: Race) {
  const times = hosts.flatMap((time, i) => {
    return time === undefined ? [] : [{ ...time, ownRatio: time.ownSeconds / bounds.ownSeconds[i]! }]; // one bound per host
  });
  const seconds = times.map((time) => (scenario.judged === "last" ? time.atSeconds : time.ownSeconds));
  const secondsLast = Math.max(...seconds);
  const worst = times.reduce((a, b) => (b.ownRatio > a.ownRatio ? b : a));
  const boundSeconds = scenario.judged === "last" ? bounds.lastSeconds : worst.ownSeconds / worst.ownRatio;
  const deliveredGiB = (times.length * scenario.bytes) / GIB;
  return {
    finished: times.length,
    secondsFirst: Math.min(...seconds),
    secondsMedian: median(seconds),
    secondsLast,
    boundSeconds,
    ratioLast: scenario.judged === "last" ? secondsLast / boundSeconds : worst.ownRatio,
    originCopies: race.wire.fromOrigin / scenario.bytes,
    coreCopies: race.wire.intoRacks / scenario.bytes,
    wireCopies: race.wire.fromAll / scenario.bytes / times.length,
    cpuSecondsPerGiB: race.cpuSeconds / deliveredGiB,
    delayCpuSecondsPerGiB: race.delayCpuSeconds / deliveredGiB,
    otherCpuSeconds: Math.max(0, race.machine.busySeconds - race.cpuSeconds - race.delayCpuSeconds),
    busyShare: race.machine.busyShare,
    crowdedShare: race.machine.crowdedShare,
    peakResidentMiB: race.peakResidentBytes / MIB,
  };
}

const round = (value: number): number => Number(value.toFixed(3));
