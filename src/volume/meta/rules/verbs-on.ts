import type { Blob } from "../extents.ts";
import type { NewNode, VolumeVerbs, WrittenContent } from "../verbs.ts";
import { Content } from "./content.ts";
import type { Engine } from "./engine.ts";
import { Extents } from "./extents.ts";
import type { LeaseVerbs } from "../leases.ts";
import { Leases } from "./leases.ts";
import { Locks } from "./locks.ts";
import { Removal } from "./removal.ts";
import { Rename } from "./rename.ts";
import { Trash, type TrashVerbs } from "./trash.ts";
import { Tree } from "./tree.ts";
import { Xattrs } from "./xattrs.ts";

/** Verbs whose answers are no promises: they block the thread that asks. */
export type SyncVerbs = {
  [V in keyof VolumeVerbs]: VolumeVerbs[V] extends (...args: infer A) => infer R
    ? V extends symbol
      ? VolumeVerbs[V]
      : (...args: A) => Exclude<R, Promise<unknown>>
    : VolumeVerbs[V];
};

/** What an engine gives to whoever shares its thread. */
export interface EngineVerbs extends SyncVerbs {
  readonly trash: TrashVerbs;
  readonly leases: LeaseVerbs;
  /** Blobs of a file that other sessions committed so lately that the disk may not have them yet. */
  foreignBlobs(ino: number): readonly Blob[];
  /** Removes a part of what is large and has no name; false when nothing of it was there. */
  removeOrphans(): boolean;
}

/** Calls of at most five arguments, by name: a rest parameter would be an array for each call. */
export type Call = (a: unknown, b: unknown, c: unknown, d: unknown, e: unknown) => unknown;

/** Runs a verb as a transaction of the engine, and makes of what is thrown what `VolumeVerbs` says. What is only estimated may be some milliseconds old, whoever else is there. */
export type Guard = (verb: Call, estimates?: boolean) => Call;

/** The verbs over an engine's tables. */
export function verbsOn(engine: Engine, volumeUuid: string, guard: Guard): Omit<EngineVerbs, typeof Symbol.asyncDispose | "asRequest"> {
  const leases = new Leases(engine);
  const content = new Content(engine, new Extents(engine), leases);
  const removal = new Removal(engine, content);
  const tree = new Tree(engine, removal, leases);
  const renaming = new Rename(engine, removal);
  const xattrs = new Xattrs(engine, leases);
  const locks = new Locks(engine);
  const trash = new Trash(engine, removal);
  const { group } = engine;
  const guarded = <A extends readonly unknown[], R>(verb: (...args: A) => R, estimates = false): ((...args: A) => R) =>
    guard(verb as unknown as Call, estimates) as unknown as (...args: A) => R; // verbs have at most five
  const create = guarded((parent: number, name: string, node: NewNode) => tree.create(parent, name, node));
  const commit = guarded((ino: number, written: WrittenContent) => content.commit(ino, written));
  return {
    volumeUuid,
    sessionId: engine.sessionId,
    lookup: guarded((parent, name) => tree.lookup(parent, name)),
    getattr: guarded((ino) => tree.getattr(ino)),
    setattr: guarded((ino, change) => content.setattr(ino, change)),
    create(parent, name, node) {
      const made = create(parent, name, node);
      if (node.leased === true && typeof made !== "number") leases.noteTaken([made.ino]);
      return made;
    },
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
    commit(ino, written) {
      const committed = commit(ino, written);
      if (written.release === true && typeof committed !== "number") leases.noteDropped([ino]);
      return committed;
    },
    punch: guarded((ino, offset, length) => content.punch(ino, offset, length)),
    allocate: guarded((ino, offset, length, keepSize) => content.allocate(ino, offset, length, keepSize)),
    statfs: guarded(() => {
      group.read();
      const { capacityBytes, usedBytes, inodesMax, usedInodes, readOnly, state } = group.volume;
      return { readOnly: readOnly || state !== "active", capacityBytes, usedBytes, inodesMax, usedInodes };
    }, true),
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
    leases: leaseVerbs(leases, engine, guarded),
    foreignBlobs: guarded((ino) => content.foreignBlobs(ino)),
    removeOrphans: guarded(() => {
      const left = removal.step(true);
      group.settle(false);
      return left;
    }),
  };
}

function leaseVerbs(
  leases: Leases,
  engine: Engine,
  guarded: <A extends readonly unknown[], R>(verb: (...args: A) => R) => (...args: A) => R,
): LeaseVerbs {
  const take = guarded((inos: readonly number[]) => leases.take(inos));
  const drop = guarded((inos: readonly number[]) => leases.drop(inos));
  const startedMs = guarded(() => leases.startedMs());
  return {
    share: (shared) => leases.share(shared),
    take(inos) {
      const outcome = take(inos);
      if (outcome === 0) leases.noteTaken(inos);
      return outcome;
    },
    drop(inos) {
      drop(inos);
      leases.noteDropped(inos);
    },
    holds: (ino) => leases.holds(ino),
    takeTold: () => engine.changes.takeTold(),
    renew: () => leases.renewed(startedMs()),
  };
}
