import { randomUUID } from "node:crypto";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { Flaw } from "../ledger.ts";
import { TRASH } from "../rules/removal.ts";
import { BLOB_DELETING, BLOB_DOOMED, BLOB_LIVE, blocksOf, type Tables } from "../rules/tables.ts";
import { flawsIn } from "../sqlite/flaws-in.ts";
import { blobGroup, inodeGroup, REPAIR } from "./keys.ts";
import type { RecordStore, Want } from "./record-store.ts";
import { blobOf, putBlob, recordTables } from "./record-tables.ts";
import { countersOf, fenceOf, putCounters } from "./record-turn.ts";
import { run, transactionOf } from "./transaction.ts";
import { View } from "./view.ts";

/** More than any inode may have of one kind. */
const ALL = 1_000_000;
/** In place of a session: see rules/removal.ts. */
const COLLECTOR = 0;
const KEPT_IN_TRASH = `o${TRASH}`;
/** Type of an entry that is a directory. */
const DIRECTORY = 4;

type Mending = Tables & { readonly view: View };

interface Repair {
  readonly store: RecordStore;
  readonly clock: Clock;
  /** Runs it with the path of a copy in SQLite, as of one moment. */
  readonly withCopy: (use: (path: string) => Promise<void>) => Promise<void>;
}

/**
 * Counts anew what is only counted, while clients use the volume: what is wrong is looked up in a copy, and mended one by one, each in a transaction. What the
 * records of one inode tell is counted within that transaction. What only all records together tell (references, names, usage) is put right by as much as it was wrong
 * in the copy: clients change it by as much as they change what it counts, so that it is still wrong by as much. Another repair would not know; so whichever
 * begins last ends those before, with `volume.changed`.
 */
export async function repairRecords({ store, clock, withCopy }: Repair): Promise<void> {
  const id = randomUUID();
  await inTransaction(({ view }) => {
    fenceOf(view); // or there is no such volume
    view.get(REPAIR, "r");
    view.put(REPAIR, "r", id);
  });
  await withCopy(mend);

  async function mend(path: string): Promise<void> {
    await each(flawsIn(path, "blob-references"), blobWants, (tables, flaw) => mendBlob(tables, flaw, clock.wallMs()));
    const bytesMore = await each(flawsIn(path, "allocated-bytes"), inodeWants, mendAllocated);
    await each(flawsIn(path, "link-count"), inodeWants, mendLinks);
    for (const kind of ["trash-entry", "inode-without-entry"] as const) await each(flawsIn(path, kind), inodeWants, mendNameless);
    const [bytesMissing, inodesMissing] = (["used-bytes", "used-inodes"] as const).map((kind) => missingIn([...flawsIn(path, kind)]));
    await step(({ view }) => {
      const [usedBytes, usedInodes, nextId, changeSeq] = countersOf(view);
      // What was missing was so as long as inodes said what they said in the copy.
      putCounters(view, [usedBytes + bytesMissing! + bytesMore, usedInodes + inodesMissing!, nextId, changeSeq]); // both were asked for
      view.drop(REPAIR);
    });
  }

  /** Each in a transaction of its own, since clients may be busy with any of them. The sum of what `work` answers. */
  async function each(
    flaws: Iterable<Flaw>,
    wants: (id: number) => readonly Want[],
    work: (tables: Mending, flaw: Flaw) => number,
  ): Promise<number> {
    let sum = 0;
    for (const flaw of flaws)
      sum += await step((tables) => {
        tables.view.expect(wants(flaw.id));
        return work(tables, flaw);
      });
    return sum;
  }

  function step<T>(work: (tables: Mending) => T): Promise<T> {
    return inTransaction((tables) => {
      if (tables.view.get(REPAIR, "r") === id) return work(tables);
      throw new AnaxError("volume.changed", { address: store.address, reason: "another repair has begun" });
    });
  }

  function inTransaction<T>(work: (tables: Mending) => T): Promise<T> {
    const view = new View();
    const tables = { ...recordTables(view, { id: COLLECTOR, wallMs: () => clock.wallMs() }), view };
    return run(transactionOf({ view, clock, begin: () => undefined, work: () => work(tables), finish: () => undefined }), store, clock);
  }
}

const blobWants = (id: number): readonly Want[] => [{ group: blobGroup(id), key: "b" }];
const inodeWants = (ino: number): readonly Want[] => ["n", "d", "T", KEPT_IN_TRASH].map((key) => ({ group: inodeGroup(ino), key }));
const missingIn = (flaws: readonly Flaw[]): number => flaws.reduce((sum, { found, expected }) => sum + expected - found, 0);

function mendBlob({ view }: Mending, { id, found, expected }: Flaw, nowMs: number): number {
  const before = blobOf(view, id);
  if (before === undefined || before[3] === BLOB_DELETING) return 0;
  const [sha256, bytes, refs, state, session, sinceMs] = before;
  const left = refs + expected - found;
  if (left > 0) putBlob(view, id, before, [sha256, bytes, left, BLOB_LIVE, session, sinceMs]);
  else if (state === BLOB_LIVE) putBlob(view, id, before, [sha256, bytes, left, BLOB_DOOMED, session, nowMs]); // its grace begins
  else putBlob(view, id, before, [sha256, bytes, left, state, session, sinceMs]);
  return 0;
}

/** How many bytes more it has than it said. */
function mendAllocated({ nodes, extents, inline }: Mending, { id: ino }: Flaw): number {
  const node = nodes.get(ino);
  if (node === undefined) return 0;
  const allocated = extents.first(ino, ALL).reduce((sum, { length }) => sum + length, inline.get(ino)?.length ?? 0);
  if (allocated !== node.allocated) nodes.put({ ...node, allocated, blocks: blocksOf(allocated) });
  return allocated - node.allocated;
}

/** Names of a file are in whatever directories; subdirectories are in the directory itself. */
function mendLinks({ nodes, edges }: Mending, { id: ino, found, expected }: Flaw): number {
  const node = nodes.get(ino);
  if (node === undefined || node.nlink === 0) return 0;
  const subdirectories = node.kind === "directory" ? edges.list(ino, 0, ALL).filter(({ type }) => type === DIRECTORY).length : 0;
  const nlink = node.kind === "directory" ? 2 + subdirectories : node.nlink + expected - found;
  if (nlink > 0 && nlink !== node.nlink) nodes.put({ ...node, nlink });
  return 0;
}

/** In the trash is only what has no name, and what has none is kept for somebody, if only for the collector. */
function mendNameless({ view, nodes, trash, kept }: Mending, { id: ino }: Flaw): number {
  const isNameless = nodes.get(ino)?.nlink === 0;
  if (!isNameless) trash.remove(ino);
  const isTrash = trash.get(ino) !== undefined;
  const isKept = view.get(inodeGroup(ino), KEPT_IN_TRASH) !== undefined;
  if (isTrash !== isKept) kept[isTrash ? "add" : "remove"](ino, TRASH);
  if (isNameless && !kept.has(ino)) kept.add(ino, COLLECTOR);
  return 0;
}
