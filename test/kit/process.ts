import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { realClock } from "../../src/base/clock.ts";

/** A foreign program in the background; gone, with all it started, at the end of the scope. */
export interface Background extends AsyncDisposable {
  readonly pid: number;
  /** Everything it has written to standard output and error so far. */
  output(): string;
}

export interface ProgramOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  readonly input?: string;
}

const RUN_TIMEOUT_MS = 300_000;
const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const POLL_MS = 50;

export interface Ended {
  /** Exit code; -1 for a signal. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, or kills it after the time. Never throws for what the program does. */
export async function run(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<Ended> {
  const child = spawn(command, [...args], { ...spawnOptions(options), stdio: ["pipe", "pipe", "pipe"] });
  child.stdin?.on("error", () => undefined); // a program that does not read its input
  child.stdin?.end(options.input ?? "");
  using _late = realClock.timer(options.timeoutMs ?? RUN_TIMEOUT_MS, () => killGroup(child, "SIGKILL"));
  const texts = [child.stdout, child.stderr].map(collect);
  const [code] = (await Promise.race([once(child, "close"), once(child, "error").then(([error]) => [String(error)])])) as [
    number | null | string,
  ];
  const [stdout = "", stderr = ""] = texts.map((text) => text());
  return typeof code === "number" ? { code, stdout, stderr } : { code: -1, stdout, stderr: `${stderr}${code ?? "killed"}` };
}

/** As `run`, but throws with the program's own words when it fails. Returns its standard output. */
export async function must(command: string, args: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const ended = await run(command, args, options);
  if (ended.code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${ended.code}:\n${ended.stdout}${ended.stderr}`);
  return ended.stdout;
}

/** Starts a program whose output goes to `logFile`; resolves once `ready` says so. Throws with its last words otherwise. */
export async function start(
  command: string,
  args: readonly string[],
  options: ProgramOptions & {
    readonly logFile: string;
    readonly ready: () => Promise<boolean>;
    /** By which it ends of itself. */
    readonly stopSignal?: NodeJS.Signals;
  },
): Promise<Background> {
  const log = openSync(options.logFile, "a"); // a file and not a pipe: a pipe would end the program together with us
  const child = spawn(command, [...args], { ...spawnOptions(options), stdio: ["ignore", log, log] });
  closeSync(log);
  const output = (): string => readFileSync(options.logFile, "utf8");
  const ended = once(child, "close").catch(() => undefined);
  const background: Background = { pid: child.pid ?? -1, output, [Symbol.asyncDispose]: () => stop(child, ended, options.stopSignal) };
  try {
    await waitFor(async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) throw new Error(`${command} ended at once`);
      return options.ready();
    });
    return background;
  } catch (thrown) {
    await background[Symbol.asyncDispose]();
    throw new Error(`${command} is not ready:\n${output().slice(-4000)}`, { cause: thrown });
  }
}

/** Asks again until the answer is yes; foreign programs give no other sign. Throws after a minute. */
export async function waitFor(condition: () => Promise<boolean>, timeoutMs = READY_TIMEOUT_MS): Promise<void> {
  using deadline = realClock.deadline(timeoutMs);
  while (!(await condition())) await realClock.sleep(POLL_MS, deadline.signal);
}

/** Whether somebody listens, on a port of this machine or a Unix socket. */
export async function listens(at: number | string): Promise<boolean> {
  const socket = typeof at === "number" ? connect(at, "127.0.0.1") : connect(at);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Below the range from which the kernel takes ports for outgoing connections: one of those may be gone by the time it is used. */
const PORTS = { first: 10_000, count: 20_000 } as const;
const TRIES_MAX = 50;

/** A port for a program that cannot be told to take a free one and say which. */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = PORTS.first + randomInt(PORTS.count);
    const server = createServer();
    try {
      server.listen(port, "127.0.0.1");
      await once(server, "listening");
      await server[Symbol.asyncDispose]();
      return port;
    } catch (error) {
      if (tries === TRIES_MAX) throw error;
    }
  }
}

/** Which of these programs are not installed. */
export function missingPrograms(names: readonly string[]): readonly string[] {
  return names.filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status !== 0);
}

function spawnOptions(options: ProgramOptions): SpawnOptions {
  return { detached: true, env: { ...process.env, ...options.env }, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) };
}

async function stop(child: ChildProcess, ended: Promise<unknown>, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  killGroup(child, signal);
  using _late = realClock.timer(STOP_TIMEOUT_MS, () => killGroup(child, "SIGKILL"));
  await ended;
  killGroup(child, "SIGKILL"); // what it left behind
}

/** The program and what it started: `detached` made it the leader of a group. */
function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, signal);
  } catch {
    child.kill(signal); // the group is gone, or never came to be
  }
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  stream?.on("data", (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString();
}
