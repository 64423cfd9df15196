import { cpuSecondsOf, median, runScript } from "./process.ts";
import type { SpanResult, SpanTarget } from "./read-spans.ts";

/** A server that runs already and is measured beside others. */
export interface Contender {
  readonly name: string;
  readonly pid: number;
  readonly target: SpanTarget;
}

export interface Run {
  readonly name: string;
  readonly gigabytesPerSecond: number;
  readonly cpuSecondsPerGiB: number;
}

export interface Verdict {
  readonly gigabytesPerSecond: number;
  readonly cpuSecondsPerGiB: number;
  /** Against the first contender; above 1 is better than it, in both. Medians of the ratios within a round. */
  readonly ratioThroughput: number;
  readonly ratioCpu: number;
}

const READER = new URL("read-spans.ts", import.meta.url).pathname;
const GIB = 1024 ** 3;

/** Measures the contenders in turns, so that a busy neighbour hits all of them, after one round that only warms up. */
export async function duel(
  contenders: readonly Contender[],
  rounds: number,
): Promise<{ runs: Run[][]; verdicts: Record<string, Verdict> }> {
  const runs: Run[][] = [];
  for (let round = 0; round <= rounds; round++) {
    const results: Run[] = [];
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) results.push(await measure(contender));
    if (round > 0) runs.push(contenders.map(({ name }) => results.find((run) => run.name === name)!)); // every contender ran
  }
  const verdicts = contenders.map((contender, place) => [contender.name, verdictOf(runs, place)] as const);
  return { runs, verdicts: Object.fromEntries(verdicts) };
}

async function measure({ name, pid, target }: Contender): Promise<Run> {
  const before = cpuSecondsOf(pid);
  const { bytes, seconds } = (await runScript(READER, [JSON.stringify(target)])) as SpanResult;
  return { name, gigabytesPerSecond: bytes / 1e9 / seconds, cpuSecondsPerGiB: ((cpuSecondsOf(pid) - before) * GIB) / bytes };
}

function verdictOf(runs: readonly Run[][], place: number): Verdict {
  const pairs = runs.map((round) => [round[0]!, round[place]!] as const); // every round has all contenders
  return {
    gigabytesPerSecond: median(pairs.map(([, run]) => run.gigabytesPerSecond)),
    cpuSecondsPerGiB: median(pairs.map(([, run]) => run.cpuSecondsPerGiB)),
    ratioThroughput: median(pairs.map(([first, run]) => run.gigabytesPerSecond / first.gigabytesPerSecond)),
    ratioCpu: median(pairs.map(([first, run]) => first.cpuSecondsPerGiB / run.cpuSecondsPerGiB)),
  };
}
