import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { builtProgram } from "./build.ts";

const BIN = builtProgram();
const FLAGS = ["--disable-warning=ExperimentalWarning"];

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const STDERR_LINES_MAX = 400;

/** A role of Anax running as a process of its own, as a user would start it. */
export interface AnaxProcess extends AsyncDisposable {
  readonly pid: number;
  readonly dataDir: string;
  /** Listener name to address, as the process printed them: `socket`, `upload`, `transfer`, `proxy`, `status`, `scheduler`. */
  readonly listeners: Readonly<Record<string, string>>;
  /** Milliseconds from its own start until it served. */
  readonly readyMs: number;
  /** The last lines it logged. */
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
}

export interface AnaxOptions {
  readonly args?: readonly string[];
  readonly dataDir: string;
  /** Settings by dotted path. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  readonly env?: Readonly<Record<string, string>>;
  /** A command that becomes the process, in another namespace, say: it gets the command line as its last arguments. */
  readonly via?: readonly string[];
}

/** Ports that a role opens; 0 takes a free one. */
const FREE_PORTS: Readonly<Record<string, number>> = {
  "scheduler.port": 0,
  "status.port": 0,
  "status.schedulerPort": 0,
  "volume.s3.port": 0,
  "volume.service.port": 0,
  "p2p.daemon.uploadPort": 0,
  "p2p.daemon.transferPort": 0,
  "p2p.proxy.port": 0,
};

/** Starts the store, whose `--set` takes parameters of redis.conf, on free ports. Throws as `startAnax`. */
export async function startAnaxStore(options: Omit<AnaxOptions, "set">): Promise<AnaxProcess> {
  return started(["store", "--port", "0", "--data-dir", options.dataDir, ...(options.args ?? [])], {
    ...options,
    env: { ANAX_STATUS_STORE_PORT: "0", ...options.env },
  });
}

/** Starts the S3 gateway alone, on free ports. Throws as `startAnax`. */
export async function startAnaxS3(options: Omit<AnaxOptions, "set">): Promise<AnaxProcess> {
  return started(["volume", "serve-s3", "--port", "0", "--data-dir", options.dataDir, ...(options.args ?? [])], {
    ...options,
    env: { ANAX_STATUS_S3_PORT: "0", ...options.env },
  });
}

/** Starts the service that `anax volume … --server` asks, on free ports. Throws as `startAnax`. */
export async function startAnaxVolumes(options: Omit<AnaxOptions, "set">): Promise<AnaxProcess> {
  return started(["volume", "serve", "--port", "0", "--data-dir", options.dataDir, ...(options.args ?? [])], {
    ...options,
    env: { ANAX_STATUS_VOLUME_PORT: "0", ...options.env },
  });
}

/** Starts a role and resolves once it serves. Throws with its last words when it ends first or takes too long. */
export async function startAnax(role: "up" | "scheduler" | "daemon", options: AnaxOptions): Promise<AnaxProcess> {
  const set = {
    ...FREE_PORTS,
    "p2p.daemon.listenHost": "127.0.0.1",
    "p2p.daemon.advertiseIp": "127.0.0.1",
    "scheduler.listenHost": "127.0.0.1",
    ...options.set,
  };
  const pairs = Object.entries(set).flatMap(([path, value]) => ["--set", `${path}=${value}`]);
  return started([role, "--data-dir", options.dataDir, ...pairs, ...(options.args ?? [])], options);
}

async function started(own: readonly string[], options: AnaxOptions): Promise<AnaxProcess> {
  const [program = "", ...args] = [...(options.via ?? []), ...anaxCommand([...own, "--json"])];
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...options.env },
  });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    lines.push(line);
    if (lines.length > STDERR_LINES_MAX) lines.shift();
  });
  const exited = exitOf(child);
  const ready = await readyLine(child, exited, () => lines.join("\n"));
  return {
    pid: child.pid!, // it printed its ready line, so it runs
    dataDir: options.dataDir,
    listeners: Object.fromEntries(ready.listeners.map(({ name, address }) => [name, address])),
    readyMs: ready.readyMs,
    stderr: () => lines.join("\n"),
    kill: (signal) => void child.kill(signal),
    exited,
    async [Symbol.asyncDispose]() {
      await stop(child, exited);
    },
  };
}

export interface Ran {
  readonly code: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Runs as another user; for root only. */
  readonly uid?: number;
  readonly gid?: number;
}

/** Runs a command of Anax to its end. Output is kept whole: for tests, not for downloads to standard output. */
export async function runAnax(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { timeoutMs, ...more } = options;
  const child = spawnAnax(args, more);
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs ?? 120_000);
  const [stdout, stderr, code] = await Promise.all([textOf(child.stdout!), textOf(child.stderr!), exitOf(child)]);
  clearTimeout(timer);
  return { code, stdout, stderr };
}

/** A command of Anax with its output piped. */
export function spawnAnax(args: readonly string[], options: Omit<RunOptions, "timeoutMs"> = {}): ChildProcess {
  const [command, ...rest] = anaxCommand(args);
  const env = { ...process.env, ...options.env };
  return spawn(command, rest, { ...options, stdio: ["ignore", "pipe", "pipe"], env });
}

/** The command line that runs Anax, for shells and other programs that start it. */
export const anaxCommand = (args: readonly string[]): readonly [string, ...string[]] => [process.execPath, ...FLAGS, BIN, ...args];

export async function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  const [code, signal] = (await once(child, "close")) as [number | null, NodeJS.Signals | null];
  return code ?? signal ?? 1;
}

async function stop(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  await exited;
  clearTimeout(timer);
}

interface Ready {
  readonly event: "ready";
  readonly readyMs: number;
  readonly listeners: readonly { readonly name: string; readonly address: string }[];
}

async function readyLine(child: ChildProcess, exited: Promise<unknown>, lastWords: () => string): Promise<Ready> {
  const { promise, resolve, reject } = Promise.withResolvers<Ready>();
  createInterface({ input: child.stdout! }).on("line", (line) => {
    const message = JSON.parse(line) as Ready;
    if (message.event === "ready") resolve(message);
  });
  void exited.then((code) => reject(new Error(`anax ended with ${String(code)} before it served:\n${lastWords()}`)));
  const timer = setTimeout(() => {
    child.kill("SIGKILL");
    reject(new Error(`anax did not serve in time:\n${lastWords()}`));
  }, READY_TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
