import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { isoText, type Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { syncDirectory } from "../../disk/descriptor.ts";
import { diskErrorOf } from "../../disk/disk-error.ts";
import { sumReads, type ReadSums } from "../data/peers/read-counts.ts";
import { IN_DIRECTORY, type S3Data, type VolumeData } from "../data/volume-data.ts";
import type { DirectoryQuota, Session, VolumeControl } from "../meta/control.ts";
import type { VolumeUsage } from "../meta/verbs.ts";
import { isKeyId, masterKeyOf, newKeyId, sameSecret, secretOf, sha256Of } from "./access-keys.ts";
import { Catalog, mustFind } from "./catalog.ts";
import { ContentPlace } from "./content-place.ts";
import { readDump } from "./dump-lines.ts";
import { withIncoming } from "./incoming-dump.ts";
import { dumpVolume, loadMetadata, placeMetadata, streamDump } from "./dump-volume.ts";
import { notifyWatchers } from "./events.ts";
import { describe, fenced, fenceFor, parseDescription } from "./shared-record.ts";
import { MetaPlace } from "./open-meta.ts";
import { TrashOf } from "./trash.ts";
import { checkVolume, collectVolume, countVolume, inodeOf, withVerbs, type FsckOptions, type GcOptions } from "./upkeep.ts";
import { volumePaths, volumesDir } from "./volume-paths.ts";
import { VOLUME_NOT_EXIST, type VolumeRecord } from "./volume-record.ts";
import { nextState } from "./volume-state.ts";
import { warmVolume, type Warmed, type WarmOptions } from "./warm-volume.ts";

export interface NewVolumeOptions {
  readonly name: string;
  readonly owner: string;
  readonly capacityBytes: number;
  readonly inodesMax: number;
  readonly readOnly: boolean;
  readonly onDelete: VolumeRecord["onDelete"];
  readonly undeleteMs: number;
  /** How long what is deleted in it can be restored. Default: zero, not at all. */
  readonly trashMs?: number;
  /** Of the root directory. */
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  /** Where its content lies. Default: in its directory. */
  readonly data?: VolumeData;
  /** URL of the engine that keeps its metadata. Default: SQLite, in its directory. */
  readonly meta?: string;
}

export interface CopyOptions {
  readonly name: string;
  readonly owner: string;
  readonly readOnly: boolean;
  /** URL of the engine that keeps its metadata, or "sqlite". Default: as the original's. */
  readonly meta?: string | undefined;
}

export interface AccessKey {
  readonly id: string;
  /** Shown once. */
  readonly secret: string;
}

export interface VolumePlace {
  readonly volume: VolumeRecord;
  readonly meta: string | undefined;
}

export interface PathQuota extends DirectoryQuota {
  readonly path: string;
}

export type VolumeUpdate = Partial<
  Pick<VolumeRecord, "name" | "owner" | "capacityBytes" | "inodesMax" | "readOnly" | "onDelete" | "undeleteMs" | "trashMs"> &
    Pick<S3Data, "peers">
>;

/** What is done to the volumes of a data directory, by whatever process: each call opens the catalog for itself. */
export class Volumes {
  readonly dataDir: string;
  readonly #clock: Clock;
  readonly #content: ContentPlace;

  constructor(dataDir: string, clock: Clock) {
    this.dataDir = dataDir;
    this.#clock = clock;
    this.#content = new ContentPlace(dataDir, clock);
  }

  /** Throws `input.invalid`, `volume.exists`, and `volume.unreachable` where its content cannot be written. The metadata are there before the name is. */
  async create(options: NewVolumeOptions): Promise<{ readonly volume: VolumeRecord; readonly key: AccessKey }> {
    mustBeName(options.name);
    using catalog = Catalog.open(this.dataDir, { create: true });
    const uuid = randomUUID();
    const { dir, blobs } = volumePaths(this.dataDir, uuid);
    const { name, owner, capacityBytes, inodesMax, readOnly, onDelete, undeleteMs, trashMs = 0, data = IN_DIRECTORY } = options;
    mustBeFree(catalog, name);
    const attributes = { uuid, name, owner, readOnly, capacityBytes, inodesMax, onDelete, undeleteMs, trashMs, data };
    const volume: VolumeRecord = { ...begun(this.#clock.wallMs()), ...attributes };
    try {
      await this.#content.claim({ uuid, name, data });
      mkdirSync(blobs, { recursive: true, mode: 0o750 });
      await MetaPlace.create(this.dataDir, uuid, options.meta).format({ ...options, uuid }, describe(volume), this.#clock);
      await syncDirectory(dir);
      await syncDirectory(volumesDir(this.dataDir));
      catalog.insert(volume);
      return { volume, key: this.#addKey(catalog, uuid) };
    } catch (error) {
      await rm(dir, { recursive: true, force: true });
      throw error instanceof AnaxError ? error : diskErrorOf(error, { dir });
    }
  }

  /**
   * Makes a volume known here whose metadata are in an engine that others use, too. Throws `volume.not-found`, `volume.exists`, `volume.not-exist` where it is deleted,
   * `input.invalid` where its content lies in another machine's directory: there is none here then.
   */
  async attach(
    uuid: string,
    { meta, name }: { readonly meta: string; readonly name?: string | undefined },
  ): Promise<{ readonly volume: VolumeRecord; readonly key: AccessKey }> {
    if (!UUID.test(uuid)) throw new AnaxError("input.invalid", { volume: uuid, expected: "the uuid of a volume" });
    using catalog = Catalog.open(this.dataDir, { create: true });
    if (catalog.find(uuid) !== undefined || catalog.tombstone(uuid) !== undefined) mustBeFree(catalog, mustFind(catalog, uuid).name);
    const { dir, blobs } = volumePaths(this.dataDir, uuid);
    const hasContent = existsSync(blobs) && readdirSync(blobs).length > 0;
    mkdirSync(blobs, { recursive: true, mode: 0o750 });
    try {
      const place = MetaPlace.at(this.dataDir, uuid, meta);
      const described = await place.description(this.#clock);
      if (described === undefined) throw new AnaxError("volume.not-found", { volume: uuid, meta: place.address });
      const volume = await fenced(place, { ...parseDescription(described), ...begun(this.#clock.wallMs()), epoch: 0 }, this.#clock);
      if (volume.data.kind === "directory" && !hasContent)
        throw new AnaxError("input.invalid", { volume: uuid, reason: "its content lies in the directory of another machine" });
      if (volume.state === "purging")
        throw new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch: volume.epoch });
      const known = { ...volume, name: name ?? volume.name };
      mustBeName(known.name);
      mustBeFree(catalog, known.name);
      MetaPlace.create(this.dataDir, uuid, meta);
      catalog.insert(known);
      return { volume: known, key: this.#addKey(catalog, uuid) };
    } catch (error) {
      // Or another process was first, whose it is.
      if (!hasContent && catalog.find(uuid) === undefined) await rm(dir, { recursive: true, force: true });
      throw error instanceof AnaxError ? error : diskErrorOf(error, { dir });
    }
  }

  /** What another machine needs to use the volume for itself: its record, and the URL of its metadata with whatever password is in it. Undefined: they are in SQLite. */
  async place(nameOrUuid: string): Promise<VolumePlace> {
    const volume = await this.refresh(nameOrUuid);
    return { volume, meta: MetaPlace.of(this.dataDir, volume.uuid).url };
  }

  /**
   * Makes known here what `place` says elsewhere, or brings it up to date; under its name, or its uuid where another volume has that. Throws as `attach`, and `volume.unreachable` where
   * this process may not use its bucket.
   */
  async adopt({ volume, meta }: { readonly volume: VolumeRecord; readonly meta: string }): Promise<VolumeRecord> {
    const { uuid } = volume;
    if (this.find(uuid) === undefined) {
      await this.#content.reach(volume);
      try {
        return (await this.attach(uuid, { meta, name: this.find(volume.name) === undefined ? volume.name : uuid })).volume;
      } catch (error) {
        if (this.find(uuid) === undefined) throw error; // else another process was first
      }
    }
    const known = MetaPlace.of(this.dataDir, uuid);
    if (!known.isShared)
      throw new AnaxError("volume.exists", { volume: this.get(uuid).name, uuid, reason: "here it has metadata of its own" });
    if (known.url !== meta) MetaPlace.create(this.dataDir, uuid, meta); // another password, say
    return this.refresh(uuid);
  }

  /** As `get`, with what others have changed of it in an engine that they use, too. Throws `volume.unreachable` where that does not answer. */
  async refresh(nameOrUuid: string): Promise<VolumeRecord> {
    using catalog = this.#catalog(nameOrUuid);
    return await this.#current(catalog, nameOrUuid);
  }

  /** Where the metadata of a volume are, for people. */
  metaAddress({ uuid }: VolumeRecord): string {
    return MetaPlace.of(this.dataDir, uuid).address;
  }

  /**
   * Another volume with the same content, as it is committed at one moment from now on, with its metadata in the engine at `meta`, in "sqlite", or by default where those of the
   * original are. It shares the blobs, so it takes neither time nor room for them. What mounts have not written yet is not in it. Throws `volume.exists`, `volume.wrong-state` for one that is being purged, `volume.changed`
   * when a collection took something from under it: again.
   */
  async clone(
    nameOrUuid: string,
    { name, owner, readOnly, meta }: CopyOptions,
  ): Promise<{
    readonly volume: VolumeRecord;
    readonly key: AccessKey;
    readonly shared: { readonly blobs: number; readonly bytes: number };
  }> {
    mustBeName(name);
    using catalog = this.#catalog(nameOrUuid);
    const source = await this.#current(catalog, nameOrUuid);
    if (source.state === "purging") throw new AnaxError("volume.wrong-state", { volume: source.name, state: source.state, step: "clone" });
    mustBeFree(catalog, name);
    const uuid = randomUUID();
    const { data } = source;
    const to = volumePaths(this.dataDir, uuid);
    const from = MetaPlace.of(this.dataDir, source.uuid);
    await using control = await this.control(source);
    // A session that is not heard of again keeps the collector away from what is doomed from now on.
    const session = await control.beginSession({ host: "", pid: process.pid, mountpoint: `clone to ${name}`, readOnly: true });
    try {
      mkdirSync(to.blobs, { recursive: true, mode: 0o750 });
      await from.copyTo(to.meta, { uuid, readOnly }, this.#clock);
      await this.#content.claim({ uuid, name, data });
      const shared = await this.#content.share(source, { uuid, data });
      const volume: VolumeRecord = { ...source, ...begun(this.#clock.wallMs()), uuid, name, owner, readOnly };
      const url = meta === "sqlite" ? undefined : (meta ?? from.url);
      if (url !== undefined) await this.#moveMeta(volume, { path: to.meta, url });
      await syncDirectory(to.dir);
      await syncDirectory(volumesDir(this.dataDir));
      catalog.insert(volume);
      return { volume, key: this.#addKey(catalog, uuid), shared };
    } catch (error) {
      await this.#content.remove({ uuid, data }).catch(() => undefined); // the first failure is the one to tell
      await MetaPlace.of(this.dataDir, uuid)
        .abandon(this.#clock)
        .catch(() => undefined); // the same
      await rm(to.dir, { recursive: true, force: true });
      throw error instanceof AnaxError ? error : diskErrorOf(error, { dir: to.dir });
    } finally {
      await control.endSession(session);
    }
  }

  /** Writes the metadata to a file; content stays where it is. */
  dump(nameOrUuid: string, file: string): Promise<void> {
    return dumpVolume(this.dataDir, this.get(nameOrUuid), { file, clock: this.#clock });
  }

  /** The same to a stream; see `streamDump`. */
  async dumpTo(nameOrUuid: string, out: Writable): Promise<VolumeRecord> {
    const volume = this.get(nameOrUuid);
    await streamDump(this.dataDir, volume, { out, clock: this.#clock });
    return volume;
  }

  /**
   * Makes the volume of a dump anew, under its uuid, so that its content is found where it was. Throws `disk.corrupt`, `disk.newer-format`, `volume.exists` where it is
   * still there, and `volume.not-exist` where it was deleted for good: here, or in the engine. `meta`: URL of the engine that has its metadata from now on; default: SQLite.
   */
  async load(file: string, name?: string, meta?: string): Promise<{ readonly volume: VolumeRecord; readonly key: AccessKey }> {
    if (name !== undefined) mustBeName(name);
    const { head } = await readDump(file);
    const { uuid } = head.volume;
    using catalog = Catalog.open(this.dataDir, { create: true });
    if (catalog.find(uuid) !== undefined || catalog.tombstone(uuid) !== undefined) {
      const { name: taken, state } = mustFind(catalog, uuid);
      throw new AnaxError("volume.exists", { volume: taken, uuid, state });
    }
    mustBeName(name ?? head.volume.name);
    mustBeFree(catalog, name ?? head.volume.name);
    const volume = await loadMetadata(this.dataDir, { file, clock: this.#clock }, async (path, dumped): Promise<VolumeRecord> => {
      const loaded = { ...begun(this.#clock.wallMs()), ...dumped, name: name ?? dumped.name };
      if (meta === undefined) await placeMetadata(this.dataDir, uuid, path);
      else await this.#moveMeta(loaded, { path, url: meta });
      return loaded;
    });
    try {
      catalog.insert(volume);
    } catch (error) {
      // Nobody knows of it, and it would be in the way of the next. What an engine has can be attached.
      await rm(volumePaths(this.dataDir, uuid).meta, { force: true });
      throw error;
    }
    await this.#fence(volume); // what a dump says of it that its rows do not
    return { volume, key: this.#addKey(catalog, uuid) };
  }

  /** As `load`, of a dump that comes in. */
  loadFrom(from: Readable, name?: string, meta?: string): ReturnType<Volumes["load"]> {
    return withIncoming(this.dataDir, from, this.#clock, (file) => this.load(file, name, meta));
  }

  /** No volume was ever made here: none. */
  list(): readonly VolumeRecord[] {
    if (!existsSync(volumesDir(this.dataDir))) return [];
    using catalog = Catalog.open(this.dataDir, { create: true });
    return catalog.list();
  }

  /** By name or uuid. Throws `volume.not-found` where nobody knows it, `volume.not-exist` where it was deleted. */
  get(nameOrUuid: string): VolumeRecord {
    using catalog = this.#catalog(nameOrUuid);
    return mustFind(catalog, nameOrUuid);
  }

  /** Its access keys, without secrets. */
  keys(nameOrUuid: string): readonly { readonly id: string; readonly createdAtMs: number }[] {
    using catalog = this.#catalog(nameOrUuid);
    return catalog.keys(mustFind(catalog, nameOrUuid).uuid).map(({ id, createdAtMs }) => ({ id, createdAtMs }));
  }

  /** As `get`; undefined where nobody knows it, or it was deleted. */
  find(nameOrUuid: string): VolumeRecord | undefined {
    if (!existsSync(volumesDir(this.dataDir))) return undefined;
    using catalog = Catalog.open(this.dataDir, { create: false });
    const found = catalog.find(nameOrUuid);
    return found?.state === "deleted" ? undefined : found;
  }

  /**
   * The secret that goes with the id of an access key, and the volume that it opens: none when it was withdrawn, or its volume is deleted. Undefined for what is no id of
   * ours.
   */
  accessKey(id: string): { readonly secret: string; readonly volume: string | undefined } | undefined {
    if (!isKeyId(id) || !existsSync(volumesDir(this.dataDir))) return undefined;
    using catalog = Catalog.open(this.dataDir, { create: false });
    const secret = secretOf(masterKeyOf(this.dataDir), id);
    const row = catalog.key(id);
    return { secret, volume: row !== undefined && sameSecret(secret, row.secretSha256) ? row.volume : undefined };
  }

  addKey(nameOrUuid: string): AccessKey {
    using catalog = this.#catalog(nameOrUuid);
    return this.#addKey(catalog, mustFind(catalog, nameOrUuid).uuid);
  }

  /** Throws `input.invalid` when there is no such key. */
  removeKey(nameOrUuid: string, id: string): void {
    using catalog = this.#catalog(nameOrUuid);
    if (!catalog.removeKey(mustFind(catalog, nameOrUuid).uuid, id))
      throw new AnaxError("input.invalid", { key: id, reason: "no such access key" });
  }

  /** Throws `volume.wrong-state` for one that is being deleted, `input.invalid`, `volume.exists` for a name that is taken. */
  async update(nameOrUuid: string, { peers, ...changes }: VolumeUpdate): Promise<VolumeRecord> {
    if (changes.name !== undefined) mustBeName(changes.name);
    using catalog = this.#catalog(nameOrUuid);
    const before = await this.#current(catalog, nameOrUuid);
    if (before.state !== "active") throw new AnaxError("volume.wrong-state", { volume: before.name, state: before.state, step: "update" });
    const named = changes.name === undefined ? undefined : catalog.find(changes.name);
    if (named !== undefined && named.uuid !== before.uuid) throw new AnaxError("volume.exists", { volume: named.name, uuid: named.uuid });
    if (peers === undefined) return await this.#apply(catalog, before, { ...before, ...changes });
    const { data } = before;
    if (data.kind === "directory")
      throw new AnaxError("input.invalid", { volume: before.name, reason: "peers are asked for content that lies in a bucket" });
    return await this.#apply(catalog, before, { ...before, ...changes, data: { ...data, peers } });
  }

  /** Marks it: reads go on, changes are refused, and for `undeleteMs` it can be taken back. With `now` nothing is waited for. */
  async delete(nameOrUuid: string, { now, by }: { readonly now: boolean; readonly by: string }): Promise<VolumeRecord> {
    using catalog = this.#catalog(nameOrUuid);
    let volume = await this.#current(catalog, nameOrUuid);
    if (volume.state === "active" || !now) {
      const deletedAtMs = this.#clock.wallMs();
      const state = nextState(volume.name, volume.state, "delete");
      const purgeAtMs = deletedAtMs + (now ? 0 : volume.undeleteMs);
      volume = await this.#apply(catalog, volume, { ...volume, state, deletedAtMs, purgeAtMs, deletedBy: by });
    }
    return now ? await this.#purge(catalog, volume) : volume;
  }

  /** Throws `volume.wrong-state`: also when the window has closed, and it is being purged. */
  async undelete(nameOrUuid: string): Promise<VolumeRecord> {
    using catalog = this.#catalog(nameOrUuid);
    const volume = await this.#current(catalog, nameOrUuid);
    const state = nextState(volume.name, volume.state, "undelete");
    return await this.#apply(catalog, volume, { ...volume, state, deletedAtMs: undefined, purgeAtMs: undefined, deletedBy: undefined });
  }

  /** Removes its content for good; without `force` only once the window has closed. One that a crash left half-way is finished. */
  async purge(nameOrUuid: string, { force }: { readonly force: boolean }): Promise<VolumeRecord> {
    using catalog = this.#catalog(nameOrUuid);
    const volume = await this.#current(catalog, nameOrUuid);
    const early = volume.state === "deleting" && (volume.purgeAtMs ?? 0) > this.#clock.wallMs();
    if (early && !force)
      throw new AnaxError("volume.wrong-state", {
        volume: volume.name,
        state: volume.state,
        step: "purge",
        notBefore: isoText(volume.purgeAtMs ?? 0),
      });
    return await this.#purge(catalog, volume);
  }

  /** Those whose window has closed, and those that a crash left half-way. */
  due(): readonly VolumeRecord[] {
    const nowMs = this.#clock.wallMs();
    return this.list().filter(({ state, purgeAtMs }) => state === "purging" || (state === "deleting" && (purgeAtMs ?? 0) <= nowMs));
  }

  async sessions(volume: VolumeRecord): Promise<readonly Session[]> {
    if (volume.state === "deleted" || volume.state === "purging") return [];
    await using control = await this.control(volume);
    return await control.sessions();
  }

  /** What it contains; undefined once it is being purged. */
  async usage(volume: VolumeRecord): Promise<VolumeUsage | undefined> {
    if (volume.state === "deleted" || volume.state === "purging") return undefined;
    return withVerbs(this.dataDir, volume, async (verbs) => verbs.statfs());
  }

  /** Directories with a quota, by path from the root of the volume. */
  async quotas(nameOrUuid: string): Promise<readonly PathQuota[]> {
    const volume = this.get(nameOrUuid);
    await using control = await this.control(volume);
    const quotas = await control.quotas();
    return await Promise.all(quotas.map(async (quota) => ({ ...quota, path: await control.pathOf(quota.ino) })));
  }

  /** Zero for both limits removes it; undefined then. Throws `input.invalid` for what is no directory. */
  async setQuota(
    nameOrUuid: string,
    path: string,
    limits: { readonly bytesMax: number; readonly inodesMax: number },
  ): Promise<PathQuota | undefined> {
    const volume = this.get(nameOrUuid);
    const ino = await withVerbs(this.dataDir, volume, (verbs) => inodeOf(verbs, path));
    await using control = await this.control(volume);
    const quota = await control.setQuota(ino, limits);
    if (typeof quota === "number") throw new AnaxError("input.invalid", { path, reason: "not a directory" });
    return quota === undefined ? undefined : { ...quota, path: await control.pathOf(ino) };
  }

  gc(nameOrUuid: string, options: GcOptions): ReturnType<typeof collectVolume> {
    return collectVolume(this.dataDir, this.get(nameOrUuid), options);
  }

  fsck(nameOrUuid: string, options: FsckOptions): ReturnType<typeof checkVolume> {
    return checkVolume(this.dataDir, this.get(nameOrUuid), options);
  }

  /** What is in its trash: see `TrashOf`. */
  trash(nameOrUuid: string): TrashOf {
    return new TrashOf(this.dataDir, this.get(nameOrUuid), this.#clock);
  }

  stats(nameOrUuid: string): ReturnType<typeof countVolume> {
    return countVolume(this.dataDir, this.get(nameOrUuid));
  }

  /** See `warmVolume`. */
  warm(nameOrUuid: string, options: WarmOptions): Promise<Warmed> {
    return warmVolume(this.dataDir, this.get(nameOrUuid), options);
  }

  /** Where what this machine lately read of a volume in a bucket came from. */
  reads(nameOrUuid: string): Promise<ReadSums> {
    return sumReads(volumePaths(this.dataDir, this.get(nameOrUuid).uuid).reads, this.#clock.wallMs());
  }

  /** Throws `volume.unreachable` where the metadata are not there. */
  control({ uuid }: VolumeRecord): Promise<VolumeControl> {
    return MetaPlace.of(this.dataDir, uuid).control(this.#clock);
  }

  async #current(catalog: Catalog, nameOrUuid: string): Promise<VolumeRecord> {
    const known = mustFind(catalog, nameOrUuid);
    const current = await fenced(MetaPlace.of(this.dataDir, known.uuid), known, this.#clock);
    if (current.epoch > known.epoch) catalog.update(known, current);
    return current;
  }

  /** The catalog first, as it decides; then the fence that writers are held to, and the clients. Each of them a repetition completes. */
  async #apply(catalog: Catalog, before: VolumeRecord, changed: VolumeRecord): Promise<VolumeRecord> {
    const after = { ...changed, epoch: before.epoch + 1 };
    catalog.update(before, after);
    await this.#fence(after);
    return after;
  }

  async #fence(volume: VolumeRecord): Promise<void> {
    const { event } = volumePaths(this.dataDir, volume.uuid);
    const place = MetaPlace.of(this.dataDir, volume.uuid);
    if (place.isThere) {
      await using control = await place.control(this.#clock);
      const taken = await control.writeFence(volume);
      if (!taken && place.isShared) throw new AnaxError("volume.changed", { volume: volume.name, epoch: volume.epoch });
    }
    notifyWatchers(event, this.#clock.wallMs());
  }

  async #moveMeta(volume: VolumeRecord, { path, url }: { readonly path: string; readonly url: string }): Promise<void> {
    await MetaPlace.move(this.dataDir, { path, url, fence: fenceFor(volume), description: describe(volume) }, this.#clock);
  }

  async #purge(catalog: Catalog, volume: VolumeRecord): Promise<VolumeRecord> {
    const state = volume.state === "purging" ? volume.state : nextState(volume.name, volume.state, "purge");
    const purging = state === volume.state ? volume : await this.#apply(catalog, volume, { ...volume, state });
    if (purging === volume) await this.#fence(volume); // whoever was here before may have been killed in between
    const { dir } = volumePaths(this.dataDir, volume.uuid);
    await this.#content.remove(volume);
    await MetaPlace.of(this.dataDir, volume.uuid).drop({ proof: true }, this.#clock);
    try {
      await rm(dir, { recursive: true, force: true, ...LEAVING });
    } catch (error) {
      throw diskErrorOf(error, { dir });
    }
    const after: VolumeRecord = { ...purging, state: nextState(volume.name, "purging", "purged"), epoch: purging.epoch + 1 };
    catalog.update(purging, after);
    return after;
  }

  #addKey(catalog: Catalog, volume: string): AccessKey {
    const id = newKeyId();
    const secret = secretOf(masterKeyOf(this.dataDir), id);
    catalog.addKey({ id, volume, secretSha256: sha256Of(secret), createdAtMs: this.#clock.wallMs() });
    return { id, secret };
  }

  #catalog(volume: string): Catalog {
    // Where there is nothing at all, nobody asks for the wrong directory in a way that only this process could mend.
    if (!existsSync(volumesDir(this.dataDir))) throw new AnaxError("volume.not-found", { volume, dataDir: this.dataDir });
    return Catalog.open(this.dataDir, { create: false });
  }
}

/** Clients that are told of the end still write a file or two to the directory: it is tried again, within 3 s. */
const LEAVING = { maxRetries: 10, retryDelay: 50 };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What is the same for all that begin. */
const begun = (createdAtMs: number): Pick<VolumeRecord, "state" | "epoch" | "createdAtMs" | "deletedAtMs" | "purgeAtMs" | "deletedBy"> => ({
  state: "active",
  epoch: 1,
  createdAtMs,
  deletedAtMs: undefined,
  purgeAtMs: undefined,
  deletedBy: undefined,
});

function mustBeFree(catalog: Catalog, name: string): void {
  const taken = catalog.find(name);
  if (taken !== undefined) throw new AnaxError("volume.exists", { volume: name, uuid: taken.uuid, state: taken.state });
}

/** Also a bucket's name, so it must be one of S3: 3 to 63 lower-case letters, digits, dots and hyphens. */
function mustBeName(name: string): void {
  const good = /^[a-z0-9](?:[a-z0-9-]|\.(?=[a-z0-9])){1,61}[a-z0-9]$/.test(name) || /^[a-z0-9]{1,2}$/.test(name);
  if (!good)
    throw new AnaxError("input.invalid", { volume: name, expected: "1 to 63 of a-z, 0-9, '-' and '.', letters or digits at both ends" });
}
