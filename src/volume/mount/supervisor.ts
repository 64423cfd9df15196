import { closeSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { realClock } from "../../base/clock.ts";
import { errorOf, type AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { createRandom } from "../../base/random.ts";
import { backoffMs } from "../../base/retry.ts";
import { replaceFile } from "../../disk/atomic-replace.ts";
import { EXIT_GONE, mountRecordDir, tellSyslog, writeAudit, writeLastExit, type ExitRecord } from "./exit-record.ts";
import { openFuseConnection, type FuseConnection } from "./fuse-connection.ts";
import { detach, isRoot, openKernelMount, unmountIdle, type KernelMount } from "./kernel-mount.ts";
import type { MountMeter } from "./mount-meter.ts";
import { MountChild, type ChildEnd } from "./mount-child.ts";
import { connectionOf, mountAt, type MountEntry } from "./mount-table.ts";
import type { GoneFacts, MountRequest } from "./process-messages.ts";

/** What is told once the mount answers. */
export interface MountReady {
  readonly volume: string;
  readonly volumeUuid: string;
  readonly dir: string;
  readonly readOnly: boolean;
  readonly supervisorPid: number;
  readonly mountPid: number;
  /** Where it tells how it is, if it was asked to. */
  readonly status?: string | undefined;
}

export interface SuperviseOptions {
  readonly request: MountRequest;
  readonly log: Log;
  /** Ends the mount in good order. */
  readonly stop: AbortSignal;
  readonly onReady: (ready: MountReady) => void;
  /** Hears of each mount process what it counts. */
  readonly meter?: MountMeter | undefined;
  /** Where it tells how it is: for the record. */
  readonly status?: string | undefined;
}

const WATCH_MS = 500;
/** What is killed once it does not end by itself. */
const END_WAIT_MS = 2000;
/** `umount -f` and `umount -l` of somebody else's come one after the other. */
const DETACH_WAIT_MS = 1000;
/** More crashes in so long a time are no accident. */
const CRASHES = { max: 5, withinMs: 60_000 } as const;
const RESTART = { attemptsMax: Number.POSITIVE_INFINITY, firstMs: 100, maxMs: 15_000 } as const;

interface Life {
  readonly child: MountChild;
  readonly entry: MountEntry;
  readonly connection: FuseConnection | undefined;
  readonly ready: MountReady;
}

/**
 * Mounts a volume and sees to it that the path is never left hanging: replaces a mount process that crashed or does not answer, ends a mount whose volume is
 * gone with a record, and clears the path in the end. Resolves to the exit code. Throws, with the path untouched, where the mount cannot begin.
 */
export async function superviseMount(options: SuperviseOptions): Promise<number> {
  const supervisor = new Supervisor(options);
  const first = await supervisor.begin(undefined);
  return supervisor.run(first);
}

class Supervisor {
  readonly #options: SuperviseOptions;
  readonly #log: Log;
  readonly #crashedMs: number[] = [];
  readonly #random = createRandom();

  constructor(options: SuperviseOptions) {
    this.#options = options;
    this.#log = options.log.child({ volume: options.request.volume, dir: options.request.dir });
  }

  /** A mount process with its session first, then the path: what is refused has touched nothing. */
  async begin(old: Life | undefined): Promise<Life> {
    // By its uuid again: another volume may have taken the name since.
    const request = old === undefined ? this.#options.request : { ...this.#options.request, volume: old.ready.volumeUuid };
    const { dir } = request;
    const kernel = await this.#openKernel(old);
    let child: MountChild | undefined;
    try {
      const started = await MountChild.prepare(request, kernel.fd);
      child = started.child;
      if (old !== undefined && isRoot()) await detach(dir);
      const entry = await kernel.attach();
      await child.serve();
      this.#options.meter?.follow(child);
      const connection = await openFuseConnection(connectionOf(entry));
      const { volume, volumeUuid, readOnly } = started.prepared;
      const { status } = this.#options;
      const pids = { supervisorPid: process.pid, mountPid: child.pid };
      const ready: MountReady = { volume, volumeUuid, dir, readOnly, ...pids, ...(status !== undefined && { status }) };
      await this.#note(ready);
      return { child, entry, connection, ready };
    } catch (thrown) {
      await child?.kill(0);
      if (child !== undefined || !isRoot()) await detach(dir);
      throw thrown;
    } finally {
      closeSync(kernel.fd); // from now on the death of the mount process is the end of the connection
    }
  }

  async #openKernel(old: Life | undefined): Promise<KernelMount> {
    const { dir, volume, settings } = this.#options.request;
    const { readOnly, allowOther, kernel: extra } = settings;
    if (old !== undefined && !isRoot()) await detach(dir); // it is mounted anew at once
    return openKernelMount({ dir, source: `anax:${volume}`, readOnly, allowOther, extra });
  }

  async run(first: Life): Promise<number> {
    let life = first;
    this.#options.onReady(life.ready);
    for (;;) {
      const end = await this.#endOf(life);
      const code = await this.#after(life, end);
      if (code !== undefined) return code;
      const next = await this.#restart(life);
      if (typeof next === "number") return next;
      life = next;
      this.#log.warn("mount.restarted", { pid: life.child.pid });
    }
  }

  /** The end of a mount process, helped along where it hangs. */
  async #endOf({ child, connection }: Life): Promise<ChildEnd | "stop"> {
    const { stop, request } = this.#options;
    const { hangTimeoutMs, operationTimeoutMs } = request.settings;
    const over = new AbortController();
    const stopped = stopOf(stop, over.signal);
    const seen: { end?: ChildEnd | "stop" } = {};
    const ended = new AbortController();
    const watchEnd = async (): Promise<void> => {
      seen.end = await Promise.race([child.end, stopped]);
      ended.abort();
    };
    void watchEnd();
    let served = { count: child.served, atMs: realClock.nowMs() };
    try {
      for (;;) {
        await realClock.sleep(WATCH_MS, ended.signal).catch(() => undefined);
        if (seen.end !== undefined) return seen.end;
        const now = realClock.nowMs();
        if (child.served !== served.count || (connection?.waiting() ?? 0) <= child.delayed) served = { count: child.served, atMs: now };
        const silent = now - child.aliveMs > hangTimeoutMs;
        if (!silent && now - served.atMs < hangTimeoutMs + operationTimeoutMs) continue;
        this.#log.error("mount.hung", { pid: child.pid, sinceMs: Math.round(silent ? now - child.aliveMs : now - served.atMs) });
        connection?.abort(); // whoever waits gets an error now
        await child.kill(0);
        return { kind: "crashed", reason: "it did not answer" };
      }
    } finally {
      over.abort();
    }
  }

  /** What follows from an end: an exit code, or undefined for another try. */
  async #after(life: Life, end: ChildEnd | "stop"): Promise<number | undefined> {
    if (end === "stop") return this.#stop(life);
    switch (end.kind) {
      case "gone":
        return this.#gone(life, end.facts);
      case "ended": {
        const { lostFiles, lostBytes } = end;
        if (await this.#isMounted(life)) break; // only its connection was ended
        return this.#leave({ event: "mount.unmounted", exitCode: 0, lostFiles, lostBytes, reason: end.reason });
      }
      case "crashed":
        this.#log.error("mount.crashed", { pid: life.child.pid, reason: end.reason });
    }
    const now = realClock.nowMs();
    this.#crashedMs.push(now);
    if (this.#crashedMs.filter((atMs) => now - atMs < CRASHES.withinMs).length <= CRASHES.max) return undefined;
    await detach(life.ready.dir);
    return this.#leave({ event: "mount.failed", exitCode: 1, reason: `${CRASHES.max} crashes within a minute` });
  }

  /** Until it goes again: what cannot be reached now will be some day. The dead mount keeps programs away from the folder below. */
  async #restart(old: Life): Promise<Life | number> {
    const { stop } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.begin(old);
      } catch (thrown) {
        const error = errorOf(thrown);
        if (error.code === "volume.not-exist") return this.#gone(old, factsOf(error, old));
        this.#log.error("mount.not-restarted", { code: error.code, reason: error.message, attempt });
      }
      await realClock.sleep(backoffMs(attempt, RESTART, this.#random), stop).catch(() => undefined);
      if (!stop.aborted) continue;
      await detach(old.ready.dir);
      return this.#leave({ event: "mount.stopped", exitCode: 0 });
    }
  }

  async #stop({ child, ready }: Life): Promise<number> {
    this.#log.info("mount.stopping");
    await child
      .flush(this.#options.request.settings.operationTimeoutMs)
      .catch((thrown: unknown) => this.#log.error("mount.not-flushed", { reason: errorOf(thrown).message }));
    if (!(await unmountIdle(ready.dir))) await detach(ready.dir);
    await child.kill(END_WAIT_MS);
    const end = await child.end;
    const lost = end.kind === "ended" ? { lostFiles: end.lostFiles, lostBytes: end.lostBytes } : {};
    return this.#leave({ event: "mount.stopped", exitCode: 0, ...lost });
  }

  /** The record first: what follows may go wrong. */
  async #gone({ child, connection, ready }: Life, facts: GoneFacts): Promise<number> {
    const { request } = this.#options;
    const record = this.#recordOf({ event: "mount.volume-gone", exitCode: EXIT_GONE, ...goneOf(facts) });
    try {
      writeAudit(request.dataDir, record);
    } catch (thrown) {
      this.#log.error("mount.not-recorded", { reason: errorOf(thrown).message, record });
    }
    const told = tellSyslog(record);
    if (request.settings.onGone === "poison" && connection !== undefined) connection.abort();
    else await detach(ready.dir);
    await Promise.all([child.kill(END_WAIT_MS), told]);
    return this.#leave(record);
  }

  async #leave(facts: Partial<ExitRecord> & Pick<ExitRecord, "event" | "exitCode">): Promise<number> {
    const record = this.#recordOf(facts);
    const { request } = this.#options;
    await rm(join(mountRecordDir(request.dataDir, request.dir), "mount.json"), { force: true });
    await writeLastExit(request.dataDir, record).catch((thrown: unknown) =>
      this.#log.error("mount.not-recorded", { reason: errorOf(thrown).message }),
    );
    const { event, ...fields } = record;
    this.#options.log.warn(event, fields);
    return record.exitCode;
  }

  #recordOf(facts: Partial<ExitRecord> & Pick<ExitRecord, "event" | "exitCode">): ExitRecord {
    const { dir, volume } = this.#options.request;
    return { atMs: realClock.wallMs(), volume, volumeUuid: undefined, dir, pid: process.pid, ...facts };
  }

  async #isMounted({ entry }: Life): Promise<boolean> {
    using deadline = realClock.deadline(DETACH_WAIT_MS);
    while (mountAt(entry.path)?.device === entry.device) {
      if (deadline.signal.aborted) return true;
      await realClock.sleep(WATCH_MS / 10);
    }
    return false;
  }

  async #note(ready: MountReady): Promise<void> {
    const { dataDir, dir } = this.#options.request;
    mkdirSync(mountRecordDir(dataDir, dir), { recursive: true });
    await replaceFile(join(mountRecordDir(dataDir, dir), "mount.json"), `${JSON.stringify(ready)}\n`);
  }
}

/** Resolves when it is to stop; once `over`, never. */
function stopOf(stop: AbortSignal, over: AbortSignal): Promise<"stop"> {
  const { promise, resolve } = Promise.withResolvers<"stop">();
  if (stop.aborted) resolve("stop");
  else stop.addEventListener("abort", () => resolve("stop"), { once: true, signal: over });
  return promise;
}

const goneOf = ({
  volumeUuid,
  epoch,
  source,
  deletedAtMs,
  deletedBy,
  openFiles,
  lostFiles,
  lostBytes,
}: GoneFacts): Partial<ExitRecord> => ({
  volumeUuid,
  epoch,
  source,
  openFiles,
  lostFiles,
  lostBytes,
  ...(deletedAtMs !== undefined && { deletedAtMs }),
  ...(deletedBy !== undefined && { deletedBy }),
});

/** The volume went while no mount process was there to see it. */
const factsOf = ({ details }: AnaxError, { ready }: Life): GoneFacts => ({
  volumeUuid: ready.volumeUuid,
  epoch: Number(details["epoch"] ?? 0),
  deletedAtMs: undefined,
  deletedBy: undefined,
  source: "operation",
  openFiles: 0,
  lostFiles: 0,
  lostBytes: 0,
});
