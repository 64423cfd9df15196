import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { isoText } from "../../base/clock.ts";
import { replaceFile } from "../../disk/atomic-replace.ts";
import { runProgram } from "./run-program.ts";

/** What a shell shows for a program that SIGTERM ended; ours says with it that its volume is gone. Told apart by the record. */
export const EXIT_GONE = 143;

/** Why and how a mount ended; one line of the audit file, and `last-exit.json`. */
export interface ExitRecord {
  readonly event: "mount.volume-gone" | "mount.stopped" | "mount.unmounted" | "mount.failed";
  readonly atMs: number;
  readonly exitCode: number;
  readonly volume: string;
  readonly volumeUuid: string | undefined;
  readonly epoch?: number;
  /** How it was learnt that the volume is gone. */
  readonly source?: string;
  readonly deletedAtMs?: number;
  readonly deletedBy?: string;
  readonly dir: string;
  readonly pid: number;
  readonly openFiles?: number;
  /** Written by programs, not committed, and lost. */
  readonly lostFiles?: number;
  readonly lostBytes?: number;
  readonly reason?: string;
}

/** Folder of what is kept of a mount: `mount.json` while it lives, `last-exit.json`, and the log of one in the background. */
export const mountRecordDir = (dataDir: string, dir: string): string => join(dataDir, "mounts", encodeURIComponent(dir));

export const auditFile = (dataDir: string): string => join(dataDir, "audit.jsonl");

/** Writes the audit line, on the disk to stay when this returns. Before anything is torn down: nobody could write it afterwards if that went wrong. */
export function writeAudit(dataDir: string, record: ExitRecord): void {
  mkdirSync(dataDir, { recursive: true });
  const fd = openSync(auditFile(dataDir), "a", 0o640);
  try {
    writeSync(fd, `${JSON.stringify(shown(record))}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export async function writeLastExit(dataDir: string, record: ExitRecord): Promise<void> {
  const dir = mountRecordDir(dataDir, record.dir);
  mkdirSync(dir, { recursive: true });
  await replaceFile(join(dir, "last-exit.json"), `${JSON.stringify(shown(record), null, 2)}\n`);
}

/** The same line for the system's log, where there is one. */
export async function tellSyslog(record: ExitRecord): Promise<void> {
  if (existsSync("/dev/log")) await runProgram("logger", ["-t", "anax", "-p", "daemon.warning", JSON.stringify(shown(record))]);
}

function shown({ atMs, deletedAtMs, ...record }: ExitRecord): Readonly<Record<string, unknown>> {
  return { at: isoText(atMs), ...record, ...(deletedAtMs !== undefined && { deletedAt: isoText(deletedAtMs) }) };
}
