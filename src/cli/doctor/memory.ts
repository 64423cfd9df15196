import { formatBytes } from "../../base/units.ts";
import { oomKillsInLog, type OomKill } from "../../node/kernel-log.ts";
import { textIn } from "../../node/kernel-text.ts";
import { memoryGroupOf, type MemoryGroup } from "../../node/memory-group.ts";
import { endingOf, readRunRecord, type Ending, type RunRecord } from "../../node/run-record.ts";
import { findingOf, type Finding, type Place } from "./finding.ts";

const MEMORY_MIN_BYTES = 256 * 1024 ** 2;
const CLOSE_PERCENT = 90;
const SWAPPED_WARN_BYTES = 32 * 1024 ** 2;
const KIB = 1024;

/** The limits of the daemon's control group, and how often the kernel killed somebody in it. */
export function memory({ pid }: Place): readonly Finding[] {
  const group = memoryGroupOf(pid);
  if (group === undefined) return [{ check: "memory", state: "ok", found: "no control group limits it" }];
  return [findingOf("memory", groupText(group), groupMend(group))];
}

export function groupText({ limitBytes, highBytes, usedBytes, peakBytes, oomKills, path }: MemoryGroup): string {
  const facts = [
    limitBytes === undefined ? "no limit" : `limit ${formatBytes(limitBytes)}`,
    ...(highBytes === undefined ? [] : [`high ${formatBytes(highBytes)}`]),
    ...(usedBytes === undefined ? [] : [`${formatBytes(usedBytes)} used`]),
    ...(peakBytes === undefined ? [] : [`${formatBytes(peakBytes)} at most`]),
    `${oomKills} killed for memory`,
  ];
  return `${facts.join(", ")} (${path})`;
}

/** What to change; undefined: nothing. */
export function groupMend({ limitBytes, highBytes, usedBytes, oomKills }: MemoryGroup): string | undefined {
  const least = formatBytes(MEMORY_MIN_BYTES);
  if (limitBytes !== undefined && limitBytes < MEMORY_MIN_BYTES)
    return `give the service at least ${least}: MemoryMax= in the unit, limits.memory of the container`;
  if (highBytes !== undefined && highBytes < MEMORY_MIN_BYTES)
    return `below ${least} the kernel slows the daemon down: raise MemoryHigh= in the unit`;
  if (oomKills > 0) return "raise the memory limit, or lower p2p.daemon.downloadsMax";
  if (limitBytes !== undefined && usedBytes !== undefined && usedBytes * 100 > limitBytes * CLOSE_PERCENT)
    return "most of it is the page cache as a rule, which is given back; where processes are killed, raise the limit";
  return undefined;
}

/** Memory on a disk is as slow as the disk, and a daemon that waits for it answers nobody. */
export function swap({ pid }: Place): readonly Finding[] {
  return swapFinding(textIn("/proc/meminfo"), textIn(`/proc/${pid}/status`));
}

export function swapFinding(meminfo: string, status: string): readonly Finding[] {
  const total = kibIn(meminfo, "SwapTotal");
  if (total === undefined) return [];
  if (total === 0) return [{ check: "swap", state: "ok", found: "none" }];
  const swapped = kibIn(status, "VmSwap") ?? 0;
  const found = `${formatBytes(total)}, ${formatBytes(kibIn(meminfo, "SwapFree") ?? 0)} free; ${formatBytes(swapped)} of this process in it`;
  return [
    findingOf("swap", found, swapped > SWAPPED_WARN_BYTES ? "give the machine more memory, or set MemorySwapMax=0 in the unit" : undefined),
  ];
}

function kibIn(text: string, name: string): number | undefined {
  const match = new RegExp(`^${name}:\\s+(\\d{1,15}) kB$`, "m").exec(text);
  return match === null ? undefined : Number(match[1]) * KIB;
}

/** What the kernel's own log says, where it may be read. */
export function kernelLog({ config }: Place): readonly Finding[] {
  const kills = oomKillsInLog();
  return kills === undefined ? [] : [killsFinding(kills, readRunRecord(config.dataDir))];
}

/** Others were killed, too? That is worth knowing, but nothing that Anax can mend. */
export function killsFinding(kills: readonly OomKill[], run: RunRecord | undefined): Finding {
  if (kills.length === 0) return { check: "kernel log", state: "ok", found: "nobody was killed for memory" };
  const { name, pid } = kills.at(-1)!; // there is one
  const ours = kills.filter((kill) => kill.pid === run?.pid || kill.pid === run?.previous?.pid).length;
  const found = `${kills.length} processes killed for memory, ${ours} of them this daemon; the last was ${name} (pid ${pid})`;
  return findingOf("kernel log", found, ours > 0 ? "raise the memory limit, or lower p2p.daemon.downloadsMax" : undefined);
}

const ENDING_MENDS: Readonly<Record<Ending["how"], string | undefined>> = {
  clean: undefined,
  "machine-restarted": undefined,
  "out-of-memory": "raise the memory limit, or lower p2p.daemon.downloadsMax",
  unclean: "look for the last lines before its end in its log; what was downloaded is kept",
};

/** How the run before this one ended, or the last one where none runs. */
export function lastRun({ config, pid }: Place): readonly Finding[] {
  const run = readRunRecord(config.dataDir);
  if (run === undefined) return [];
  const ended = pid === "self" ? { ...run, ending: endingOf(run) } : run.previous;
  if (ended === undefined) return [{ check: "last run", state: "ok", found: "none before this one" }];
  const { how, because } = ended.ending;
  return [findingOf("last run", `ended ${how} (started ${ended.startedAt}, pid ${ended.pid}): ${because}`, ENDING_MENDS[how])];
}
