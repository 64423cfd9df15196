import { closeSync, openSync, watch, type FSWatcher } from "node:fs";
import { realClock, type Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";
import { createRandom } from "../../base/random.ts";
import type { ForeignChanges, VolumeControl } from "../meta/control.ts";
import { Catalog, mustFind } from "./catalog.ts";
import { MetaPlace } from "./open-meta.ts";
import { withFence } from "./shared-record.ts";
import { volumePaths } from "./volume-paths.ts";
import { VOLUME_NOT_EXIST, type VolumeRecord } from "./volume-record.ts";
import { HEARTBEAT_MS, type EventSource, type VolumeWatch, type WatchOptions } from "./volume-watch.ts";

/** Heartbeats of many clients must not come at one time. */
const JITTER = 0.2;

/** Begins a session and watches. Throws `volume.not-found`, `volume.not-exist`, `volume.unreachable`. */
export async function watchVolume(options: WatchOptions): Promise<VolumeWatch> {
  const clock = options.clock ?? realClock;
  const record = readRecord(options.dataDir, options.volume);
  mustExist(record);
  const { event } = volumePaths(options.dataDir, record.uuid);
  const place = MetaPlace.of(options.dataDir, record.uuid);
  const control = await place.control(clock);
  try {
    if (place.isShared) mustExist(withFence(record, await control.readFence(), clock));
    const sessionId = await control.beginSession(options.session);
    const { changeSeq } = await control.heartbeat(sessionId, options.session);
    return new LocalWatch({ options, clock, control, isShared: place.isShared, sessionId, record, event, changeSeq });
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
  readonly record: VolumeRecord;
  readonly event: string;
  readonly changeSeq: number;
}

class LocalWatch implements VolumeWatch {
  readonly sessionId: number;
  readonly #options: WatchOptions;
  readonly #clock: Clock;
  readonly #control: VolumeControl;
  readonly #isShared: boolean;
  readonly #random = createRandom();
  readonly #watcher: FSWatcher | undefined;
  #volume: VolumeRecord;
  #changeSeq: number;
  #suspect = false;
  #gone = false;
  #closed = false;
  #timer: Disposable | undefined;
  #looking: Promise<void> | undefined;
  /** Something came while a look was under way. */
  #again: EventSource | undefined;

  constructor({ options, clock, control, isShared, sessionId, record, event, changeSeq }: LocalWatchOptions) {
    this.sessionId = sessionId;
    this.#options = options;
    this.#clock = clock;
    this.#control = control;
    this.#isShared = isShared;
    this.#volume = record;
    this.#changeSeq = changeSeq;
    this.#watcher = watcherOf(event, () => void this.#look("push"));
    this.#arm();
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
    this.#watcher?.close();
    this.#timer?.[Symbol.dispose]();
    await this.#looking;
    try {
      if (!this.#gone) await this.#control.endSession(this.sessionId);
    } catch {
      // The others end it once it has been silent for long enough.
    } finally {
      await this.#control[Symbol.asyncDispose]();
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
          this.#options.onEvent({ kind: "reached" });
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
    if (source === "heartbeat") await this.#control.heartbeat(this.sessionId, this.#options.session);
    const changes = await this.#control.changesSince(this.#changeSeq, this.sessionId);
    this.#changeSeq = changes.seq;
    this.#tellChanges(changes);
  }

  #tell(volume: VolumeRecord, source: EventSource): void {
    if (volume.state === "purging" || volume.state === "deleted") return this.#tellGone(volume.epoch, volume, source);
    if (volume.epoch === this.#volume.epoch) return;
    this.#volume = volume;
    this.#options.onEvent({ kind: "changed", volume, source });
  }

  #tellChanges({ everything, inos, entries, unlocked }: ForeignChanges): void {
    const { onEvent } = this.#options;
    if (everything) onEvent({ kind: "invalidate", everything, inos: [], entries: [] });
    else if (inos.length + entries.length > 0) onEvent({ kind: "invalidate", everything, inos, entries });
    for (const ino of unlocked) onEvent({ kind: "unlocked", ino });
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
    this.#options.onEvent({ kind: "suspect", reason: `${code}: ${error.message}` });
  }

  #tellGone(
    epoch: number,
    { deletedAtMs, deletedBy }: { readonly deletedAtMs: number | undefined; readonly deletedBy: string | undefined },
    source: EventSource,
  ): void {
    this.#gone = true;
    this.#options.onEvent({
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
