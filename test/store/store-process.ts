import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ParameterValues } from "../../src/kv/parameters/parameters.ts";

/** A store in a process of its own, so that it can be killed. */
export interface StoreProcess extends AsyncDisposable {
  readonly port: number;
  /** As a power cut to the process: nothing of it runs any more when this resolves. */
  kill(): Promise<void>;
}

const SERVER = fileURLToPath(new URL("store-server.ts", import.meta.url));

/** Rejects where it does not start, with what it wrote. */
export async function startStoreProcess(dataDir: string, parameters: Partial<ParameterValues>): Promise<StoreProcess> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", SERVER, dataDir, JSON.stringify(parameters)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const port = await Promise.race([firstLine(child), once(child, "exit").then(() => Number.NaN)]);
  if (!Number.isInteger(port)) throw new Error(`the store does not start: ${errors}`);
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  };
  return { port, kill, [Symbol.asyncDispose]: kill };
}

async function firstLine(child: ChildProcess): Promise<number> {
  const lines = createInterface({ input: child.stdout! });
  const [line] = (await once(lines, "line")) as [string];
  return Number(line);
}
