import { readFileSync } from "node:fs";

/** Seconds that all cores together had and used, since the machine started. */
export interface MachineTime {
  readonly allSeconds: number;
  readonly busySeconds: number;
}

export interface MachineUse {
  readonly busySeconds: number;
  readonly busyShare: number;
  /** Share of the time in which next to nothing was left: then CPU and not the network may have decided. */
  readonly crowdedShare: number;
}

const TICKS_PER_SECOND = 100;
const CROWDED = 0.9;
const SAMPLE_MS = 1000;

export function machineTime(): MachineTime {
  const ticks = /^cpu +(.*)$/m.exec(readFileSync("/proc/stat", "utf8"))![1]!.split(" ").slice(0, 8).map(Number); // the kernel's format
  const all = ticks.reduce((sum, each) => sum + each, 0);
  return { allSeconds: all / TICKS_PER_SECOND, busySeconds: (all - ticks[3]! - ticks[4]!) / TICKS_PER_SECOND }; // idle, waiting for disks
}

/** Watches the machine's cores until it is stopped. */
export function watchMachine(): { stop(): MachineUse } {
  const first = machineTime();
  const shares: number[] = [];
  let last = first;
  const timer = setInterval(() => {
    const at = machineTime();
    shares.push(shareOf(last, at));
    last = at;
  }, SAMPLE_MS);
  return {
    stop() {
      clearInterval(timer);
      const end = machineTime();
      return {
        busySeconds: end.busySeconds - first.busySeconds,
        busyShare: shareOf(first, end),
        crowdedShare: shares.filter((share) => share > CROWDED).length / Math.max(1, shares.length),
      };
    },
  };
}

const shareOf = (from: MachineTime, to: MachineTime): number =>
  (to.busySeconds - from.busySeconds) / Math.max(0.001, to.allSeconds - from.allSeconds);
