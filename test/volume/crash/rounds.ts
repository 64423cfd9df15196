import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { join } from "node:path";
import { realClock } from "../../../src/base/clock.ts";
import { createRandom, type Random } from "../../../src/base/random.ts";
import { runAnax } from "../../kit/anax.ts";
import { detach } from "../../../src/volume/mount/kernel-mount.ts";
import { isMounted, mounted, VOLUME, type MountedVolume } from "../../kit/mounted-volume.ts";
import { waitFor } from "../../kit/process.ts";
import { REGISTER_ENGINES } from "../../kit/register-engines.ts";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";
import { kill, KilledServer } from "./killed-server.ts";
import { ASIDE, differences, type Files } from "./operations.ts";
import { startWriter, type Writer } from "./writers.ts";

export const VICTIMS = ["client", "supervisor", "both", "server"] as const;
export type Victim = (typeof VICTIMS)[number];

export interface CrashOptions {
  readonly rounds: number;
  readonly seed: number;
  /** `sqlite`, or the name of an engine of the kit. */
  readonly meta: string;
  /** Whom to kill; of all, `server` only where there is one. */
  readonly victims?: readonly Victim[];
  readonly onRound?: (line: string) => void;
  /** Ends it early: nothing is left, and the signal's reason is thrown. */
  readonly signal?: AbortSignal;
}

export interface CrashSummary {
  rounds: number;
  /** Kills by victim. */
  readonly kills: Partial<Record<Victim, number>>;
  /** Operations that `fsync` had confirmed. */
  acknowledged: number;
  /** Files that were not as confirmed. */
  lost: number;
  /** What `anax volume fsck --data` named. */
  fsckProblems: number;
  /** Objects that the ledger did not know in the end. */
  strangers: number;
  /** Programs that had to be killed, as they hung in the file system. */
  hung: number;
  /** Processes and mounts that were left in the end. */
  left: number;
  /** What went wrong, a line for each. */
  readonly problems: string[];
}

const WRITERS = 3;
const CONFIRMED_MAX = 60;
const LATER_MS_MAX = 40;
/** A supervisor gives up after five crashes within a minute. */
const CRASHES_MAX = 3;
/** What has been killed, or told to end, and hangs is a problem. */
const END_TIMEOUT_MS = 30_000;
/** What was under way when it is ended early. */
const LEAVE_MS = 2000;

/** Kills what serves a volume, or its metadata, at random moments while programs write to it, and looks each time whether all is there that was confirmed. */
export async function crashRounds(options: CrashOptions): Promise<CrashSummary> {
  const summary: CrashSummary = {
    rounds: 0,
    kills: {},
    acknowledged: 0,
    lost: 0,
    fsckProblems: 0,
    strangers: 0,
    hung: 0,
    left: 0,
    problems: [],
  };
  await using scope = new AsyncDisposableStack();
  const { path } = scope.use(await temporaryDirectory());
  await chmod(path, 0o755); // some engines refuse to be root
  const crash = new Crash(path, options, summary);
  let work: Promise<void> | undefined;
  scope.defer(() => crash.end()); // what has come since
  scope.defer(() => Promise.race([work?.catch(() => undefined), realClock.sleep(LEAVE_MS)]));
  scope.defer(() => crash.end());
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (): void => reject(options.signal?.reason);
  options.signal?.addEventListener("abort", stop, { once: true });
  work = crash.run();
  await Promise.race([work, stopped]);
  options.signal?.removeEventListener("abort", stop);
  return summary;
}

class Crash {
  readonly #dataDir: string;
  readonly #dir: string;
  readonly #path: string;
  readonly #options: CrashOptions;
  readonly #summary: CrashSummary;
  readonly #random: Random;
  readonly #pids = new Set<number>();
  readonly #confirmed: readonly Files[] = Array.from({ length: WRITERS }, () => new Map());
  #server: KilledServer | undefined;
  #mount: MountedVolume | undefined;
  #writers: readonly Writer[] = [];
  #crashes = 0;
  #ended = false;

  constructor(path: string, options: CrashOptions, summary: CrashSummary) {
    this.#path = path;
    [this.#dataDir, this.#dir] = [join(path, "data"), join(path, "mnt")];
    this.#options = options;
    this.#summary = summary;
    this.#random = createRandom(options.seed);
  }

  async run(): Promise<void> {
    await this.#begin();
    for (let round = 1; round <= this.#options.rounds; round++) await this.#round(round);
    await this.#finish();
  }

  /** Leaves nothing behind, however far it came. */
  async end(): Promise<void> {
    this.#ended = true;
    for (const writer of this.#writers) writer.kill();
    await this.#endMount();
    await this.#server?.kill();
  }

  async #begin(): Promise<void> {
    for (const dir of [this.#dataDir, this.#dir]) mkdirSync(dir);
    const { meta } = this.#options;
    if (meta !== "sqlite") this.#server = await KilledServer.start(kindOf(meta), join(this.#path, "engine"));
    await this.#anax("create", VOLUME, ...(this.#server === undefined ? [] : ["--meta", this.#server.url]));
    await this.#mounted();
    for (let index = 0; index < WRITERS; index++) mkdirSync(this.#directory(index));
    const fd = openSync(this.#dir, "r");
    fsyncSync(fd);
    closeSync(fd);
  }

  async #round(round: number): Promise<void> {
    const { seed, onRound } = this.#options;
    const wanted = 1 + this.#random.below(CONFIRMED_MAX);
    const [laterMs, victim] = [this.#random.below(LATER_MS_MAX), this.#victim()];
    let confirmed = 0;
    const loaded = Promise.withResolvers<void>();
    const writers = this.#confirmed.map((files, index) =>
      startWriter(this.#directory(index), {
        seed: (seed * 1000 + round) * WRITERS + index,
        files,
        confirmed: () => void (++confirmed === wanted && loaded.resolve()),
      }),
    );
    this.#writers = writers;
    await Promise.race([loaded.promise, Promise.all(writers.map(({ ended }) => ended))]);
    if (confirmed < wanted) this.#problem(round, `writers ended before anything was killed: ${failuresOf(writers)}`);
    await realClock.sleep(laterMs);
    try {
      await this.#kill(victim);
    } catch (cause) {
      throw new Error(`round ${round}: not served again after the ${victim} was killed:\n${this.#mount?.log()}`, { cause });
    }
    const stops = await Promise.all(writers.map((writer) => writer.stop()));
    // Nobody is to notice that the engine was away for a moment.
    if (victim === "server" && writers.some(({ failed }) => failed !== undefined))
      this.#problem(round, `writers ${failuresOf(writers)} after the engine was killed:\n${this.#mount?.log()}`);
    this.#summary.hung += stops.filter((ended) => !ended).length;
    if (victim === "server" || this.#crashes >= CRASHES_MAX) await this.#remount();
    const lost = writers.flatMap((writer, index) => this.#look(round, index, writer));
    const flaws = await this.#flaws(round);
    this.#summary.rounds++;
    this.#summary.acknowledged += confirmed;
    this.#summary.kills[victim] = (this.#summary.kills[victim] ?? 0) + 1;
    this.#summary.lost += lost.length;
    onRound?.(
      `${this.#options.meta} ${round}: ${victim}, ${confirmed} confirmed, writers ${failuresOf(writers)}, ${lost.length} lost, ${flaws} flaws`,
    );
  }

  /** Ends everything in order, and looks for what is left. */
  async #finish(): Promise<void> {
    await this.#unmount();
    const { strangers } = (await this.#anax("gc", VOLUME, "--grace", "0s", "--scan")) as { strangers?: { strangers: number } };
    this.#summary.strangers += strangers?.strangers ?? 0;
    await this.#flaws(0);
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
    const alive = [...this.#pids].filter((pid) => isOurs(pid, this.#dataDir));
    this.#summary.left += alive.length + Number(await isMounted(this.#dir));
    if (alive.length > 0) this.#problem(0, `processes are left: ${alive.join(", ")}`);
  }

  readonly #directory = (index: number): string => join(this.#dir, `w${index}`);

  #victim(): Victim {
    const { victims = VICTIMS } = this.#options;
    const here = victims.filter((victim) => victim !== "server" || this.#server !== undefined);
    return here[this.#random.below(here.length)]!; // within
  }

  /** Kills, and waits until it is served again. */
  async #kill(victim: Victim): Promise<void> {
    const mount = this.#mount!; // there is one in each round
    const served = mount.mountPid();
    switch (victim) {
      case "client":
        this.#crashes++;
        process.kill(served, "SIGKILL");
        await waitFor(async () => mount.mountPid() !== served && this.#isServed());
        this.#pids.add(mount.mountPid());
        return;
      case "supervisor":
        process.kill(mount.supervisorPid, "SIGKILL");
        await exitOf(mount);
        await waitFor(async () => !(await isMounted(this.#dir)) && !isOurs(served, this.#dataDir));
        return this.#mounted();
      case "both":
        for (const pid of this.#random.shuffle([served, mount.supervisorPid])) process.kill(pid, "SIGKILL");
        await exitOf(mount);
        if (await isMounted(this.#dir)) await this.#must(["umount", this.#dir, "--force", "--json"]);
        return this.#mounted();
      case "server": {
        await this.#server!.kill(); // it is drawn only where there is one
        await realClock.sleep(this.#random.below(500));
        await this.#server!.run();
        await waitFor(async () => this.#isServed());
      }
    }
  }

  #isServed(): boolean {
    try {
      return statSync(this.#directory(0)).isDirectory();
    } catch {
      return false;
    }
  }

  async #mounted(): Promise<void> {
    this.#mount = await mounted(this.#dataDir, this.#dir, []);
    if (this.#ended) return this.#endMount();
    this.#crashes = 0;
    for (const pid of [this.#mount.supervisorPid, this.#mount.mountPid()]) this.#pids.add(pid);
  }

  async #unmount(): Promise<void> {
    const mount = this.#mount!;
    process.kill(mount.supervisorPid, "SIGTERM");
    const code = await exitOf(mount);
    if (code !== 0) this.#problem(0, `the mount ended with ${code} when it was told to end:\n${mount.log()}`);
  }

  /** By force: it may hang. */
  async #endMount(): Promise<void> {
    const mount = this.#mount;
    this.#mount = undefined;
    if (mount === undefined) return;
    for (const pid of [mount.supervisorPid, ...this.#pids]) if (isOurs(pid, this.#dataDir)) kill(pid);
    await detach(this.#dir);
    await mount[Symbol.asyncDispose]();
  }

  async #remount(): Promise<void> {
    await this.#unmount();
    await this.#mounted();
  }

  /** Compares what is there with what was confirmed, and takes it as the beginning of the next round. */
  #look(round: number, index: number, { files, underWay }: Writer): readonly string[] {
    const dir = this.#directory(index);
    const found: Files = new Map();
    for (const name of readdirSync(dir))
      if (name !== ASIDE) {
        try {
          found.set(name, readFileSync(join(dir, name)));
        } catch (error) {
          this.#problem(round, `w${index}/${name} cannot be read: ${String(error)}\n${this.#mount?.log()}`);
        }
      }
    const lost = differences(found, files, underWay);
    for (const name of lost) {
      const [is, was] = [found.get(name)?.length ?? "missing", files.get(name)?.length ?? "missing"];
      this.#problem(round, `w${index}/${name} is not as confirmed: ${is} bytes, ${was} expected; under way: ${JSON.stringify(underWay)}`);
    }
    files.clear();
    for (const [name, content] of found) files.set(name, content);
    return lost;
  }

  async #flaws(round: number): Promise<number> {
    const { stdout, stderr } = await runAnax(["volume", "fsck", VOLUME, "--data", "--json"], { env: { ANAX_DATA_DIR: this.#dataDir } });
    const last = stdout.trim().split("\n").at(-1) ?? "";
    const { flaws } = (last === "" ? { flaws: [stderr] } : JSON.parse(last)) as { readonly flaws: readonly unknown[] };
    this.#summary.fsckProblems += flaws.length;
    for (const flaw of flaws) this.#problem(round, `fsck: ${JSON.stringify(flaw)}`);
    return flaws.length;
  }

  #anax(...args: readonly string[]): Promise<unknown> {
    return this.#must(["volume", ...args, "--json"]);
  }

  async #must(args: readonly string[]): Promise<unknown> {
    const { code, stdout, stderr } = await runAnax(args, { env: { ANAX_DATA_DIR: this.#dataDir } });
    if (code !== 0) throw new Error(`anax ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout.trim().split("\n").at(-1)!) as unknown; // each prints at least one line
  }

  #problem(round: number, text: string): void {
    this.#summary.problems.push(`${this.#options.meta}, round ${round}: ${text}`);
  }
}

function kindOf(name: string) {
  const kind = REGISTER_ENGINES.find((each) => each.name === name);
  if (kind === undefined) throw new Error(`--meta: sqlite or ${REGISTER_ENGINES.map((each) => each.name).join(", ")}, not ${name}`);
  const lack = kind.lack();
  if (lack !== undefined) throw new Error(lack);
  return kind;
}

/** How the supervisor ended; throws when it, or the mount process, does not. */
async function exitOf({ exited }: MountedVolume): Promise<number | NodeJS.Signals> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  using _late = realClock.timer(END_TIMEOUT_MS, () => reject(new Error("the processes of the mount hang")));
  return await Promise.race([exited, late]);
}

const failuresOf = (writers: readonly Writer[]): string => writers.map(({ failed }) => failed ?? "stopped").join(" ");

/** Whether such a process lives and works on this data directory: its number may be somebody else's by now. */
function isOurs(pid: number, dataDir: string): boolean {
  try {
    const [state, environment] = [readFileSync(`/proc/${pid}/stat`, "utf8"), readFileSync(`/proc/${pid}/environ`, "utf8")];
    return !/\) [ZX] /.test(state) && environment.includes(`ANAX_DATA_DIR=${dataDir}`);
  } catch {
    return false; // it is gone
  }
}
