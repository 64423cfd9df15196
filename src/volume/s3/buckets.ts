import { hostname } from "node:os";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import { openVolume, type OpenVolume } from "../lifecycle/open-volume.ts";
import { patientVolume } from "../lifecycle/patient-volume.ts";
import type { VolumeRecord } from "../lifecycle/volume-record.ts";
import { Volumes } from "../lifecycle/volumes.ts";
import type { VolumeEvent, VolumeWatch } from "../lifecycle/volume-watch.ts";
import { watchVolume } from "../lifecycle/watch-volume.ts";
import { Bucket } from "./bucket.ts";
import type { S3Config } from "./config.ts";
import { removeLeftDrafts } from "./left-drafts.ts";
import type { S3Metrics } from "./metrics.ts";
import { S3Error } from "./s3-error.ts";

interface Open {
  readonly opening: Promise<Opened>;
  users: number;
  idle: Disposable | undefined;
  /** Nobody new may use it; who uses it last closes it. */
  left: boolean;
}

interface Opened extends AsyncDisposable {
  readonly bucket: Bucket;
}

interface BucketsOptions {
  readonly dataDir: string;
  readonly config: Pick<S3Config, "volumesMax" | "idleVolumeMs">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: S3Metrics;
}

/** The volumes that requests use now, or did lately; each with a session, so that `anax volume info` shows the gateway, and the collector waits for it. */
export class Buckets implements AsyncDisposable {
  readonly #options: BucketsOptions;
  /** By uuid, the one that was used longest ago first. */
  readonly #open = new Map<string, Open>();
  readonly #closing = new Set<Promise<void>>();

  constructor(options: BucketsOptions) {
    this.#options = options;
  }

  /** Runs `work` with the volume open. Throws as `watchVolume` and `openVolume` do, and `SlowDown` when too many volumes are in use. */
  async use<T>(volume: VolumeRecord, work: (bucket: Bucket) => Promise<T>): Promise<T> {
    const open = this.#take(volume);
    try {
      const { bucket } = await open.opening;
      try {
        return await work(bucket);
      } finally {
        await bucket.verbs.settle(false); // nothing is left open when the thread turns to others
      }
    } catch (thrown) {
      if (thrown instanceof AnaxError && thrown.code === "volume.not-exist") this.#leave(volume.uuid, open);
      throw thrown;
    } finally {
      open.users--;
      this.#rest(volume.uuid, open);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [uuid, open] of this.#open) this.#leave(uuid, open);
    await Promise.all(this.#closing);
  }

  #take(volume: VolumeRecord): Open {
    const open = this.#open.get(volume.uuid) ?? this.#begin(volume);
    open.idle?.[Symbol.dispose]();
    open.idle = undefined;
    open.users++;
    this.#open.delete(volume.uuid);
    this.#open.set(volume.uuid, open);
    this.#options.metrics.volumes.set(this.#open.size);
    return open;
  }

  #begin(volume: VolumeRecord): Open {
    if (this.#open.size >= this.#options.config.volumesMax) {
      const rested = [...this.#open].find(([, { users }]) => users === 0);
      if (rested === undefined) throw new S3Error("SlowDown");
      this.#leave(...rested);
    }
    const open: Open = {
      opening: openBucket({ ...this.#options, volume, onGone: () => this.#leave(volume.uuid, open) }),
      users: 0,
      idle: undefined,
      left: false,
    };
    open.opening.catch(() => this.#leave(volume.uuid, open)); // the next request tries anew
    return open;
  }

  #rest(uuid: string, open: Open): void {
    if (open.users > 0) return;
    if (open.left) return this.#close(uuid, open);
    open.idle = this.#options.clock.timer(this.#options.config.idleVolumeMs, () => this.#leave(uuid, open));
  }

  #leave(uuid: string, open: Open): void {
    if (open.left) return;
    open.left = true;
    open.idle?.[Symbol.dispose]();
    if (this.#open.get(uuid) === open) this.#open.delete(uuid);
    this.#options.metrics.volumes.set(this.#open.size);
    if (open.users === 0) this.#close(uuid, open);
  }

  #close(uuid: string, open: Open): void {
    const failed = (thrown: unknown): void => this.#options.log.warn("s3.close-failed", { volume: uuid, reason: String(thrown) });
    const done = open.opening
      .then(
        (opened) => opened[Symbol.asyncDispose](),
        () => undefined, // told to who wanted it
      )
      .catch(failed)
      .finally(() => this.#closing.delete(done));
    this.#closing.add(done);
  }
}

async function openBucket({
  dataDir,
  volume,
  clock,
  log,
  onGone,
}: Pick<BucketsOptions, "dataDir" | "clock" | "log"> & { readonly volume: VolumeRecord; readonly onGone: () => void }): Promise<Opened> {
  const fields = { volume: volume.name, uuid: volume.uuid };
  let opened: OpenVolume | undefined;
  const onEvent = (event: VolumeEvent): void => {
    if (event.kind === "shared") opened?.leases.share(event.shared);
    if (event.kind === "evicted") {
      log.warn("s3.evicted", { ...fields, unwritten: opened?.files.unwritten() });
      opened?.files.forsake();
      onGone(); // whoever comes next begins anew
    }
    if (event.kind === "suspect") log.warn("s3.volume-suspect", { ...fields, reason: event.reason });
    if (event.kind !== "gone") return;
    log.warn("s3.volume-gone", { ...fields, epoch: event.epoch, deletedBy: event.deletedBy, unwritten: opened?.files.unwritten() });
    opened?.files.discard();
    onGone();
  };
  await using scope = new AsyncDisposableStack();
  const session = { host: hostname(), pid: process.pid, mountpoint: "s3", readOnly: false };
  const watch: VolumeWatch = scope.use(await watchVolume({ dataDir, volume: volume.uuid, session, onEvent, clock }));
  const onDamage = (ino: number, { code, message }: AnaxError): void => log.error("s3.damaged", { ...fields, ino, code, reason: message });
  opened = scope.use(await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: watch.sessionId, onDamage, clock }));
  opened.leases.share(watch.shared);
  const bucket = new Bucket({ name: volume.name, volume: patientVolume(opened, watch, clock), clock });
  await removeLeftDrafts(bucket, await new Volumes(dataDir, clock).sessions(volume));
  log.debug("s3.volume-opened", fields);
  const owned = scope.move();
  return { bucket, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
