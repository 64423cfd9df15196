import { randomBytes } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import { VOLUME_NOT_EXIST } from "../../lifecycle/volume-record.ts";
import { BLOB_LIVE } from "../rules/tables.ts";
import {
  blobGroup,
  BLOBS,
  COUNTERS,
  COUNTERS_KEY,
  DESCRIPTION_KEY,
  FENCE,
  FENCE_KEY,
  hex,
  IMPORT,
  inodeGroup,
  json,
  QUOTAS,
  SESSIONS,
  textOf,
} from "./keys.ts";
import { isIndex, type CommitRequest, type Held, type RecordStore, type StoredRecord } from "./record-store.ts";
import type { FenceRecord } from "./record-turn.ts";

/** Of one transaction: etcd takes no more than 1.5 MiB. */
const BATCH_RECORDS = 2000;
const BATCH_BYTES = 256 * 1024;
/** How often an engine may be unable to order a commit among those of others. */
const TRIES = 20;
const PAUSE_MS = 50;

export interface Imported {
  /** Metadata in SQLite, without sessions and trash, that nobody writes to. */
  readonly path: string;
  readonly fence: FenceRecord;
  /** For who attaches it. */
  readonly description: string;
}

/**
 * Makes the records of a volume of which the engine knows nothing. Its fence comes last, in one transaction with the end of the import: before, nobody takes what is
 * there for a volume, and what an import left that was killed is removed by the next one. Of two at once the one that begins last goes on. Throws `volume.exists`,
 * `volume.not-exist` where the engine has its tombstone, `volume.changed` when another import has begun, and `volume.unreachable`; nothing is left then, if the engine answers.
 */
export async function importRecords(store: RecordStore, { path, fence, description }: Imported, clock: Clock): Promise<void> {
  let held = await hold(store, clock);
  try {
    await store.drop([IMPORT], held);
    for (const puts of batchesOf(recordsOf(path))) await commit({ puts, touched: groupsOf(puts), checks: [] });
    await finish();
  } catch (error) {
    await leave().catch(() => undefined); // the first failure is the one to tell
    throw error;
  }

  async function finish(): Promise<void> {
    const puts: readonly StoredRecord[] = [
      [FENCE, FENCE_KEY, JSON.stringify(fence)],
      [FENCE, DESCRIPTION_KEY, textOf(Buffer.from(description))],
      [COUNTERS, COUNTERS_KEY, JSON.stringify(countersIn(path))],
      // A mount that has lost the volume, and finds it again, must not have the number of a new one.
      [SESSIONS, "next", String(Math.floor(clock.wallMs() / 1000))],
    ];
    const stamp = newStamp();
    try {
      await commit({ puts, touched: groupsOf(puts), checks: [[FENCE, ""]], gone: [IMPORT], stamp });
    } catch (error) {
      if ((await versionOf(store, FENCE)) !== stamp) throw error; // only the answer was lost
    }
  }

  /** Also what was sent and may come late is refused from here on. */
  async function leave(): Promise<void> {
    const stamp = newStamp();
    await commit({ puts: [], touched: [IMPORT], checks: [[FENCE, ""]], stamp });
    held = { group: IMPORT, version: stamp };
    await store.drop([IMPORT], held);
    await commit({ puts: [], touched: [], checks: [], gone: [IMPORT] });
  }

  async function commit(request: Pick<CommitRequest, "puts" | "touched" | "checks"> & Partial<CommitRequest>): Promise<void> {
    for (let left = TRIES; ; left--) {
      const checks = [...request.checks, [held.group, held.version] as const];
      if (await store.commit({ stamp: newStamp(), gone: [], removes: [], ...request, checks })) return;
      if (left === 0 || (await versionOf(store, IMPORT)) !== held.version) throw beganElsewhere(store);
      await clock.sleep(PAUSE_MS);
    }
  }
}

/** Takes the place for the import that begins now. */
async function hold(store: RecordStore, clock: Clock): Promise<Held> {
  const stamp = newStamp();
  for (let left = TRIES, seen: readonly string[] | undefined; left > 0; left--) {
    const { found, versions } = await store.fetch({ wants: [{ group: FENCE, key: FENCE_KEY }], groups: [FENCE, IMPORT] });
    const [there] = found[0] ?? [];
    if (there !== undefined) throw alreadyThere(json(there[1]) as FenceRecord, store.address);
    if (seen !== undefined && !isDeepStrictEqual(seen, versions)) break;
    seen = versions;
    const checks = [FENCE, IMPORT].map((group, index) => [group, versions[index] ?? ""] as const);
    if (await store.commit({ checks, stamp, touched: [IMPORT], gone: [], puts: [], removes: [] })) return { group: IMPORT, version: stamp };
    await clock.sleep(PAUSE_MS);
  }
  throw beganElsewhere(store);
}

const beganElsewhere = ({ address }: RecordStore): AnaxError =>
  new AnaxError("volume.changed", { address, reason: "another import has begun" });

function alreadyThere({ uuid, state, epoch }: FenceRecord, meta: string): AnaxError {
  if (state === "active" || state === "deleting") return new AnaxError("volume.exists", { uuid, meta, state });
  return new AnaxError("volume.not-exist", { wireCode: VOLUME_NOT_EXIST, volume: uuid, epoch, meta });
}

const versionOf = async (store: RecordStore, group: string): Promise<string> =>
  (await store.fetch({ wants: [], groups: [group] })).versions[0] ?? "";

const newStamp = (): string => randomBytes(9).toString("base64");

const groupsOf = (records: readonly StoredRecord[]): readonly string[] => [
  ...new Set(records.map(([group]) => group).filter((group) => !isIndex(group))),
];

function* batchesOf(records: Iterable<StoredRecord>): Iterable<readonly StoredRecord[]> {
  let batch: StoredRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    bytes += record[0].length + record[1].length + record[2].length;
    if (batch.push(record) < BATCH_RECORDS && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

/** Columns of the statements below, in their order. */
type Row = readonly (number | string | Uint8Array)[];

/** See docs/formats/volume.md. */
const TABLES: readonly (readonly [sql: string, records: (row: Row) => readonly StoredRecord[]])[] = [
  [
    "SELECT id, sha256, bytes, refs FROM blob",
    ([id, ...blob]) => [
      [blobGroup(Number(id)), "b", JSON.stringify([...blob, BLOB_LIVE, 0, 0])],
      [BLOBS, hex(Number(id)), ""],
    ],
  ],
  ["SELECT * FROM node", ([ino, ...node]) => [[inodeGroup(Number(ino)), "n", JSON.stringify(node)]]],
  [
    "SELECT parent, name, ino, type, cookie FROM edge",
    ([parent, name, ino, type, cookie]) => [
      [inodeGroup(Number(parent)), `e${String(name)}`, JSON.stringify([ino, type, cookie])],
      [inodeGroup(Number(parent)), `k${hex(Number(cookie))}`, JSON.stringify([name, ino, type])],
    ],
  ],
  ["SELECT ino, target FROM symlink", ([ino, target]) => [[inodeGroup(Number(ino)), "t", String(target)]]],
  ["SELECT ino, data FROM inline_data", ([ino, data]) => [[inodeGroup(Number(ino)), "d", textOf(data as Uint8Array)]]], // a BLOB column
  [
    "SELECT ino, position, length, blob, blob_offset, sha256, bytes FROM extent JOIN blob ON blob.id = blob",
    ([ino, position, ...extent]) => [[inodeGroup(Number(ino)), `x${hex(Number(position))}`, JSON.stringify([...extent, 0, 0])]],
  ],
  [
    "SELECT ino, name, value FROM xattr",
    ([ino, name, value]) => [[inodeGroup(Number(ino)), `a${String(name)}`, textOf(value as Uint8Array)]], // a BLOB column
  ],
  [
    "SELECT ino, bytes_max, inodes_max, used_bytes, used_inodes FROM quota",
    ([ino, ...quota]) => [[QUOTAS, hex(Number(ino)), JSON.stringify(quota)]],
  ],
];

function* recordsOf(path: string): Iterable<StoredRecord> {
  using database = new DatabaseSync(path, { readOnly: true });
  for (const [sql, records] of TABLES) {
    const statement = database.prepare(sql);
    statement.setReturnArrays(true);
    for (const row of statement.iterate()) yield* records(row as unknown as Row);
  }
}

function countersIn(path: string): readonly number[] {
  using database = new DatabaseSync(path, { readOnly: true });
  const statement = database.prepare("SELECT used_bytes, used_inodes, next_id FROM volume");
  statement.setReturnArrays(true);
  return [...(statement.get() as unknown as readonly number[]), 0];
}
