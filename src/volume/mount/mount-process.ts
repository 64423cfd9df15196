import { statfs, write } from "node:fs";
import { once } from "node:events";
import { hostname } from "node:os";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { realClock } from "../../base/clock.ts";
import { AnaxError, errorOf, invariant } from "../../base/errors.ts";
import { createLog, type Log } from "../../base/log.ts";
import { createBell, ring, type Bell } from "../../disk/bell.ts";
import { encodeInvalInode } from "../../wire/fuse/notify.ts";
import { VOLUME_NOT_EXIST, type VolumeRecord } from "../lifecycle/volume-record.ts";
import type { VolumeEvent, VolumeWatch } from "../lifecycle/volume-watch.ts";
import { watchVolume } from "../lifecycle/watch-volume.ts";
import { EXIT_GONE } from "./exit-record.ts";
import { ReadCounts } from "../data/peers/read-counts.ts";
import { detach } from "./kernel-mount.ts";
import type { FromWorker, SettleStart, ToWorker, WorkerStart } from "./messages.ts";
import { MountCounts } from "./mount-counts.ts";
import type { ProcessFigures } from "./mount-meter.ts";
import { DEVICE_FD, type FromMountProcess, type GoneFacts, type MountRequest, type ToMountProcess } from "./process-messages.ts";
import { SharedState } from "./shared-state.ts";

const ALIVE_MS = 1000;
/** The worker may be in the middle of something when the volume is gone; what it loses then is told without it. */
const FENCE_WAIT_MS = 500;
/** The end of a session is not waited for longer. */
const LEAVE_MS = 2000;
/** Files whose pages are dropped at once. */
const DROPS_MAX = 1024;

const statfsLater = promisify(statfs);
const writeLater = promisify(write);

/** The process that serves one mount; started by the supervisor with the device as descriptor 3. Its main thread controls, a worker serves. */
class MountProcess {
  readonly #request: MountRequest;
  readonly #log: Log;
  readonly #state = new SharedState();
  readonly #counts = new MountCounts();
  readonly #reads = new ReadCounts();
  #watch!: VolumeWatch;
  #worker: Worker | undefined;
  /** Wakes the worker; undefined where the system lacks it. */
  #bell: Bell | undefined;
  #waking = false;
  #lastAsked = 0;
  readonly #asked = new Map<number, (inos: readonly number[]) => void>();
  #leaving = false;
  #orphaned = false;
  /** Resolves with what the worker dropped when it saw the fence. */
  readonly #fenced = Promise.withResolvers<FromWorker & { readonly kind: "fenced" }>();

  private constructor(request: MountRequest) {
    this.#request = request;
    this.#log = createLog(request.logLevel).child({ volume: request.volume, dir: request.dir });
  }

  /** Begins a session with the volume. Throws as `watchVolume`. */
  static async prepare(request: MountRequest): Promise<MountProcess> {
    const prepared = new MountProcess(request);
    const { dataDir, volume, dir, settings } = request;
    prepared.#watch = await watchVolume({
      dataDir,
      volume,
      session: { host: hostname(), pid: process.pid, mountpoint: dir, readOnly: settings.readOnly },
      onEvent: (event) => prepared.#onEvent(event),
    });
    const record = prepared.#watch.volume;
    prepared.#setReadOnly(record);
    send({ kind: "prepared", volume: record.name, volumeUuid: record.uuid, readOnly: prepared.#readOnly(record) });
    return prepared;
  }

  /** Starts to answer requests. */
  async serve(): Promise<void> {
    const { dataDir, settings, daemonSocket } = this.#request;
    this.#bell = await createBell();
    const workerData: WorkerStart = {
      fd: DEVICE_FD,
      bell: this.#bell,
      dataDir,
      volumeUuid: this.#watch.volume.uuid,
      sessionId: this.#watch.sessionId,
      shared: this.#state.buffer,
      counts: this.#counts.shared,
      reads: this.#reads.shared,
      operationTimeoutMs: settings.operationTimeoutMs,
      peers: daemonSocket === undefined ? undefined : { daemonSocket, waitMs: settings.peerWaitMs },
      cacheDir: settings.cacheDir,
      others: this.#watch.shared,
      settings: { ...settings, requestTimeoutSeconds: Math.ceil(settings.requestTimeoutMs / 1000) },
    };
    const worker = new Worker(workerUrl("io-worker"), { workerData });
    this.#worker = worker;
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "ready") resolve();
      else if (message.kind === "not-started") reject(new AnaxError("volume.mount-failed", { reason: message.reason }));
      else void this.#onWorker(message);
    });
    worker.once("error", reject);
    await ready;
    void this.#round();
    new Worker(workerUrl("settle-worker"), {
      workerData: { dir: this.#request.dir, bell: this.#bell, shared: this.#state.buffer } satisfies SettleStart,
    }).unref();
    send({ kind: "serving" });
  }

  flush(): void {
    this.#post({ kind: "flush" });
  }

  /** The supervisor is gone: nobody else will clear the path. */
  async orphaned(): Promise<void> {
    this.#orphaned = true;
    this.#log.error("mount.orphaned", { reason: "the supervisor has ended" });
    this.flush();
    await realClock.sleep(FENCE_WAIT_MS);
    await detach(this.#request.dir);
    await this.#leave(1);
  }

  #readOnly(record: VolumeRecord): boolean {
    return this.#request.settings.readOnly || record.readOnly || record.state !== "active";
  }

  #setReadOnly(record: VolumeRecord): void {
    this.#state.set("readOnly", this.#readOnly(record) ? 1 : 0);
  }

  #onEvent(event: VolumeEvent): void | Promise<void> {
    switch (event.kind) {
      case "changed":
        return this.#onChanged(event.volume, event.source);
      case "gone":
        // Numbers and the uuid decide, never a text. Another volume's end is not ours, nor that of an earlier one under the same uuid.
        if (event.wireCode !== VOLUME_NOT_EXIST || event.volumeUuid !== this.#watch.volume.uuid) return undefined;
        return void this.#gone(event);
      case "suspect":
        return this.#log.error("mount.suspect", { reason: event.reason, hint: "the mount stays; what needs the metadata waits" });
      case "reached":
        return this.#log.info("mount.reached");
      case "shared":
        return this.#share(event.shared);
      case "invalidate":
        return this.#invalidate(event);
      case "evicted":
        return this.#evicted();
      case "wanted":
        return this.#post({ kind: "release", inos: event.inos });
      case "released":
        return this.#post({ kind: "free" });
      case "unlocked":
        return this.#post({ kind: "unlocked", ino: event.ino });
    }
  }

  #onChanged(record: VolumeRecord, source: GoneFacts["source"]): void {
    this.#setReadOnly(record);
    this.#log.warn("mount.volume-changed", {
      state: record.state,
      epoch: record.epoch,
      readOnly: this.#readOnly(record),
      purgeAtMs: record.purgeAtMs,
    });
    if (record.state !== "deleting" || record.onDelete !== "detach-now") return;
    const { uuid, epoch, deletedAtMs, deletedBy } = record;
    void this.#gone({ volumeUuid: uuid, epoch, deletedAtMs, deletedBy, source });
  }

  /** Fence, stop, drop, and tell the supervisor, who writes the record and clears the path. */
  async #gone(facts: Omit<GoneFacts, "openFiles" | "lostFiles" | "lostBytes">): Promise<void> {
    if (this.#leaving) return;
    this.#leaving = true;
    const { volumeUuid, epoch, deletedAtMs, deletedBy, source } = facts;
    this.#log.error("mount.volume-gone", { volumeUuid, epoch, source });
    this.#state.set("fenced", 1);
    this.#wake();
    const dropped = await Promise.race([this.#fenced.promise, realClock.sleep(FENCE_WAIT_MS)]);
    const { openFiles, files: lostFiles, bytes: lostBytes } = dropped ?? { openFiles: this.#state.get("openFiles"), files: 0, bytes: 0 };
    send({ kind: "gone", volumeUuid, epoch, deletedAtMs, deletedBy, source, openFiles, lostFiles, lostBytes });
  }

  async #onWorker(message: FromWorker): Promise<void> {
    switch (message.kind) {
      case "not-exist":
        if (message.wireCode === VOLUME_NOT_EXIST && message.volumeUuid === this.#watch.volume.uuid) await this.#watch.confirm();
        return;
      case "fault":
        return this.#log.error("mount.fault", { op: message.op, code: message.code, reason: message.reason });
      case "damaged":
        return this.#log.error("mount.damaged", { ino: message.ino, code: message.code, reason: message.reason });
      case "recovered":
        return this.#log.info("mount.recovered");
      case "fenced":
        return this.#fenced.resolve(message);
      case "flushed":
        return send({ kind: "flushed", errno: message.errno });
      case "ended":
        send({ kind: "ended", reason: message.reason, lostFiles: message.lostFiles, lostBytes: message.lostBytes });
        if (this.#orphaned) return; // the path is being cleared: the connection ends before it is
        return this.#leave(this.#state.get("fenced") === 1 ? EXIT_GONE : 0);
      case "answered":
        this.#asked.get(message.id)?.(message.inos);
        return;
      case "released":
        return this.#watch.released();
      case "want":
        return this.#watch.want(message.ino, message.session);
      case "settle":
        return this.#settle(message.id);
      case "ready":
      case "not-started":
        return;
    }
  }

  async #settle(id: number): Promise<void> {
    let reason: string | undefined;
    try {
      await this.#watch.settled();
    } catch (thrown) {
      reason = errorOf(thrown).message;
    }
    this.#post({ kind: "settled", id, reason });
  }

  /** Once a second: tells that it lives, and has the worker do what is due. */
  async #round(): Promise<void> {
    for (;;) {
      const [waiting, delayed] = [this.#state.get("waitingLocks"), this.#state.get("pending")];
      send({ kind: "alive", served: this.#state.get("served"), delayed: waiting + delayed, figures: this.#figures });
      if (this.#state.get("unwritten") === 1 || waiting > 0 || this.#asked.size > 0 || this.#counts.level("backlogBytes") > 0) this.#wake();
      await realClock.sleep(ALIVE_MS);
    }
  }

  get #figures(): ProcessFigures {
    const [openFiles, waiting] = [this.#state.get("openFiles"), this.#state.get("pending")];
    return { counted: this.#counts.values, reads: this.#reads.values, openFiles, waiting };
  }

  #post(message: ToWorker): void {
    this.#worker?.postMessage(message, []);
    this.#state.set("mail", 1);
    this.#wake();
  }

  #wake(): void {
    if (this.#worker === undefined) return;
    if (this.#bell !== undefined) return ring(this.#bell);
    if (this.#waking) return;
    this.#waking = true;
    void this.#askMount();
  }

  /** A request of our own ends the worker's wait. Killed in the middle of it, together with the supervisor, this process cannot end: so the bell where there is one. */
  async #askMount(): Promise<void> {
    try {
      await statfsLater(this.#request.dir);
    } catch {
      // the mount is gone, or fenced
    }
    this.#waking = false;
    if (this.#state.get("mail") === 1 && this.#state.get("fenced") === 0) this.#wake();
  }

  /** Resolves once the kernel believes nothing any more that it was told before. */
  async #share(shared: boolean): Promise<void> {
    if (this.#worker === undefined) return; // it will be started accordingly
    await this.#ask((id) => ({ kind: "share", id, shared }));
    const { entryMs, attrMs, negativeMs } = this.#request.settings;
    if (shared) await realClock.sleep(Math.max(entryMs, attrMs, negativeMs));
  }

  async #invalidate({ inos, everything }: VolumeEvent & { readonly kind: "invalidate" }): Promise<void> {
    if (this.#worker === undefined) return;
    const known = await this.#ask((id) => ({ kind: "outdated", id, inos, everything }));
    await drop(everything ? known : inos);
  }

  async #evicted(): Promise<void> {
    this.#log.error("mount.evicted", { reason: "others took this mount for dead; what it had not committed is lost" });
    if (this.#worker !== undefined) await drop(await this.#ask((id) => ({ kind: "evicted", id })));
  }

  /** What the worker answers to that. */
  async #ask(message: (id: number) => ToWorker): Promise<readonly number[]> {
    const id = ++this.#lastAsked;
    const { promise, resolve } = Promise.withResolvers<readonly number[]>();
    this.#asked.set(id, resolve);
    this.#post(message(id));
    try {
      return await promise;
    } finally {
      this.#asked.delete(id);
    }
  }

  async #leave(code: number): Promise<never> {
    await Promise.race([this.#watch[Symbol.asyncDispose](), realClock.sleep(LEAVE_MS)]);
    process.exit(code);
  }
}

const workerUrl = (name: string): URL => new URL(`./${name}${import.meta.url.endsWith(".ts") ? ".ts" : ".js"}`, import.meta.url);

/** The kernel's pages of these files. It waits there for locks that a program may hold whose request the worker is to answer: never from the worker. */
async function drop(inos: readonly number[]): Promise<void> {
  for (let at = 0; at < inos.length; at += DROPS_MAX) {
    const some = inos.slice(at, at + DROPS_MAX);
    await Promise.all(some.map((ino) => writeLater(DEVICE_FD, encodeInvalInode(ino, 0, 0)).catch(() => undefined))); // the kernel may know nothing of it
  }
}

function send(message: FromMountProcess): void {
  if (process.connected) process.send!(message); // it has a channel, since it is connected
}

function refuse(thrown: unknown): void {
  const { code, details } = errorOf(thrown);
  if (process.connected) process.send!({ kind: "refused", code, details } satisfies FromMountProcess, () => process.exit(1)); // it has a channel, since it is connected
}

async function main(): Promise<void> {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => undefined); // the supervisor's affair
  const [first] = (await once(process, "message")) as [ToMountProcess];
  invariant(first.kind === "prepare", "a mount process is first told what to mount");
  let mount: MountProcess;
  try {
    mount = await MountProcess.prepare(first.request);
  } catch (thrown) {
    return refuse(thrown);
  }
  process.on("disconnect", () => void mount.orphaned());
  process.on("message", (message: ToMountProcess) => {
    if (message.kind === "serve") mount.serve().catch(refuse);
    else if (message.kind === "flush") mount.flush();
  });
}

await main();
