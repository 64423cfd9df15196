import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pidOf } from "../process.ts";
import type { Account } from "./account.ts";
import type { Member } from "./network.ts";

/** A process that runs in a namespace. */
export interface Running {
  readonly pid: number;
  /** Exit status, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** The first line of its standard output for which the function gives something; throws when it ends before. */
  line<T>(wanted: (line: string) => T | undefined): Promise<T>;
  write(text: string): void;
  kill(signal: NodeJS.Signals): void;
  /** The end of what it said on standard error. */
  lastWords(): string;
}

/** Starts processes in namespaces, on one account; what they say goes to files. Disposing ends those that still run. */
export interface Processes extends AsyncDisposable {
  start(member: Member, name: string, argv: readonly string[]): Running;
  /** Runs a command to its end; throws when it fails. */
  run(member: Member, name: string, argv: readonly string[]): Promise<void>;
  /** The largest memory that one of those still running ever had. */
  peakResidentBytes(): number;
}

const STOP_MS = 5_000;
const LAST_WORDS_CHARACTERS = 1_500;
const LINES_KEPT = 100;

export function createProcesses(logDirectory: string, account: Account): Processes {
  const running = new Set<Running>();
  const start: Processes["start"] = (member, name, argv) => {
    const logPath = join(logDirectory, `${name}.log`);
    const started = startIn(member, argv, { logPath, joinPath: account.joinPath });
    running.add(started);
    void started.exited.then(() => running.delete(started));
    return started;
  };
  return {
    start,
    async run(member, name, argv) {
      const process = start(member, name, argv);
      const status = await process.exited;
      if (status !== 0) throw new Error(`${name} ended with ${status}: ${process.lastWords()}`);
    },
    peakResidentBytes: () => Math.max(0, ...[...running].map(({ pid }) => peakOf(pid))),
    async [Symbol.asyncDispose]() {
      await Promise.all([...running].map(end));
    },
  };
}

function startIn(
  { namespace }: Member,
  argv: readonly string[],
  { logPath, joinPath }: { readonly logPath: string; readonly joinPath: string },
): Running {
  const log = openSync(logPath, "a");
  // The shell puts itself on the account and then becomes the program, so that nothing escapes it and the id stays.
  const entering = ["-c", 'echo $$ >"$0" && exec "$@"', joinPath, "nsenter", `--net=/run/netns/${namespace}`, "--", ...argv];
  const child = spawn("sh", entering, { stdio: ["pipe", "pipe", log], detached: true });
  closeSync(log);
  child.stdin!.on("error", () => {}); // it may end without having read
  const lines = linesOf(child);
  const exited = exitOf(child);
  return {
    pid: pidOf(child),
    exited,
    line: (wanted) => lines.find(wanted, () => `the process ended before it was ready: ${lastWordsOf(logPath)}`),
    write: (text) => void child.stdin!.write(text),
    kill(signal) {
      if (child.exitCode === null && child.signalCode === null) process.kill(-pidOf(child), signal);
    },
    lastWords: () => lastWordsOf(logPath),
  };
}

/** Lines as they come, and the last ones of those that came before somebody asked. */
function linesOf(child: ChildProcess) {
  const kept: string[] = [];
  const wanted = new Set<(line: string | undefined) => void>();
  let ended = false;
  createInterface({ input: child.stdout! }) // it is piped
    .on("line", (line) => {
      kept.push(line);
      if (kept.length > LINES_KEPT) kept.shift();
      for (const tell of wanted) tell(line);
    })
    .on("close", () => {
      ended = true;
      for (const tell of wanted) tell(undefined);
    });
  return {
    find<T>(match: (line: string) => T | undefined, reason: () => string): Promise<T> {
      return new Promise((resolve, reject) => {
        const tell = (line: string | undefined): void => {
          const found = line === undefined ? undefined : match(line);
          if (line !== undefined && found === undefined) return;
          wanted.delete(tell);
          if (found === undefined) reject(new Error(reason()));
          else resolve(found);
        };
        for (const line of kept) {
          const found = match(line);
          if (found !== undefined) return resolve(found);
        }
        if (ended) return reject(new Error(reason()));
        wanted.add(tell);
      });
    },
  };
}

async function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  const [status, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  return status ?? signal ?? 1;
}

async function end(process: Running): Promise<void> {
  process.kill("SIGTERM");
  const timer = setTimeout(() => process.kill("SIGKILL"), STOP_MS);
  await process.exited;
  clearTimeout(timer);
}

const lastWordsOf = (path: string): string => readFileSync(path, "utf8").slice(-LAST_WORDS_CHARACTERS).trim();

function peakOf(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // ended just now
  }
}
