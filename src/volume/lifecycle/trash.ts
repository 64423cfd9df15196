import { constants } from "node:os";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { EngineVerbs } from "../meta/rules/verbs-on.ts";
import type { TrashEntry } from "../meta/trash.ts";
import { failed, ROOT_INO } from "../meta/verbs.ts";
import { notifyWatchers } from "./events.ts";
import { MetaPlace } from "./open-meta.ts";
import { NOBODY } from "./upkeep.ts";
import { volumePaths } from "./volume-paths.ts";
import type { VolumeRecord } from "./volume-record.ts";

const { EDQUOT, EEXIST, EMLINK, ENAMETOOLONG, ENOENT, ENOSPC, ENOTDIR, EROFS, EXDEV } = constants.errno;

const PAGE = 1024;
/** That are held in memory at once. */
const ENTRIES_MAX = 1_000_000;
/** What is there now is in the way, or its directory is not there. */
const IN_THE_WAY: ReadonlySet<number> = new Set([EEXIST, ENOENT, ENOTDIR]);
const EXAMPLES = 5;

export interface Restored {
  readonly restored: number;
  /** Paths at which something else is now: what was there stays in the trash. */
  readonly taken: readonly string[];
}

interface RestoreOptions {
  /** Another path to restore it to, in a directory that is there. */
  readonly to?: string;
  /** Of several that were deleted at the path that with this inode; else the newest. */
  readonly ino?: number;
}

/**
 * What was deleted in a volume and can be restored. Paths are UTF-8 text, from the root of the volume. Throws `volume.unreachable`, and `volume.wrong-state` where
 * nothing may change.
 */
export class TrashOf {
  readonly #dataDir: string;
  readonly #volume: VolumeRecord;
  readonly #clock: Clock;

  constructor(dataDir: string, volume: VolumeRecord, clock: Clock) {
    this.#dataDir = dataDir;
    this.#volume = volume;
    this.#clock = clock;
  }

  /** What was at the path or below it; of one path everything that was deleted there. */
  async *list(path: string): AsyncGenerator<TrashEntry> {
    await using verbs = await this.#open(NOBODY);
    for (const entry of entriesBelow(verbs, bytesOf(path))) yield { ...entry, path: textOf(entry.path) };
  }

  /**
   * Gives back what was at the path, all that was below it, and the directories above it; of each path the newest. Each for itself: what comes after a failure stays in
   * the trash. Throws `input.invalid` where there is nothing, `volume.path-taken` when all of it is in the way of what is there now, `disk.full` where it does not fit.
   */
  restore(path: string, { to, ino }: RestoreOptions = {}): Promise<Restored> {
    const from = bytesOf(path);
    const onto = to === undefined ? from : bytesOf(to);
    return this.#change((verbs) => {
      if (onto !== from && directoryAt(verbs, parentOf(onto)) === undefined) throw invalid(to ?? path, "no such directory");
      const wanted = newestByPath(verbs, from, ino);
      const below = wanted.filter((entry) => isBelow(entry.path, from));
      if (below.length === 0 || (below[0]!.path !== from && (ino !== undefined || onto !== from))) throw invalid(path, "not in the trash");
      const taken: string[] = [];
      let restored = 0;
      for (const entry of onto === from ? wanted : below) {
        const target = onto + entry.path.slice(from.length);
        const at = entry.path.length < from.length ? entry.path : target;
        const outcome = restoreTo(verbs, entry.ino, at);
        if (outcome === 0) restored++;
        else if (!IN_THE_WAY.has(outcome)) throw this.#failure(outcome, textOf(at));
        else if (entry.kind !== "directory" || directoryAt(verbs, at) === undefined) taken.push(textOf(at));
      }
      if (restored === 0 && taken.length > 0)
        throw new AnaxError("volume.path-taken", { paths: taken.slice(0, EXAMPLES), count: taken.length });
      return { restored, taken };
    });
  }

  /** Removes for good what was at the path and below it. */
  empty(path: string): Promise<{ readonly removed: number; readonly bytes: number }> {
    const from = bytesOf(path);
    return this.#change((verbs) => {
      const done = { removed: 0, bytes: 0 };
      for (let before = -1; before !== done.removed;) {
        before = done.removed;
        // A directory goes after what was in it, which has a longer path.
        const some = [...entriesBelow(verbs, from).take(ENTRIES_MAX)].toSorted((a, b) => b.path.length - a.path.length);
        for (const { ino, bytes } of some) {
          const outcome = verbs.trash.remove(ino);
          if (outcome === EROFS) throw this.#failure(outcome, path);
          if (outcome !== 0) continue;
          done.removed++;
          done.bytes += bytes;
        }
      }
      return done;
    });
  }

  /** As a client, so that the others hear of it. */
  async #change<T>(work: (verbs: EngineVerbs) => T): Promise<T> {
    await using control = await this.#meta().control(this.#clock);
    const session = await control.beginSession({ host: "", pid: process.pid, mountpoint: "trash", readOnly: false });
    try {
      await using verbs = await this.#open(session);
      const done = work(verbs);
      verbs.settle(true);
      return done;
    } finally {
      await control.endSession(session);
    }
  }

  #open(sessionId: number): Promise<EngineVerbs> {
    const { event } = volumePaths(this.#dataDir, this.#volume.uuid);
    const onChanges = (): void => notifyWatchers(event, this.#clock.wallMs());
    return this.#meta().verbs({ sessionId, clock: this.#clock, onChanges });
  }

  #meta(): MetaPlace {
    return MetaPlace.of(this.#dataDir, this.#volume.uuid);
  }

  #failure(errno: number, path: string): AnaxError {
    const { name, state, readOnly } = this.#volume;
    if (errno === EROFS) return new AnaxError("volume.wrong-state", { volume: name, state, readOnly, step: "trash" });
    if (errno === ENOSPC) return new AnaxError("disk.full", { path, reason: "the volume is full" });
    if (errno === EDQUOT) return new AnaxError("disk.full", { path, reason: "the quota of a directory is full" });
    if (errno === EXDEV) return invalid(path, "a directory cannot go into another quota");
    if (errno === ENAMETOOLONG) return invalid(path, "the name is too long");
    return invalid(path, errno === EMLINK ? "too many directories in one" : "no name for a file");
  }
}

/** Ordered so that directories come before what is in them: those above `from`, and what is at it and below. */
function newestByPath(verbs: EngineVerbs, from: string, ino: number | undefined): readonly TrashEntry[] {
  const newest = new Map<string, TrashEntry>();
  for (const entry of entriesBelow(verbs, "")) {
    const { path, kind } = entry;
    if (!(isBelow(path, from) || (kind === "directory" && isBelow(from, path)))) continue;
    if (path === from && ino !== undefined && ino !== entry.ino) continue;
    const other = newest.get(path);
    if (other === undefined || other.deletedAtMs < entry.deletedAtMs || (other.deletedAtMs === entry.deletedAtMs && other.ino < entry.ino))
      newest.set(path, entry);
    if (newest.size > ENTRIES_MAX) throw invalid(textOf(from), `more than ${ENTRIES_MAX} files: restore a directory in it`);
  }
  return [...newest.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function* entriesBelow(verbs: EngineVerbs, path: string): Generator<TrashEntry> {
  for (let after = 0; ;) {
    const page = verbs.trash.list(after, PAGE);
    for (const entry of page) if (isBelow(entry.path, path)) yield entry;
    if (page.length < PAGE) return;
    after = page.at(-1)!.ino; // it is full
  }
}

function restoreTo(verbs: EngineVerbs, ino: number, path: string): number {
  const parent = directoryAt(verbs, parentOf(path));
  return parent === undefined ? ENOENT : verbs.trash.restore(ino, parent, path.slice(path.lastIndexOf("/") + 1));
}

/** The inode of a directory that is there. */
function directoryAt(verbs: EngineVerbs, path: string): number | undefined {
  let ino = ROOT_INO;
  for (const name of partsOf(path)) {
    const found = verbs.lookup(ino, name);
    if (failed(found) || found.kind !== "directory") return undefined;
    ({ ino } = found);
  }
  return ino;
}

/** The root is empty, so that all paths begin with the one that they are below. */
const isBelow = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`);

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
const partsOf = (path: string): readonly string[] => path.split("/").filter((part) => part !== "" && part !== ".");
const bytesOf = (path: string): string =>
  partsOf(Buffer.from(path).toString("latin1"))
    .map((part) => `/${part}`)
    .join("");
const textOf = (path: string): string => Buffer.from(path, "latin1").toString();
const invalid = (path: string, reason: string): AnaxError => new AnaxError("input.invalid", { path, reason });
