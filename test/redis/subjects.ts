import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { build } from "esbuild";
import { ROOT } from "../../scripts/kit.ts";

const READY_MS = 240_000; // of a machine with much else to do
const ALLOWED = ["enable-debug-command", "enable-protected-configs", "enable-module-command"];

export interface RunningServer extends AsyncDisposable {
  readonly port: number;
}

/** Whom the suite judges. */
export interface Subject {
  /** Does some things otherwise than Redis, on purpose. */
  readonly deviates: boolean;
  /** Starts one server, for the profiles that need no more. */
  start(): Promise<RunningServer>;
  /** Puts a program there that takes what `redis-server` takes. */
  install(program: string): Promise<void>;
}

export const ANAX: Subject = {
  deviates: true,
  async start() {
    const dataDir = mkdtempSync(join(tmpdir(), "anax-redis-data-"));
    const parameters = ["save=", ...ALLOWED.map((name) => `${name}=yes`)].flatMap((parameter) => ["--set", parameter]);
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", "bin/anax.ts", "store", "--port", "0", "--json", "--data-dir", dataDir, ...parameters],
      { cwd: ROOT, env: { ...process.env, ANAX_STATUS_STORE_PORT: "0", ANAX_LOG_LEVEL: "silent" }, stdio: ["ignore", "pipe", "inherit"] },
    );
    return ready(child, dataDir, (line) => {
      const { listeners } = JSON.parse(line) as { readonly listeners: readonly { readonly name: string; readonly address: string }[] };
      const address = listeners.find(({ name }) => name === "store")!.address; // the role has one
      return Number(address.slice(address.lastIndexOf(":") + 1));
    });
  },
  /** As one file: some tests start dozens of servers, and to read every module takes a second each. */
  async install(program) {
    await build({
      entryPoints: [join(ROOT, "test/redis/launcher.ts")],
      outfile: `${program}.mjs`,
      bundle: true,
      platform: "node",
      format: "esm",
      packages: "external",
      logLevel: "warning",
    });
    symlinkSync(join(ROOT, "node_modules"), join(program, "../node_modules"));
    writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${program}.mjs" "$@"\n`);
    chmodSync(program, 0o755);
  },
};

/** Redis as the system has it, to compare with. */
export const STOCK: Subject = {
  deviates: false,
  async start() {
    const dataDir = mkdtempSync(join(tmpdir(), "anax-redis-data-"));
    const port = await freePort();
    const parameters = ALLOWED.flatMap((name) => [`--${name}`, "yes"]);
    const child = spawn("redis-server", ["--port", String(port), "--save", "", "--dir", dataDir, ...parameters], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    return ready(child, dataDir, (line) => (line.includes("Ready to accept") ? port : undefined));
  },
  install(program) {
    symlinkSync("/usr/bin/redis-server", program);
    return Promise.resolve();
  },
};

/** Waits for the line that tells the port. */
async function ready(child: ChildProcess, dataDir: string, portIn: (line: string) => number | undefined): Promise<RunningServer> {
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL"); // a test may have left it waiting for something
      await once(child, "exit");
    }
    rmSync(dataDir, { recursive: true, force: true });
  };
  const input = child.stdout!; // it is a pipe
  for await (const line of createInterface({ input, signal: AbortSignal.timeout(READY_MS) })) {
    const port = portIn(line);
    if (port === undefined) continue;
    input.resume();
    return { port, [Symbol.asyncDispose]: stop };
  }
  await stop();
  throw new Error("the server does not start");
}

/** One that is probably still free when it is used. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
