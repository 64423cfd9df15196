import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ROOT } from "../../scripts/kit.ts";
import { parseOutcomes, type UnitResult } from "./outcome.ts";
import type { Profile } from "./profiles.ts";

const READY_MS = 60_000;
/** After the suite's own time limit for a single test. */
const TEST_SECONDS = 100;
const UNIT_MS = 10 * 60_000;
/** Ports that a run of the suite takes for itself. */
const PORTS = 100;

/** A private copy of the suite: it writes where it lies. */
export class Suite implements Disposable {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static of(source: string): Suite {
    const dir = mkdtempSync(join(tmpdir(), "anax-redis-suite-"));
    cpSync(join(source, "tests"), join(dir, "tests"), { recursive: true });
    mkdirSync(join(dir, "src"));
    const launcher = join(dir, "src/redis-server");
    writeFileSync(
      launcher,
      `#!/bin/sh\nexec "${process.execPath}" --disable-warning=ExperimentalWarning "${ROOT}/test/redis/launcher.ts" "$@"\n`,
    );
    chmodSync(launcher, 0o755);
    for (const program of ["redis-cli", "redis-benchmark"]) symlinkSync(`/usr/bin/${program}`, join(dir, "src", program));
    return new Suite(dir);
  }

  /** Names of all units, in the suite's order; modules are not among them. */
  units(): string[] {
    const text = readFileSync(join(this.#dir, "tests/test_helper.tcl"), "utf8");
    const list = /set ::all_tests \{([^}]*)\}/.exec(text)?.[1] ?? "";
    return list.split(/\s+/).filter((word) => word.startsWith("unit/"));
  }

  /** Runs one unit, on a server of its own where the profile is external. */
  async run(unit: string, profile: Profile): Promise<UnitResult> {
    const startedMs = performance.now();
    await using server = profile.external ? await startServer() : undefined;
    const target = server === undefined ? [] : ["--host", "127.0.0.1", "--port", String(server.port)];
    const args = [
      "tests/test_helper.tcl",
      ...target,
      "--baseport",
      String(await freePorts()),
      "--durable",
      "--timeout",
      String(TEST_SECONDS),
    ];
    const child = spawn("tclsh", [...args, "--single", unit, ...profile.arguments], { cwd: this.#dir, timeout: UNIT_MS, detached: true });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("latin1").on("data", (text: string) => void (output += text));
    await once(child, "close");
    return { unit, outcomes: parseOutcomes(output), seconds: (performance.now() - startedMs) / 1000 };
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

async function startServer(): Promise<AsyncDisposable & { readonly port: number }> {
  const dataDir = mkdtempSync(join(tmpdir(), "anax-redis-data-"));
  const allow = ["enable-debug-command", "enable-protected-configs", "enable-module-command"].flatMap((name) => ["--set", `${name}=yes`]);
  const child = spawn(
    process.execPath,
    [
      "--disable-warning=ExperimentalWarning",
      "bin/anax.ts",
      "store",
      "--port",
      "0",
      "--json",
      "--data-dir",
      dataDir,
      "--set",
      "save=",
      ...allow,
    ],
    { cwd: ROOT, env: { ...process.env, ANAX_STATUS_STORE_PORT: "0", ANAX_LOG_LEVEL: "silent" }, stdio: ["ignore", "pipe", "inherit"] },
  );
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL"); // a test may have left it waiting for something
      await once(child, "exit");
    }
    rmSync(dataDir, { recursive: true, force: true });
  };
  const deadline = AbortSignal.timeout(READY_MS);
  try {
    const [line] = (await once(createInterface(child.stdout), "line", { signal: deadline })) as [string];
    const { listeners } = JSON.parse(line) as { readonly listeners: readonly { readonly name: string; readonly address: string }[] };
    const address = listeners.find(({ name }) => name === "store")!.address; // the role has one
    return { port: Number(address.slice(address.lastIndexOf(":") + 1)), [Symbol.asyncDispose]: stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** The first of a row of ports that are probably free: the suite looks for itself from there on. */
async function freePorts(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return Math.min(65_535 - 10 * PORTS, Math.max(PORTS + 1024, port));
}
