import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { realClock } from "../../src/base/clock.ts";
import type { AnaxError } from "../../src/base/errors.ts";
import { coded } from "../../src/register/register.conformance.ts";
import { copiesConformance } from "../../src/volume/lifecycle/copies.conformance.ts";
import { exportToSqlite } from "../../src/volume/meta/records/export-records.ts";
import { readDescription } from "../../src/volume/meta/records/format-records.ts";
import { importRecords } from "../../src/volume/meta/records/import-records.ts";
import { openStore } from "../../src/volume/meta/records/open-store.ts";
import { openRecordControl } from "../../src/volume/meta/records/record-control.ts";
import type { RecordStore } from "../../src/volume/meta/records/record-store.ts";
import { dumpedRows } from "../../src/volume/meta/sqlite/dump.ts";
import { formatSqlite } from "../../src/volume/meta/sqlite/format.ts";
import { openSqliteControl } from "../../src/volume/meta/sqlite/sqlite-control.ts";
import { openSqliteLedger } from "../../src/volume/meta/sqlite/sqlite-ledger.ts";
import { openSqliteVerbs } from "../../src/volume/meta/sqlite/sqlite-verbs.ts";
import { failed, ROOT_INO, type NewNode } from "../../src/volume/meta/verbs.ts";
import { FaultyStore, type Fault } from "../kit/faulty-store.ts";
import { BUCKET_ENV } from "../kit/s3-bucket.ts";
import { DISTINCT_ENGINES, type EngineKind, type RegisterEngine } from "../kit/register-engines.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// Metadata that go from SQLite to the real engines: all of them, or nothing that anybody takes for a volume.

Object.assign(process.env, BUCKET_ENV); // where users have them, too

const PATIENT_MS = 30_000;
const FILE: NewNode = { kind: "file", permissions: 0o4750, uid: 5, gid: 6 };

for (const kind of DISTINCT_ENGINES) {
  const lack = kind.lack();
  if (lack === undefined) moves(kind);
  else test(`metadata that go to ${kind.name}`, { skip: lack }, () => undefined);
}

function moves(kind: EngineKind): void {
  const scope = new AsyncDisposableStack();
  let engine: RegisterEngine;
  let dir: string;
  /** In SQLite, with some of everything. */
  let source: string;
  before(async () => {
    engine = await kind.prepare(scope.use(await temporaryDirectory()).path);
    const running = await engine.run();
    scope.defer(() => running[Symbol.asyncDispose]());
    dir = scope.use(await temporaryDirectory()).path;
    source = join(dir, "source.sqlite");
    await fill(source, 300);
  });
  after(() => scope.disposeAsync());

  copiesConformance(kind.name, () => engine.urlOn(engine.port));

  const storeOf = (uuid: string): Promise<RecordStore> => openStore(engine.urlOn(engine.port), uuid, realClock, PATIENT_MS);
  const imported = async (uuid: string, path = source, fault?: (call: number) => Fault): Promise<void> => {
    await using store = await storeOf(uuid);
    const fence = { uuid, state: "active", epoch: 1, readOnly: false, capacityBytes: 0, inodesMax: 0, trashMs: 5 } as const;
    const faulty = new FaultyStore(store, fault);
    try {
      await importRecords(faulty, { path, fence, description: "d\u00e9scription" }, realClock);
    } finally {
      await faulty.lateCommit();
    }
  };
  const isThere = async (uuid: string): Promise<boolean> => {
    await using store = await storeOf(uuid);
    const described = await readDescription(store);
    if (described === undefined) await assert.rejects(openRecordControl(store, realClock), coded("volume.unreachable"));
    return described !== undefined;
  };
  const assertWhole = async (uuid: string, path = source): Promise<void> => {
    const copy = join(dir, `${randomUUID()}.sqlite`);
    await using store = await storeOf(uuid);
    await exportToSqlite(store, copy);
    assert.deepEqual(rowsOf(copy), rowsOf(path));
    await using ledger = openSqliteLedger(copy, realClock);
    assert.deepEqual(await ledger.check(10), []);
    assert.equal(await readDescription(store), "d\u00e9scription");
    await using control = await openRecordControl(await storeOf(uuid), realClock);
    assert.equal((await control.readFence()).trashMs, 5);
    assert.deepEqual(await control.sessions(), []);
  };

  test(`${kind.name}: all metadata are there, byte for byte, and what is there is never replaced`, async () => {
    const uuid = randomUUID();
    await imported(uuid);
    await assertWhole(uuid);
    await assert.rejects(imported(uuid), coded("volume.exists"));
    await assertWhole(uuid);
    await using control = await openRecordControl(await storeOf(uuid), realClock);
    assert.ok(await control.writeFence({ ...(await control.readFence()), state: "purging", epoch: 2 }));
    await assert.rejects(imported(uuid), coded("volume.not-exist"));
  });

  for (const fault of ["killed", "killed after it", "answer lost", "made late"] as const)
    test(`${kind.name}: an import that is ended anywhere (${fault}) leaves nothing that is taken for a volume, and is done again`, async () => {
      for (let at = 0, met = true; met; at++) {
        const uuid = randomUUID();
        met = false;
        const failure = await imported(uuid, source, (call) => {
          met ||= call === at;
          return call === at ? fault : undefined;
        }).catch((error: unknown) => error);
        if (failure !== undefined) assert.ok(coded("volume.unreachable")(failure), inspect(failure));
        const there = await isThere(uuid);
        // Who is killed when all is done cannot say so.
        if (there !== (failure === undefined)) assert.equal(fault, "killed after it");
        if (!there) await imported(uuid);
        if (there || at % 3 === 0) await assertWhole(uuid);
      }
    });

  test(`${kind.name}: of two imports at once one is made, and nothing of the other, or of one before, is in it`, async () => {
    const smaller = join(dir, "smaller.sqlite");
    await fill(smaller, 40);
    for (let round = 0; round < 3; round++) {
      const uuid = randomUUID();
      await assert.rejects(
        imported(uuid, source, (call) => (call === 4 ? "killed" : undefined)),
        coded("volume.unreachable"),
      );
      const paths = [source, smaller];
      const outcomes = await Promise.allSettled(paths.map((path) => imported(uuid, path)));
      const made = paths.filter((_, index) => outcomes[index]?.status === "fulfilled");
      for (const outcome of outcomes)
        if (outcome.status === "rejected") assert.match((outcome.reason as AnaxError).code, /^volume\.(changed|exists)$/);
      assert.equal(made.length, 1);
      await assertWhole(uuid, made[0]);
    }
  });
}

async function fill(path: string, files: number): Promise<void> {
  const limits = { capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 };
  formatSqlite(path, { uuid: randomUUID(), ...limits }, realClock);
  await using verbs = openSqliteVerbs({ path, sessionId: 1, clock: realClock });
  const make = (parent: number, name: string, node: NewNode): number => {
    const made = verbs.create(parent, name, node);
    assert.ok(!failed(made));
    return made.ino;
  };
  const directory = make(ROOT_INO, "\xff d\x01\n", { ...FILE, kind: "directory" });
  make(directory, "link", { ...FILE, kind: "symlink", target: "/\xfe\x02" });
  make(directory, "device", { ...FILE, kind: "char", rdev: 259 });
  for (let index = 0; index < files; index++) {
    const ino = make(index % 2 === 0 ? ROOT_INO : directory, `f${index}`, FILE);
    if (index % 3 === 0) assert.ok(!failed(verbs.commit(ino, { size: 1000, mtimeMs: 5, inline: Buffer.from([index & 255, 0, 255]) })));
    if (index % 3 === 1) {
      const ids = verbs.reserveBlobs([{ sha256: "ab".repeat(32), bytes: 8192 }]);
      assert.ok(!failed(ids));
      const part = { length: 4096, blobId: ids[0]! }; // one was reserved
      const extents = [
        { ...part, position: 0, blobOffset: 4096 },
        { ...part, position: 2 ** 40, blobOffset: 0 },
      ];
      assert.ok(!failed(verbs.commit(ino, { size: 2 ** 41, mtimeMs: 5, extents })));
    }
    if (index % 16 === 0) assert.equal(verbs.setxattr(ino, "user.\xe9", Buffer.alloc(40_000, index), 0), 0);
    if (index % 10 === 0) assert.ok(!failed(verbs.link(ino, ROOT_INO, `other ${index}`)));
  }
  verbs.settle(true);
  await using control = openSqliteControl(path, realClock);
  assert.equal(typeof (await control.setQuota(directory, { bytesMax: 2 ** 50, inodesMax: 0 })), "object");
}

/** In order, without what a volume is called. */
const rowsOf = (path: string): readonly string[] =>
  [...dumpedRows(path)].map(([table, row]) => JSON.stringify([table, ...(table === "volume" ? row.slice(1) : row)])).toSorted();
