import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEVIATIONS } from "./deviations.ts";
import { parseOutcomes, type UnitResult } from "./outcome.ts";
import type { Profile } from "./profiles.ts";
import { freePort, type Subject } from "./subjects.ts";

/** After the suite's own time limit for a single test. */
const TEST_SECONDS = 900;
const UNIT_MS = 45 * 60_000;
/** Ports that a run of the suite takes for itself. */
const PORTS = 100;

/** A private copy of the suite: it writes where it lies. */
export class Suite implements Disposable {
  readonly #dir: string;
  readonly #subject: Subject;

  private constructor(dir: string, subject: Subject) {
    this.#dir = dir;
    this.#subject = subject;
  }

  static async of(source: string, subject: Subject): Promise<Suite> {
    const dir = mkdtempSync(join(tmpdir(), "anax-redis-suite-"));
    cpSync(join(source, "tests"), join(dir, "tests"), { recursive: true });
    mkdirSync(join(dir, "src"));
    await subject.install(join(dir, "src/redis-server"));
    for (const program of ["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"])
      symlinkSync(`/usr/bin/${program}`, join(dir, "src", program));
    return new Suite(dir, subject);
  }

  /** Runs one unit, on a server of its own where the profile is external. */
  async run(unit: string, profile: Profile): Promise<UnitResult> {
    const startedMs = performance.now();
    await using server = profile.external ? await this.#subject.start() : undefined;
    const target = server === undefined ? [] : ["--host", "127.0.0.1", "--port", String(server.port)];
    const args = [
      "tests/test_helper.tcl",
      ...target,
      "--baseport",
      String(await firstOfPorts()),
      "--durable",
      "--timeout",
      String(TEST_SECONDS),
    ];
    const skipped = this.#subject.deviates ? [...DEVIATIONS.keys()].flatMap((name) => ["--skiptest", name]) : [];
    const child = spawn("tclsh", [...args, "--single", unit, ...skipped, ...profile.arguments], {
      cwd: this.#dir,
      timeout: UNIT_MS,
      detached: true,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("latin1").on("data", (text: string) => void (output += text));
    await once(child, "close");
    endGroup(child.pid!); // it did start
    return { unit, outcomes: parseOutcomes(output), seconds: (performance.now() - startedMs) / 1000 };
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

/** Names of the units that this profile can run, in the suite's order; modules are not among them. */
export function unitsOf(source: string, { external }: Profile): string[] {
  const text = readFileSync(join(source, "tests/test_helper.tcl"), "utf8");
  const list = /set ::all_tests \{([^}]*)\}/.exec(text)?.[1] ?? "";
  return list.split(/\s+/).filter((word) => word.startsWith("unit/") || (!external && word.startsWith("integration/")));
}

/** Ends what a test that was cut off has left: it runs as a group of its own. */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // nothing is left
  }
}

/** The first of a row of ports that are probably free: the suite looks for itself from there on. */
const firstOfPorts = async (): Promise<number> => Math.min(65_535 - 10 * PORTS, Math.max(PORTS + 1024, await freePort()));
