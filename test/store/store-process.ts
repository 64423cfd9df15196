import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { StoreOptions } from "../../src/kv/start-store.ts";

/** A store in a process of its own, so that it can be killed. */
export interface StoreProcess extends AsyncDisposable {
  readonly port: number;
  /** 0: none. */
  readonly tlsPort: number;
  readonly pid: number;
  /** A line to its standard input. */
  tell(line: string): void;
  /** Stops it where it is, or lets it go on. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void;
  /** As a power cut to the process: nothing of it runs any more when this resolves. */
  kill(): Promise<void>;
}

/** Options that are data. */
export type StoreProcessOptions = Pick<StoreOptions, "port" | "parameters" | "users" | "dataDir">;

/** A core and its priority, for what is to have little of the processor. */
export const CONFINED = ["taskset", "-c", "0", "nice", "-n", "19"] as const;

const SERVER = fileURLToPath(new URL("store-server.ts", import.meta.url));

/** A store dies with whoever started it, in the middle of a script, too: no signal of the loop would reach it there. */
const WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"] as const;

export interface StoreProcessKind {
  /** It runs as `CONFINED` says. */
  readonly confined?: boolean;
  /** The program, where it is another: it takes options and prints ports alike. */
  readonly server?: string;
  /** Where packages are that are not found from there. */
  readonly packages?: string;
}

/** Rejects where it does not start, with what it wrote. */
export async function startStoreProcess(
  options: StoreProcessOptions,
  { confined = false, server = SERVER, packages = "" }: StoreProcessKind = {},
): Promise<StoreProcess> {
  const node = [...WITH_PARENT, process.execPath, "--disable-warning=ExperimentalWarning", server, JSON.stringify(options)];
  const [program, ...words] = confined ? [...CONFINED, ...node] : node; // each of them becomes the next
  const child = spawn(program!, words, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, NODE_PATH: packages } });
  child.stdin.on("error", () => undefined); // it may be gone
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const [port = 0, tlsPort = 0] = await Promise.race([firstLine(child), once(child, "exit").then(() => [])]);
  if (port === 0) throw new Error(`the store does not start: ${errors}`);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return {
    port,
    tlsPort,
    pid: child.pid!, // it has printed its ports
    tell: (line) => void child.stdin.write(`${line}\n`),
    signal: (signal) => void child.kill(signal),
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function firstLine(child: ChildProcess): Promise<readonly number[]> {
  const lines = createInterface({ input: child.stdout! });
  const [line] = (await once(lines, "line")) as [string];
  return line.split(" ").map(Number);
}
