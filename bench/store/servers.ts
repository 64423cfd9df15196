import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { anaxCommand } from "../../test/kit/anax.ts";
import { freePort, waitFor } from "../../test/kit/process.ts";
import { endProcess, pidOf } from "../kit/process.ts";

export type ServerName = "redis" | "anax";

/** A server that does nothing but answer: no snapshots, no journal. */
export interface Server extends AsyncDisposable {
  readonly name: ServerName;
  readonly port: number;
  readonly pid: number;
  readonly version: string;
  /** Resident bytes. */
  memory(): number;
  /** Sends one command and returns what comes, as text. */
  call(...parts: readonly string[]): Promise<string>;
}

/** The core that servers have; the load has the others. */
export const SERVER_CORE = "1";

export async function startServer(name: ServerName, directory: string): Promise<Server> {
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const command =
    name === "redis"
      ? ["redis-server", "--port", String(port), "--save", "", "--appendonly", "no", "--dir", directory]
      : anaxCommand(["store", "--port", String(port), "--data-dir", directory, "--set", "save=", "--json", "--log-level", "warn"]);
  const env = { ...process.env, ANAX_STATUS_STORE_PORT: "0" }; // another store may run on this machine
  const child = spawn("taskset", ["-c", SERVER_CORE, ...command], { stdio: ["ignore", "ignore", "inherit"], env });
  const server: Omit<Server, "version"> = {
    name,
    port,
    pid: pidOf(child), // taskset becomes the server
    memory: () => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pidOf(child)}/status`, "utf8"))?.[1]) * 1024,
    call: (...parts) => call(port, parts),
    [Symbol.asyncDispose]: () => endProcess(child),
  };
  await waitFor(async () => (await call(port, ["PING"]).catch(() => "")).startsWith("+PONG"));
  return { ...server, version: /redis_version:(\S+)/.exec(await server.call("INFO", "server"))?.[1] ?? "?" };
}

const ANSWER_MS = 10_000;

async function call(port: number, parts: readonly string[]): Promise<string> {
  const socket = createConnection({ host: "127.0.0.1", port });
  socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`no answer to ${parts[0]}`)));
  try {
    await once(socket, "connect");
    socket.write(`*${parts.length}\r\n${parts.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`).join("")}`);
    const [first] = (await once(socket, "data")) as [Buffer];
    return first.toString();
  } finally {
    socket.destroy();
  }
}
