import type { DatabaseSync } from "node:sqlite";
import type { Clock } from "../../../base/clock.ts";
import type { Blob } from "../extents.ts";
import type { VolumeVerbs } from "../verbs.ts";
import { Content } from "./content.ts";
import { Edges } from "./edges.ts";
import { createEngine, type Engine, type EngineOptions } from "./engine.ts";
import { ExtentTable } from "./extent-table.ts";
import { failureOf } from "./failure.ts";
import { LockTable } from "./lock-table.ts";
import { Removal } from "./removal.ts";
import { Rename } from "./rename.ts";
import { openDatabase } from "./schema.ts";
import { Trash, type TrashVerbs } from "./trash.ts";
import { Tree } from "./tree.ts";
import { Xattrs } from "./xattrs.ts";

export interface SqliteVerbsOptions {
  /** The file with the metadata of the volume. */
  readonly path: string;
  readonly sessionId: number;
  readonly clock: Clock;
  /** Something was committed that other sessions have to hear of. */
  readonly onChanges?: () => void;
}

/**
 * The verbs over a SQLite file that several processes of one machine share. All of them answer at once, and block this thread while they do; while another
 * process writes to the same volume, up to 5 s, then `volume.unreachable`.
 */
export function openSqliteVerbs({ path, sessionId, clock, onChanges = () => undefined }: SqliteVerbsOptions): SqliteVerbs {
  const database = openDatabase(path);
  const engine = engineOn(database, { path, sessionId, clock, onChanges });
  const edges = new Edges(database);
  const content = new Content(engine, new ExtentTable(database));
  const removal = new Removal(engine, content);
  const tree = new Tree(engine, edges, removal);
  const renaming = new Rename(engine, edges, removal);
  const xattrs = new Xattrs(engine, database);
  const locks = new LockTable(engine, database);
  const trash = new Trash(engine, edges, removal);
  const { group } = engine;
  /** At most five arguments, by name: a rest parameter would be an array for each call. */
  const guarded = <A extends readonly unknown[], R>(verb: (...args: A) => R): ((...args: A) => R) => {
    const call = verb as unknown as Five<R>;
    const wrapped: Five<R> = (a, b, c, d, e) => {
      try {
        return call(a, b, c, d, e);
      } catch (error) {
        group.abandon();
        throw failureOf(error, path);
      }
    };
    return wrapped as unknown as (...args: A) => R; // verbs have at most five
  };
  return {
    volumeUuid: group.volume.uuid,
    sessionId,
    lookup: guarded((parent, name) => tree.lookup(parent, name)),
    getattr: guarded((ino) => tree.getattr(ino)),
    setattr: guarded((ino, change) => content.setattr(ino, change)),
    create: guarded((parent, name, node) => tree.create(parent, name, node)),
    unlink: guarded((parent, name) => tree.unlink(parent, name)),
    rmdir: guarded((parent, name) => tree.rmdir(parent, name)),
    rename: guarded((parent, name, newParent, newName, flags) => renaming.rename(parent, name, newParent, newName, flags)),
    link: guarded((ino, newParent, newName) => tree.link(ino, newParent, newName)),
    readlink: guarded((ino) => tree.readlink(ino)),
    readdir: guarded((ino, cookie, countMax, attributes) => tree.readdir(ino, cookie, countMax, attributes)),
    getxattr: guarded((ino, name) => xattrs.get(ino, name)),
    setxattr: guarded((ino, name, value, flags) => xattrs.set(ino, name, value, flags)),
    listxattr: guarded((ino) => xattrs.list(ino)),
    removexattr: guarded((ino, name) => xattrs.remove(ino, name)),
    getlk: guarded((ino, request) => locks.get(ino, request)),
    setlk: guarded((ino, request) => locks.set(ino, request)),
    open: guarded((ino) => removal.open(ino)),
    close: guarded((ino) => removal.close(ino)),
    extents: guarded((ino, offset, length) => content.extents(ino, offset, length)),
    reserveBlobs: guarded((blobs) => content.reserveBlobs(blobs)),
    commit: guarded((ino, written) => content.commit(ino, written)),
    punch: guarded((ino, offset, length) => content.punch(ino, offset, length)),
    allocate: guarded((ino, offset, length, keepSize) => content.allocate(ino, offset, length, keepSize)),
    statfs: guarded(() => {
      group.read();
      const { capacityBytes, usedBytes, inodesMax, usedInodes, readOnly, state } = group.volume;
      return { readOnly: readOnly || state !== "active", capacityBytes, usedBytes, inodesMax, usedInodes };
    }),
    settle: guarded((durable) => {
      removal.step(false);
      group.settle(durable);
    }),
    trash: {
      list: guarded((afterIno, countMax) => trash.list(afterIno, countMax)),
      restore: guarded((ino, parent, name) => trash.restore(ino, parent, name)),
      remove: guarded((ino) => trash.remove(ino)),
      expire: guarded(() => {
        const expired = trash.expire();
        group.settle(false);
        return expired;
      }),
    },
    foreignBlobs: guarded((ino) => content.foreignBlobs(ino)),
    removeOrphans: guarded(() => {
      const left = removal.step(true);
      group.settle(false);
      return left;
    }),
    async [Symbol.asyncDispose]() {
      if (!database.isOpen) return;
      try {
        group.close();
      } finally {
        database.close();
        group.closeJournal();
      }
    },
  };
}

/** The verbs of an engine in this process: no answer is a promise. */
export type SyncVerbs = {
  [V in keyof VolumeVerbs]: VolumeVerbs[V] extends (...args: infer A) => infer R
    ? V extends symbol
      ? VolumeVerbs[V]
      : (...args: A) => Exclude<R, Promise<unknown>>
    : VolumeVerbs[V];
};

export interface SqliteVerbs extends SyncVerbs {
  readonly trash: TrashVerbs;
  /** Blobs of a file that other sessions committed so lately that the disk may not have them yet. */
  foreignBlobs(ino: number): readonly Blob[];
  /** Removes a part of what is large and has no name; false when nothing of it was there. */
  removeOrphans(): boolean;
}

type Five<R> = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => R;

function engineOn(database: DatabaseSync, options: Omit<EngineOptions, "database">): Engine {
  try {
    return createEngine({ database, ...options });
  } catch (error) {
    database.close();
    throw failureOf(error, options.path);
  }
}
