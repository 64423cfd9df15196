import { closeSync, openSync, watch, type FSWatcher } from "node:fs";
import { realClock, type Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { createRandom } from "../../base/random.ts";
import type { VolumeControl } from "../meta/control.ts";
import { Catalog, mustFind } from "./catalog.ts";
import { Coherence } from "./coherence.ts";
import { notifyWatchers } from "./events.ts";
import { MetaPlace } from "./open-meta.ts";
import { hasEnded, showLife } from "./session-life.ts";
import { withFence } from "./shared-record.ts";
import { volumePaths, type VolumePaths } from "./volume-paths.ts";
import { VOLUME_NOT_EXIST, type VolumeRecord } from "./volume-record.ts";
import { HEARTBEAT_MS, type EventSource, type VolumeWatch, type WatchOptions } from "./volume-watch.ts";

/** Heartbeats of many clients must not come at one time. */
const JITTER = 0.2;

/** Begins a session and watches. Throws `volume.not-found`, `volume.not-exist`, `volume.unreachable`. */
export async function watchVolume(options: WatchOptions): Promise<VolumeWatch> {
  const clock = options.clock ?? realClock;
  const record = readRecord(options.dataDir, options.volume);
  mustExist(record);
  const paths = volumePaths(options.dataDir, record.uuid);
  const place = MetaPlace.of(options.dataDir, record.uuid);
  const control = await place.control(clock);
  try {
    if (place.isShared) mustExist(withFence(record, await control.readFence(), clock));
    const sessionId = await control.beginSession(options.session);
    const life = await showLife(paths.sessions, sessionId);
    const begun = new LocalWatch({ options, clock, control, isShared: place.isShared, sessionId, life, record, paths });
    try {
      await begun.join();
      return begun;
    } catch (error) {
      await begun[Symbol.asyncDispose]();
      throw error;
    }
  } catch (error) {
    await control[Symbol.asyncDispose]();
    throw error;
  }
}

interface LocalWatchOptions {
  readonly options: WatchOptions;
  readonly clock: Clock;
  readonly control: VolumeControl;
  /** Others may change it whom neither the catalog nor a file here tells of. */
  readonly isShared: boolean;
  readonly sessionId: number;
  readonly life: AsyncDisposable;
  readonly record: VolumeRecord;
  readonly paths: VolumePaths;
}

class LocalWatch implements VolumeWatch {
  readonly sessionId: number;
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #control: VolumeControl;
  readonly #isShared: boolean;
  readonly #random = createRandom();
  readonly #watchers: readonly (FSWatcher | undefined)[];
  readonly #coherence: Coherence;
  readonly #life: AsyncDisposable;
  readonly #told: AsyncDisposable | undefined;
  #volume: VolumeRecord;
  #suspect = false;
  #gone = false;
  #closed = false;
  #timer: Disposable | undefined;
  #looking: Promise<void> | undefined;
  /** Something came while a look was under way. */
  #again: EventSource | undefined;

  constructor({ options, clock, control, isShared, sessionId, life, record, paths }: LocalWatchOptions) {
    this.sessionId = sessionId;
    this.#options = options;
    this.#clock = clock;
    this.#control = control;
    this.#isShared = isShared;
    this.#life = life;
    this.#volume = record;
    this.#told = control.listen(() => this.#coherence.look());
    this.#coherence = new Coherence({
      control,
      sessionId,
      clock,
      onEvent: options.onEvent,
      tell() {
        notifyWatchers(paths.told, clock.wallMs());
        control.tell();
      },
      isTold: !isShared || this.#told !== undefined,
      isDead: (session) => hasEnded(paths.sessions, session, clock),
    });
    this.#watchers = [watcherOf(paths.event, () => void this.#look("push")), watcherOf(paths.told, () => this.#coherence.look())];
    this.#arm();
  }

  /** Others know of this session once that has resolved. */
  join(): Promise<void> {
    return this.#coherence.join();
  }

  get shared(): boolean {
    return this.#coherence.shared;
  }

  settled(): Promise<void> {
    return this.#coherence.settled();
  }

  want(ino: number, holder: number): void {
    this.#coherence.want(ino, holder).catch(() => undefined); // who waits asks again
  }

  released(): void {
    this.#coherence.released();
  }

  get volume(): VolumeRecord {
    return this.#volume;
  }

  confirm(): Promise<void> {
    return this.#look("operation");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const watcher of this.#watchers) watcher?.close();
    this.#timer?.[Symbol.dispose]();
    await this.#looking;
    await this.#coherence.close();
    try {
      if (this.#gone) return; // nobody else is left, and its directory is being removed
      await this.#control.endSession(this.sessionId);
      this.#coherence.released(); // who waited for this session need not
    } catch {
      // The others end it once it has been silent for long enough.
    } finally {
      await this.#told?.[Symbol.asyncDispose]();
      await this.#control[Symbol.asyncDispose]();
      await this.#life[Symbol.asyncDispose]();
    }
  }

  #arm(): void {
    this.#timer = this.#clock.timer(HEARTBEAT_MS * (1 - JITTER / 2 + JITTER * this.#random.next()), () => {
      void this.#look("heartbeat").finally(() => {
        if (!this.#closed && !this.#gone) this.#arm();
      });
    });
  }

  /** One at a time: whatever comes meanwhile makes one more. Never rejects. */
  #look(source: EventSource): Promise<void> {
    if (this.#closed || this.#gone) return Promise.resolve();
    if (this.#looking !== undefined) {
      this.#again = source;
      return this.#looking;
    }
    this.#looking = this.#lookUntilQuiet(source).finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async #lookUntilQuiet(first: EventSource): Promise<void> {
    for (let source: EventSource | undefined = first; source !== undefined && !this.#closed && !this.#gone; source = this.#again) {
      this.#again = undefined;
      try {
        this.#tell(await this.#record(), source);
        if (!this.#gone) await this.#beat(source);
        if (this.#suspect && !this.#gone) {
          this.#suspect = false;
          void this.#options.onEvent({ kind: "reached" });
        }
      } catch (thrown) {
        this.#failed(errorOf(thrown), source);
      }
    }
  }

  async #record(): Promise<VolumeRecord> {
    const record = readRecord(this.#options.dataDir, this.#volume.uuid);
    return this.#isShared ? withFence(record, await this.#control.readFence(), this.#clock) : record;
  }

  async #beat(source: EventSource): Promise<void> {
    const revived = source === "heartbeat" && (await this.#control.heartbeat(this.sessionId, this.#options.session)).revived;
    if (revived) await this.#coherence.rejoin();
    else this.#coherence.look();
  }

  #tell(volume: VolumeRecord, source: EventSource): void {
    if (volume.state === "purging" || volume.state === "deleted") return this.#tellGone(volume.epoch, volume, source);
    if (volume.epoch === this.#volume.epoch) return;
    this.#volume = volume;
    void this.#options.onEvent({ kind: "changed", volume, source });
  }

  /** A tombstone of this very volume is proof; everything else may pass. */
  #failed(error: AnaxError, source: EventSource): void {
    const { code, details } = error;
    if (code === "volume.not-exist" && details["volume"] === this.#volume.uuid) {
      const tombstone = tombstoneOf(this.#options.dataDir, this.#volume.uuid);
      if (tombstone !== undefined) return this.#tellGone(tombstone.epoch, tombstone, source);
    }
    if (this.#suspect) return;
    this.#suspect = true;
    void this.#options.onEvent({ kind: "suspect", reason: `${code}: ${error.message}` });
  }

  #tellGone(
    epoch: number,
    { deletedAtMs, deletedBy }: { readonly deletedAtMs: number | undefined; readonly deletedBy: string | undefined },
    source: EventSource,
  ): void {
    this.#gone = true;
    void this.#options.onEvent({
      kind: "gone",
      wireCode: VOLUME_NOT_EXIST,
      volumeUuid: this.#volume.uuid,
      epoch,
      deletedAtMs: deletedAtMs ?? 0,
      deletedBy: deletedBy ?? "",
      source,
    });
  }
}

function mustExist({ uuid, state, epoch }: VolumeRecord): void {
  if (state === "purging" || state === "deleted")
    throw new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch });
}

/** Opens the catalog each time: another one in its place would not be seen through an open file. */
function readRecord(dataDir: string, volume: string): VolumeRecord {
  using catalog = Catalog.open(dataDir, { create: false });
  return mustFind(catalog, volume);
}

function tombstoneOf(dataDir: string, uuid: string): ReturnType<Catalog["tombstone"]> {
  using catalog = Catalog.open(dataDir, { create: false });
  return catalog.tombstone(uuid);
}

/** Without inotify there is still the heartbeat. */
function watcherOf(path: string, onEvent: () => void): FSWatcher | undefined {
  try {
    closeSync(openSync(path, "a", 0o640));
    const watcher = watch(path, { persistent: false }, onEvent);
    watcher.on("error", () => watcher.close());
    return watcher;
  } catch {
    return undefined;
  }
}
