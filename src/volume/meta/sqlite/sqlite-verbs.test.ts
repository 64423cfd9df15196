import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { realClock } from "../../../base/clock.ts";
import { ledgerConformance, type Damage, type LedgerFixture } from "../ledger.conformance.ts";
import { verbsConformance, type VolumeLimits } from "../verbs.conformance.ts";
import { formatSqlite } from "./format.ts";
import { openSqliteControl } from "./sqlite-control.ts";
import { openSqliteLedger } from "./sqlite-ledger.ts";
import { openSqliteVerbs } from "./sqlite-verbs.ts";

const NEW_VOLUME = {
  uuid: "00000000-0000-4000-8000-000000000001",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  uid: 0,
  gid: 0,
  permissions: 0o755,
};

async function aVolume(limits: VolumeLimits = {}): Promise<LedgerFixture> {
  const dir = await mkdtemp(join(tmpdir(), "anax-verbs-"));
  const path = join(dir, "meta.sqlite");
  formatSqlite(path, { ...NEW_VOLUME, ...limits }, realClock);
  const control = openSqliteControl(path, realClock);
  const opened: AsyncDisposable[] = [control];
  return {
    control,
    async open(sessionId) {
      const verbs = openSqliteVerbs({ path, sessionId, clock: realClock });
      opened.push(verbs);
      return verbs;
    },
    async ledger() {
      const ledger = openSqliteLedger(path, realClock);
      opened.push(ledger);
      return ledger;
    },
    async damage(damage) {
      using database = new DatabaseSync(path, { timeout: 5000 });
      damageRows(database, damage);
    },
    async [Symbol.asyncDispose]() {
      for (const each of opened) await each[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

verbsConformance("SQLite", aVolume);
ledgerConformance("SQLite", aVolume);

function damageRows(database: DatabaseSync, { blobs = [], nodes = [], used, kept = [], trash = [] }: Damage): void {
  const run = (sql: string, ...values: number[]): void => void database.prepare(sql).run(...values);
  database.exec("BEGIN IMMEDIATE");
  for (const { id, refs, state } of blobs) {
    if (refs !== undefined) run("UPDATE blob SET refs = ? WHERE id = ?", refs, id);
    if (state !== undefined) run("UPDATE blob SET state = ? WHERE id = ?", state, id);
  }
  for (const { ino, nlink, allocated } of nodes) {
    if (nlink !== undefined) run("UPDATE node SET nlink = ? WHERE ino = ?", nlink, ino);
    if (allocated !== undefined) run("UPDATE node SET allocated = ? WHERE ino = ?", allocated, ino);
  }
  if (used !== undefined) run("UPDATE volume SET used_bytes = ?, used_inodes = ?", used.bytes, used.inodes);
  for (const { ino, session, there } of kept)
    run(there ? "INSERT INTO open_unlinked VALUES (?, ?)" : "DELETE FROM open_unlinked WHERE ino = ? AND session = ?", ino, session);
  for (const { ino, there } of trash) run(there ? "INSERT INTO trash VALUES (?, 1, 'x', 1)" : "DELETE FROM trash WHERE ino = ?", ino);
  database.exec("COMMIT");
}

test("a writer that never rests leaves room for heartbeats and other writers", async () => {
  const dir = await mkdtemp(join(tmpdir(), "anax-busy-"));
  const path = join(dir, "meta.sqlite");
  formatSqlite(path, NEW_VOLUME, realClock);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL("busy-writer-worker.ts", import.meta.url), { workerData: { path, stop } });
  try {
    await once(worker, "message");
    await using control = openSqliteControl(path, realClock);
    const session = await control.beginSession({ host: "here", pid: 1, mountpoint: "/mnt", readOnly: false });
    for (let beat = 0; beat < 3; beat++) await control.heartbeat(session, { host: "here", pid: 1, mountpoint: "/mnt", readOnly: false });
    await using other = openSqliteVerbs({ path, sessionId: session, clock: realClock });
    for (let index = 0; index < 3; index++) {
      assert.equal(typeof other.create(1, `other-${index}`, { kind: "file", permissions: 0o600, uid: 0, gid: 0 }), "object");
      other.settle(false);
    }
    Atomics.store(stop, 0, 1);
    const [count] = (await once(worker, "message")) as [number];
    assert.equal(other.statfs().usedInodes, count + 4);
  } finally {
    Atomics.store(stop, 0, 1);
    await worker.terminate();
    await rm(dir, { recursive: true, force: true });
  }
});
