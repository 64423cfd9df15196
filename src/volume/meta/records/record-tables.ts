import { kindOfMode } from "../attributes.ts";
import { BLOB_BYTES_MAX } from "../extents.ts";
import type { HeldLock } from "../lock-ranges.ts";
import {
  BLOB_DOOMED,
  BLOB_LIVE,
  BLOB_PENDING,
  blocksOf,
  type BlobTable,
  type Edge,
  type EdgeTable,
  type ExtentRow,
  type ExtentTable,
  type InlineTable,
  type KeptTable,
  type LeaseTable,
  type LockTable,
  type NamedEdge,
  type Node,
  type NodeTable,
  type QuotaTable,
  type Tables,
  type TargetTable,
  type TrashRow,
  type TrashTable,
  type XattrTable,
} from "../rules/tables.ts";
import {
  after,
  blobGroup,
  BLOBS,
  bytesOf,
  hex,
  inodeGroup,
  json,
  keptIndex,
  numberOf,
  QUOTAS,
  SESSIONS,
  textOf,
  TRASHED,
  TRASHED_BY_TIME,
  UNSETTLED_BLOBS,
  wantedIndex,
} from "./keys.ts";
import type { View } from "./view.ts";

/** More than any inode may have of one kind; a bound against damage. */
const ALL = 1_000_000;

/** Tables over records: those of an inode are one group. */
export function recordTables(view: View, session: { readonly id: number; readonly wallMs: () => number }): Tables {
  return {
    nodes: nodesOn(view),
    edges: edgesOn(view),
    targets: targetsOn(view),
    inline: inlineOn(view),
    extents: extentsOn(view, session),
    blobs: blobsOn(view),
    xattrs: xattrsOn(view),
    locks: locksOn(view),
    leases: leasesOn(view),
    kept: keptOn(view),
    trash: trashOn(view),
    quotas: quotasOn(view),
  };
}

type NodeRecord = readonly [
  mode: number,
  uid: number,
  gid: number,
  rdev: number,
  nlink: number,
  size: number,
  allocated: number,
  atimeSec: number,
  atimeNsec: number,
  mtimeSec: number,
  mtimeNsec: number,
  ctimeSec: number,
  ctimeNsec: number,
  parent: number,
];

const NODE = "n";

export function nodeRecordOf(n: Node): NodeRecord {
  const { mode, uid, gid, rdev, nlink, size, allocated, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec, parent } = n;
  return [mode, uid, gid, rdev, nlink, size, allocated, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec, parent];
}

function nodesOn(view: View): NodeTable {
  return {
    get(ino) {
      const value = view.get(inodeGroup(ino), NODE);
      return value === undefined ? undefined : nodeOf(ino, json(value) as NodeRecord);
    },
    put(node) {
      const group = inodeGroup(node.ino);
      view.assumeNew(group); // what is there has been read before it is changed
      view.put(group, NODE, JSON.stringify(nodeRecordOf(node)));
      return node;
    },
    remove: (ino) => view.drop(inodeGroup(ino)),
    expect: (_parent, entries) => view.expect(entries.map(({ ino }) => ({ group: inodeGroup(ino), key: NODE }))),
  };
}

function nodeOf(ino: number, record: NodeRecord): Node {
  const [mode, uid, gid, rdev, nlink, size, allocated, atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec, parent] = record;
  const kind = kindOfMode(mode) ?? "file";
  const times = { atimeSec, atimeNsec, mtimeSec, mtimeNsec, ctimeSec, ctimeNsec };
  return { ino, kind, mode, uid, gid, rdev, nlink, size, blocks: blocksOf(allocated), ...times, allocated, parent };
}

/** By name `e`, and in the order in which a directory is read `k`. */
function edgesOn(view: View): EdgeTable {
  const get = (parent: number, name: string): Edge | undefined => {
    const value = view.get(inodeGroup(parent), `e${name}`);
    if (value === undefined) return undefined;
    const [ino, type, cookie] = json(value) as [number, number, number];
    return { ino, type, cookie };
  };
  const list = (parent: number, cookie: number, countMax: number): readonly NamedEdge[] =>
    view.range(inodeGroup(parent), `k${hex(cookie + 1)}`, after("k"), countMax).map(([key, value]) => {
      const [name, ino, type] = json(value) as [string, number, number];
      return { name, ino, type, cookie: numberOf(key.slice(1)) };
    });
  return {
    get,
    list,
    add(parent, name, { ino, type, cookie }) {
      if (get(parent, name) !== undefined) return false;
      view.put(inodeGroup(parent), `e${name}`, JSON.stringify([ino, type, cookie]));
      view.put(inodeGroup(parent), `k${hex(cookie)}`, JSON.stringify([name, ino, type]));
      return true;
    },
    remove(parent, name) {
      const edge = get(parent, name);
      if (edge === undefined) return;
      view.remove(inodeGroup(parent), `e${name}`);
      view.remove(inodeGroup(parent), `k${hex(edge.cookie)}`);
    },
    hasAny: (parent) => list(parent, 0, 1).length > 0,
    nameOf(parent, ino) {
      const step = 1000;
      for (let page = list(parent, 0, step); page.length > 0; page = list(parent, page.at(-1)!.cookie, step)) {
        const found = page.find((edge) => edge.ino === ino);
        if (found !== undefined) return found.name;
      }
      return undefined;
    },
  };
}

function targetsOn(view: View): TargetTable {
  return {
    get: (ino) => view.get(inodeGroup(ino), "t"),
    add: (ino, target) => view.put(inodeGroup(ino), "t", target),
    remove: (ino) => view.remove(inodeGroup(ino), "t"),
  };
}

function inlineOn(view: View): InlineTable {
  const get = (ino: number): Uint8Array | undefined => {
    const value = view.get(inodeGroup(ino), "d");
    return value === undefined ? undefined : bytesOf(value);
  };
  return {
    get,
    put: (ino, data) => view.put(inodeGroup(ino), "d", textOf(data)),
    remove(ino) {
      const there = get(ino) !== undefined;
      if (there) view.remove(inodeGroup(ino), "d");
      return there;
    },
  };
}

/** With what a reader needs of the blob, which never changes, and who put it there when. */
type ExtentRecord = readonly [
  length: number,
  blob: number,
  blobOffset: number,
  sha256: string,
  bytes: number,
  session: number,
  sinceMs: number,
];

function extentsOn(view: View, session: { readonly id: number; readonly wallMs: () => number }): ExtentTable {
  const records = (ino: number, from: number, to: number): readonly (readonly [number, ExtentRecord])[] =>
    view
      .range(inodeGroup(ino), `x${hex(Math.max(0, from - BLOB_BYTES_MAX + 1))}`, `x${hex(to)}`, ALL) // an extent is no longer than a blob
      .map(([key, value]) => [numberOf(key.slice(1)), json(value) as ExtentRecord] as const)
      .filter(([position, [length]]) => position + length > from);
  return {
    touching: (ino, from, to) => records(ino, from, to).map(extentRowOf),
    withBlobs: (ino, from, to) =>
      records(ino, from, to).map(([position, [length, id, blobOffset, sha256, bytes]]) => ({
        position,
        length,
        blobOffset,
        blob: { id, sha256, bytes },
      })),
    first: (ino, countMax) =>
      view
        .range(inodeGroup(ino), "x", after("x"), countMax)
        .map(([key, value]) => extentRowOf([numberOf(key.slice(1)), json(value) as ExtentRecord])),
    add(ino, { position, length, blob, blobOffset }) {
      const [sha256 = "", bytes = 0] = blobOf(view, blob) ?? [];
      const record: ExtentRecord = [length, blob, blobOffset, sha256, bytes, session.id, session.wallMs()];
      view.put(inodeGroup(ino), `x${hex(position)}`, JSON.stringify(record));
    },
    remove: (ino, position) => view.remove(inodeGroup(ino), `x${hex(position)}`),
  };
}

const extentRowOf = ([position, [length, blob, blobOffset]]: readonly [number, ExtentRecord]): ExtentRow => ({
  position,
  length,
  blob,
  blobOffset,
});

export type BlobRecord = readonly [sha256: string, bytes: number, refs: number, state: number, session: number, sinceMs: number];

const BLOB = "b";

export function blobOf(view: View, id: number): BlobRecord | undefined {
  const value = view.get(blobGroup(id), BLOB);
  return value === undefined ? undefined : (json(value) as BlobRecord);
}

/** Keeps the index of what may have to be collected. */
export function putBlob(view: View, id: number, before: BlobRecord | undefined, next: BlobRecord): void {
  if (before !== undefined) view.remove(UNSETTLED_BLOBS, hex(before[5]) + hex(id));
  if (next[3] !== BLOB_LIVE) view.put(UNSETTLED_BLOBS, hex(next[5]) + hex(id), "");
  view.put(blobGroup(id), BLOB, JSON.stringify(next));
}

function blobsOn(view: View): BlobTable {
  return {
    reserve(id, { sha256, bytes }, session, nowMs) {
      view.assumeNew(blobGroup(id));
      putBlob(view, id, undefined, [sha256, bytes, 0, BLOB_PENDING, session, nowMs]);
      view.put(BLOBS, hex(id), "");
    },
    state: (id) => blobOf(view, id)?.[3],
    refer(id, by, nowMs) {
      const before = blobOf(view, id);
      if (before === undefined) return;
      const [sha256, bytes, refs, , session] = before;
      putBlob(view, id, before, [sha256, bytes, refs + by, refs + by > 0 ? BLOB_LIVE : BLOB_DOOMED, session, nowMs]);
    },
    foreign(ino, session, sinceMs) {
      const blobs = new Map<number, { readonly id: number; readonly sha256: string; readonly bytes: number }>();
      for (const [, value] of view.range(inodeGroup(ino), "x", after("x"), ALL)) {
        const [, id, , sha256, bytes, by, atMs] = json(value) as ExtentRecord;
        if (by !== session && atMs >= sinceMs) blobs.set(id, { id, sha256, bytes });
      }
      return [...blobs.values()];
    },
  };
}

function xattrsOn(view: View): XattrTable {
  const all = (ino: number) => view.range(inodeGroup(ino), "a", after("a"), ALL);
  const get = (ino: number, name: string): string | undefined => view.get(inodeGroup(ino), `a${name}`);
  return {
    get(ino, name) {
      const value = get(ino, name);
      return value === undefined ? undefined : bytesOf(value);
    },
    list: (ino) => all(ino).map(([key]) => key.slice(1)),
    total: (ino) => all(ino).reduce((sum, [key, value]) => sum + key.length - 1 + value.length, 0),
    put: (ino, name, value) => view.put(inodeGroup(ino), `a${name}`, textOf(value)),
    remove(ino, name) {
      const there = get(ino, name) !== undefined;
      if (there) view.remove(inodeGroup(ino), `a${name}`);
      return there;
    },
    clear: () => undefined, // they are of the inode's group, which goes with it
  };
}

/** All of one family are one record. */
function locksOn(view: View): LockTable {
  const held = (ino: number, family: string): readonly HeldLock[] => json(view.get(inodeGroup(ino), `l${family}`) ?? "[]") as HeldLock[];
  return {
    held,
    replace(ino, { family, owner }, session, next) {
      const others = held(ino, family).filter((lock) => lock.session !== session || lock.owner !== owner);
      const locks = [...others, ...next].toSorted((a, b) => a.start - b.start);
      if (locks.length === 0) view.remove(inodeGroup(ino), `l${family}`);
      else view.put(inodeGroup(ino), `l${family}`, JSON.stringify(locks));
      if (next.length > 0) view.put(keptIndex(session), `l${hex(ino)}`, ""); // so that what a dead session locked is found
    },
    clear: () => undefined,
  };
}

const LEASE = "w";

function leasesOn(view: View): LeaseTable {
  return {
    holder(ino) {
      view.expect([
        { group: inodeGroup(ino), key: LEASE },
        { group: inodeGroup(ino), key: NODE },
      ]); // whoever asks wants both
      const holder = view.get(inodeGroup(ino), LEASE);
      return holder !== undefined && sessionIds(view).includes(Number(holder)) ? Number(holder) : undefined;
    },
    put(ino, session) {
      view.put(inodeGroup(ino), LEASE, String(session));
      view.put(keptIndex(session), `${LEASE}${hex(ino)}`, "");
    },
    remove(ino, session) {
      if (view.get(inodeGroup(ino), LEASE) === String(session)) view.remove(inodeGroup(ino), LEASE);
      view.remove(keptIndex(session), `${LEASE}${hex(ino)}`);
      view.remove(wantedIndex(session), hex(ino));
    },
    startedMs(session) {
      const record = view.get(SESSIONS, hex(session));
      return record === undefined ? undefined : (json(record) as { readonly startedAtMs: number }).startedAtMs;
    },
  };
}

function keptOn(view: View): KeptTable {
  const add = (ino: number, session: number): void => {
    view.put(inodeGroup(ino), `o${session}`, "");
    view.put(keptIndex(session), hex(ino), "");
  };
  return {
    add,
    addForOthers(ino, session) {
      const others = sessionIds(view).filter((id) => id !== session);
      for (const id of others) add(ino, id);
      return others.length;
    },
    remove(ino, session) {
      view.remove(inodeGroup(ino), `o${session}`);
      view.remove(keptIndex(session), hex(ino));
    },
    has: (ino) => view.range(inodeGroup(ino), "o", after("o"), 1).length > 0,
    of: (session) => view.range(keptIndex(session), "0", after("f"), 256).map(([key]) => numberOf(key)),
  };
}

export const sessionIds = (view: View): readonly number[] => view.range(SESSIONS, "0", after("f"), ALL).map(([key]) => numberOf(key));

function trashOn(view: View): TrashTable {
  const get = (ino: number): TrashRow | undefined => {
    const value = view.get(inodeGroup(ino), "T");
    if (value === undefined) return undefined;
    const [parent, name, deletedMs] = json(value) as [number, string, number];
    return { ino, parent, name, deletedMs };
  };
  const hasAnyOf = (parent: number): boolean => view.range(inodeGroup(parent), "h", after("h"), 1).length > 0;
  return {
    get,
    hasAnyOf,
    add({ ino, parent, name, deletedMs }) {
      view.put(inodeGroup(ino), "T", JSON.stringify([parent, name, deletedMs]));
      view.put(inodeGroup(parent), `h${hex(ino)}`, "");
      view.put(TRASHED, hex(ino), "");
      view.put(TRASHED_BY_TIME, hex(deletedMs) + hex(ino), "");
    },
    remove(ino) {
      const row = get(ino);
      if (row === undefined) return;
      view.remove(inodeGroup(ino), "T");
      view.remove(inodeGroup(row.parent), `h${hex(ino)}`);
      view.remove(TRASHED, hex(ino));
      view.remove(TRASHED_BY_TIME, hex(row.deletedMs) + hex(ino));
    },
    list(afterIno, countMax) {
      const inos = view.range(TRASHED, hex(afterIno + 1), after("f"), countMax).map(([key]) => numberOf(key));
      view.expect(inos.flatMap((ino) => ["T", NODE].map((key) => ({ group: inodeGroup(ino), key }))));
      return inos.flatMap((ino) => get(ino) ?? []);
    },
    old: (untilMs, countMax) =>
      view
        .range(TRASHED_BY_TIME, "0", hex(Math.max(0, untilMs + 1)), countMax)
        .map(([key]) => numberOf(key.slice(hex(0).length)))
        .filter((ino) => get(ino) !== undefined && !hasAnyOf(ino)),
  };
}

export type QuotaRecord = readonly [bytesMax: number, inodesMax: number, usedBytes: number, usedInodes: number];

function quotasOn(view: View): QuotaTable {
  const all = () =>
    view.range(QUOTAS, "0", after("f"), ALL).map(([key, value]) => {
      const [bytesMax, inodesMax, usedBytes, usedInodes] = json(value) as QuotaRecord;
      return { ino: numberOf(key), bytesMax, inodesMax, usedBytes, usedInodes };
    });
  return {
    all,
    update(ino, usedBytes, usedInodes) {
      const value = view.get(QUOTAS, hex(ino));
      if (value === undefined) return;
      const [bytesMax, inodesMax] = json(value) as QuotaRecord;
      view.put(QUOTAS, hex(ino), JSON.stringify([bytesMax, inodesMax, usedBytes, usedInodes]));
    },
    remove(ino) {
      if (view.get(QUOTAS, hex(ino)) !== undefined) view.remove(QUOTAS, hex(ino));
    },
  };
}
