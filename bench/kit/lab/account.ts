import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Counts the CPU time of a set of processes and all that they start, ended ones included. Disposing needs all of them ended. */
export interface Account extends AsyncDisposable {
  /** A process that writes its id here belongs to the account. */
  readonly joinPath: string;
  cpuSeconds(): number;
}

const REMOVE_ATTEMPTS = 50;
const REMOVE_PAUSE_MS = 100;

/** A control group of the second version, which also machines have that use the first for limits. */
export function openAccount(name: string): Account {
  const group = join(groupRoot(), name);
  mkdirSync(group);
  return {
    joinPath: join(group, "cgroup.procs"),
    cpuSeconds: () => Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(group, "cpu.stat"), "utf8"))![1]) / 1e6, // the kernel's format
    async [Symbol.asyncDispose]() {
      // Processes leave their group a moment after they were seen to end.
      for (let attempt = 1; ; attempt++) {
        try {
          return rmdirSync(group);
        } catch (error) {
          if (attempt === REMOVE_ATTEMPTS) throw error;
          await sleep(REMOVE_PAUSE_MS);
        }
      }
    },
  };
}

function groupRoot(): string {
  const mount = /^\S+ (\S+) cgroup2 /m.exec(readFileSync("/proc/mounts", "utf8"))?.[1];
  if (mount === undefined) throw new Error("no cgroup2 is mounted, which the benchmark counts CPU time with");
  return mount;
}
