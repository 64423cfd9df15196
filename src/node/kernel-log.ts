import { readChunks } from "./kernel-text.ts";

/** A process that the kernel killed since memory was short. */
export interface OomKill {
  readonly pid: number;
  readonly name: string;
  /** Seconds after the machine's start. */
  readonly atSeconds: number;
}

const LOG_BYTES_MAX = 16 * 1024 * 1024;
const KILLS_MAX = 1000;
const MARK = "Killed process";
const NEWLINE = 10;
/** "6,1234,56789012,-;Memory cgroup out of memory: Killed process 28580 (tail) total-vm:…": priority, number, microseconds, flags; text. */
const KILL = /^\d+,\d+,(\d{1,18}),[^;\n]*;.*\bKilled process (\d{1,10}) \(([^)\n]{0,64})\)/gm;

/** Those that the kernel's log still tells of, oldest first, the last 1,000; undefined where this process may not read it. */
export function oomKillsInLog(path = "/dev/kmsg"): readonly OomKill[] | undefined {
  const kills: OomKill[] = [];
  let anything = false;
  let rest = "";
  const take = (chunk: Buffer): void => {
    anything = true;
    if (rest === "" && chunk.at(-1) === NEWLINE && !chunk.includes(MARK)) return; // most of what a kernel says
    const text = rest + chunk.toString("latin1");
    const end = text.lastIndexOf("\n") + 1;
    for (const [, microseconds, pid, name = ""] of text.slice(0, end).matchAll(KILL))
      kills.push({ pid: Number(pid), name, atSeconds: Number(microseconds) / 1e6 });
    if (kills.length > KILLS_MAX) kills.splice(0, kills.length - KILLS_MAX);
    rest = text.slice(end).slice(-8192);
  };
  readChunks(path, take, LOG_BYTES_MAX);
  return anything ? kills : undefined;
}
