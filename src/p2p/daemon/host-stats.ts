import { readFileSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import type { Clock } from "../../base/clock.ts";
import type { CPU, Disk, Memory, Network } from "../../wire/grpc/gen/common/v2/common.ts";
import type { PieceStore, StoreUsage } from "../pieces/types.ts";
import { passedBetween, readLinkCounters, type LinkBytes, type LinkCounters } from "./rates/link-counters.ts";
import type { Rates } from "./rates/rates.ts";

/** The measured half of `common.v2.Host`. */
export interface HostLoad {
  readonly cpu: CPU;
  readonly memory: Memory;
  readonly network: Network;
  readonly disk: Disk | undefined;
}

/** Measures this machine now and then; whoever wants to know reads the last result. */
export interface HostStats {
  readonly load: HostLoad;
  /** Measures every `intervalMs` until the signal aborts. */
  run(intervalMs: number, signal: AbortSignal): Promise<void>;
}

export function createHostStats(options: {
  readonly clock: Clock;
  readonly store: Pick<PieceStore, "usage">;
  /** What the link takes, as far as it is known. */
  readonly capacity: Rates["capacity"];
}): HostStats {
  const { clock, store, capacity } = options;
  let before = sample(clock);
  let counted: LinkCounters | undefined;
  let load: HostLoad = { ...loadBetween(before, before), disk: undefined };
  return {
    get load() {
      const { upload, download } = capacity();
      return { ...load, network: { ...load.network, maxTxBandwidth: upload, maxRxBandwidth: download } };
    },
    async run(intervalMs, signal) {
      while (!signal.aborted) {
        const now = sample(clock);
        const disk = await store.usage().then(diskOf, () => load.disk);
        const counters = await readLinkCounters();
        const used = networkOf(passedBetween(counted ?? counters, counters), now.atMs - before.atMs);
        load = { ...loadBetween(before, now), network: { ...load.network, ...used }, disk };
        counted = counters;
        before = now;
        await clock.sleep(intervalMs, signal).catch(() => undefined);
      }
    },
  };
}

interface Sample {
  readonly atMs: number;
  readonly busy: number;
  readonly total: number;
  readonly times: Readonly<Record<"user" | "sys" | "idle" | "nice" | "irq", number>>;
  readonly processMicros: number;
  readonly cores: number;
}

function sample(clock: Clock): Sample {
  const cores = cpus();
  const times = { user: 0, sys: 0, idle: 0, nice: 0, irq: 0 };
  for (const core of cores) for (const kind of Object.keys(times) as (keyof typeof times)[]) times[kind] += core.times[kind];
  const total = times.user + times.sys + times.idle + times.nice + times.irq;
  const { user, system } = process.cpuUsage();
  return { atMs: clock.nowMs(), busy: total - times.idle, total, times, processMicros: user + system, cores: Math.max(1, cores.length) };
}

function loadBetween(before: Sample, now: Sample): HostLoad {
  const total = now.total - before.total;
  const elapsedMs = Math.max(1, now.atMs - before.atMs);
  return {
    cpu: {
      logicalCount: now.cores,
      physicalCount: availableParallelism(),
      percent: total <= 0 ? 0 : (100 * (now.busy - before.busy)) / total,
      processPercent: (100 * (now.processMicros - before.processMicros)) / 1000 / elapsedMs,
      times: {
        user: now.times.user / 1000,
        system: now.times.sys / 1000,
        idle: now.times.idle / 1000,
        nice: now.times.nice / 1000,
        iowait: 0,
        irq: now.times.irq / 1000,
        softirq: 0,
        steal: 0,
        guest: 0,
        guestNice: 0,
      },
      cgroup: cgroupCpu(),
    },
    memory: memoryNow(),
    network: { tcpConnectionCount: 0, uploadTcpConnectionCount: 0, maxRxBandwidth: 0, maxTxBandwidth: 0 },
    disk: undefined,
  };
}

function memoryNow(): Memory {
  const total = totalmem();
  const available = freemem(); // Node reads MemAvailable here
  const limit = numberIn("/sys/fs/cgroup/memory.max");
  const usage = numberIn("/sys/fs/cgroup/memory.current");
  const cgroup =
    usage === undefined ? undefined : { limit: limit ?? -1, usage, usedPercent: limit === undefined ? 0 : (100 * usage) / limit };
  return {
    total,
    available,
    used: total - available,
    usedPercent: (100 * (total - available)) / total,
    processUsedPercent: (100 * process.memoryUsage.rss()) / total,
    free: available,
    cgroup,
  };
}

/** cgroup v2: "max 100000" or "200000 100000". */
function cgroupCpu(): CPU["cgroup"] {
  const [quota, period] = (textIn("/sys/fs/cgroup/cpu.max") ?? "").trim().split(" ");
  if (quota === undefined || period === undefined) return undefined;
  return { period: Number(period), quota: quota === "max" ? -1 : Number(quota), usedPercent: 0 };
}

function diskOf(usage: StoreUsage): Disk {
  const used = usage.diskTotalBytes - usage.diskFreeBytes;
  const inodesUsed = usage.inodesTotal - usage.inodesFree;
  return {
    total: usage.diskTotalBytes,
    free: usage.diskFreeBytes,
    used,
    usedPercent: usage.diskTotalBytes === 0 ? 0 : (100 * used) / usage.diskTotalBytes,
    inodesTotal: usage.inodesTotal,
    inodesUsed,
    inodesFree: usage.inodesFree,
    inodesUsedPercent: usage.inodesTotal === 0 ? 0 : (100 * inodesUsed) / usage.inodesTotal,
    readBandwidth: 0,
    writeBandwidth: 0,
  };
}

/** Bandwidth in use, by whomever on this machine. */
function networkOf({ receivedBytes, sentBytes }: LinkBytes, elapsedMs: number) {
  const perSecond = (bytes: number): number => Math.round((bytes * 1000) / Math.max(1, elapsedMs));
  return {
    tcpConnectionCount: 0,
    uploadTcpConnectionCount: 0,
    rxBandwidth: perSecond(receivedBytes),
    txBandwidth: perSecond(sentBytes),
  };
}

function numberIn(path: string): number | undefined {
  const value = Number(textIn(path)?.trim());
  return Number.isSafeInteger(value) ? value : undefined;
}

function textIn(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // no control groups here
  }
}
