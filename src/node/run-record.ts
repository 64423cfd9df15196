import { join } from "node:path";
import { z } from "zod";
import { isoText, realClock } from "../base/clock.ts";
import { errorOf } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import { replaceFile } from "../disk/atomic-replace.ts";
import { oomKillsInLog, type OomKill } from "./kernel-log.ts";
import { textIn } from "./kernel-text.ts";
import { memoryGroupAt, memoryGroupOf } from "./memory-group.ts";

const RunFacts = z.object({
  pid: z.int().min(1),
  startedAt: z.string().max(64),
  /** Seconds from the machine's start. */
  uptimeSeconds: z.number().min(0),
  /** Of the machine: another one after each of its starts. */
  bootId: z.string().max(64),
  group: z.object({ path: z.string().max(4096), version: z.union([z.literal(1), z.literal(2)]), oomKills: z.int().min(0) }).optional(),
  endedAt: z.string().max(64).optional(),
});
type RunFacts = z.infer<typeof RunFacts>;

const Ending = z.object({
  how: z.enum(["clean", "out-of-memory", "machine-restarted", "unclean"]),
  /** What that is concluded from, for a person. */
  because: z.string().max(8192),
});
/** How a run ended. A signal leaves no trace of itself: `unclean` is all that is known then. */
export type Ending = z.infer<typeof Ending>;

const RunRecord = RunFacts.extend({ previous: RunFacts.extend({ ending: Ending }).optional() });
export type RunRecord = z.infer<typeof RunRecord>;

/** Where the kernel tells of itself; for tests another place than `/`. */
export interface KernelPlace {
  readonly root?: string;
  readonly kernelLog?: string;
}

const pathIn = (dataDir: string): string => join(dataDir, "run.json");

/** What is recorded of the present or last run with this data directory; undefined: nothing that makes sense. */
export function readRunRecord(dataDir: string): RunRecord | undefined {
  try {
    return RunRecord.parse(JSON.parse(textIn(pathIn(dataDir))));
  } catch {
    return undefined;
  }
}

/**
 * Records that this process begins to run, and warns when the one before it did not end well. Disposing records a clean end. The caller has
 * locked the directory. A disk that takes no record is logged and stops nobody.
 */
export async function openRunRecord(dataDir: string, log: Log, place: KernelPlace = {}): Promise<AsyncDisposable> {
  const before = readRunRecord(dataDir);
  const ending = before && endingOf(before, place);
  if (before !== undefined && ending !== undefined && ending.how !== "clean")
    log.warn("node.last-run", { ended: ending.how, because: ending.because, pid: before.pid, startedAt: before.startedAt });
  const previous = before && ending && { ...RunFacts.parse(before), ending };
  const now: RunRecord = { ...factsNow(place), ...(previous === undefined ? {} : { previous }) };
  const write = (record: RunRecord): Promise<void> =>
    replaceFile(pathIn(dataDir), `${JSON.stringify(record)}\n`, { mode: 0o600 }).catch((thrown: unknown) =>
      log.warn("node.run-not-recorded", { reason: errorOf(thrown).message }),
    );
  await write(now);
  return { [Symbol.asyncDispose]: () => write({ ...now, endedAt: isoText(realClock.wallMs()) }) };
}

/** How a run ended that is over. */
export function endingOf(run: RunFacts, { root = "/", kernelLog }: KernelPlace = {}): Ending {
  if (run.endedAt !== undefined) return { how: "clean", because: `it said so at ${run.endedAt}` };
  if (run.bootId !== bootIdOf(root)) return { how: "machine-restarted", because: "the machine was started anew since" };
  const kill = oomKillsInLog(kernelLog)?.findLast((found) => isOf(found, run));
  if (kill !== undefined) return { how: "out-of-memory", because: `the kernel's log: killed process ${kill.pid} (${kill.name})` };
  const group = run.group && memoryGroupAt(run.group.path, run.group.version, { root });
  const kills = run.group !== undefined && group !== undefined ? group.oomKills - run.group.oomKills : 0;
  if (kills > 0) return { how: "out-of-memory", because: `${run.group!.path} counted ${kills} processes killed for memory since` }; // it has one
  return { how: "unclean", because: "it recorded no end: killed by a signal or a crash" };
}

/** Process ids come back; one that was killed before this run began was another's. */
const isOf = (kill: OomKill, run: RunFacts): boolean => kill.pid === run.pid && kill.atSeconds >= run.uptimeSeconds;

function factsNow({ root = "/" }: KernelPlace): RunFacts {
  const group = memoryGroupOf("self", root);
  return {
    pid: process.pid,
    startedAt: isoText(realClock.wallMs()),
    uptimeSeconds: uptimeOf(root),
    bootId: bootIdOf(root),
    ...(group === undefined ? {} : { group: { path: group.path, version: group.version, oomKills: group.oomKills } }),
  };
}

const bootIdOf = (root: string): string => textIn(join(root, "proc/sys/kernel/random/boot_id")).trim().slice(0, 64);
const uptimeOf = (root: string): number => Number(/^\d+(\.\d+)?/.exec(textIn(join(root, "proc/uptime")))?.[0] ?? 0);
