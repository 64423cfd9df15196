import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { realClock, type Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { createRandom } from "../../base/random.ts";
import type { BlobStore } from "../data/blob-store.ts";
import { LocalBlobs } from "../data/local-blobs.ts";
import { aFile, aLocalVolume, type LocalVolumeFixture } from "../data/local-volume-fixture.ts";
import { openSqliteLedger } from "../meta/sqlite/sqlite-ledger.ts";
import type { VolumeVerbs } from "../meta/verbs.ts";
import { check, collect, findStrangers } from "./collect.ts";
import { openVolume } from "./open-volume.ts";
import { Volumes } from "./volumes.ts";

const { signal } = new AbortController();
const MINUTE_MS = 60_000;

const content = (seed: number, length = 9000): Buffer => Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + seed) % 251));

/** A ledger whose clock stands still until it is moved, and blobs in the directory of the volume. */
function collecting(volume: LocalVolumeFixture): {
  readonly ledger: ReturnType<typeof openSqliteLedger>;
  readonly blobs: LocalBlobs;
  readonly later: (ms: number) => void;
} {
  let ahead = 0;
  const clock: Clock = { ...realClock, wallMs: () => realClock.wallMs() + ahead };
  const ledger = openSqliteLedger(join(volume.dir, "meta.sqlite"), clock);
  return { ledger, blobs: new LocalBlobs(join(volume.dir, "blobs")), later: (ms) => (ahead += ms) };
}

const objectsOf = (volume: LocalVolumeFixture): readonly string[] => {
  try {
    return readdirSync(join(volume.dir, "blobs"), { recursive: true, encoding: "utf8" }).filter((key) => /^\d+\/[0-9a-f]{64}-/.test(key));
  } catch {
    return [];
  }
};

/** Sessions of mounts that are there, as their heartbeats would keep them. */
async function beat(volume: LocalVolumeFixture, ms: number): Promise<void> {
  using database = new DatabaseSync(join(volume.dir, "meta.sqlite"), { timeout: 5000 });
  database.prepare("UPDATE session SET seen_ms = seen_ms + ?").run(ms);
}

test("what nothing refers to is deleted after its grace, and what something refers to stays", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const kept = aFile(mount, "kept");
  mount.files.write(kept, 0, content(1));
  mount.files.flush(kept);
  const gone = aFile(mount, "gone");
  mount.files.write(gone, 0, content(2));
  mount.files.close(gone);
  mount.verbs.unlink(1, "gone");
  mount.verbs.settle(true);
  const { ledger, blobs, later } = collecting(volume);
  await using _ledger = ledger;
  const run = () => collect({ ledger, blobs, graceMs: 10 * MINUTE_MS, signal });
  assert.deepEqual(await run(), { blobs: 0, bytes: 0, abandoned: 0, expired: 0 });
  later(11 * MINUTE_MS);
  assert.equal((await run()).blobs, 0, "a session that has not been heard of since may still read");
  await beat(volume, 11 * MINUTE_MS);
  assert.deepEqual(await run(), { blobs: 1, bytes: 9000, abandoned: 0, expired: 0 });
  assert.equal(objectsOf(volume).length, 1);
  const into = Buffer.alloc(9000);
  assert.equal((await volume.mount()).files.read(kept, 0, into), 9000);
  assert.deepEqual(into, content(1));
  assert.deepEqual(await check({ ledger, blobs, data: true, signal }), []);
});

test("what a client wrote and never committed goes once its session has ended", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ids = mount.verbs.reserveBlobs([{ sha256: "ab".repeat(32), bytes: 3 }]);
  assert.ok(typeof ids !== "number");
  new LocalBlobs(join(volume.dir, "blobs")).put({ id: ids[0]!, sha256: "ab".repeat(32), bytes: 3 }, [Buffer.from("abc")]);
  const { ledger, blobs, later } = collecting(volume);
  await using _ledger = ledger;
  later(60 * MINUTE_MS);
  assert.deepEqual(await collect({ ledger, blobs, graceMs: MINUTE_MS, signal }), { blobs: 0, bytes: 0, abandoned: 0, expired: 0 });
  await volume.control.endSession(mount.verbs.sessionId);
  later(60 * MINUTE_MS);
  assert.equal((await collect({ ledger, blobs, graceMs: MINUTE_MS, signal })).blobs, 1);
  assert.deepEqual(objectsOf(volume), []);
});

test("a doomed blob that something refers to after all is never deleted, whatever its count says", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.write(ino, 0, content(1));
  mount.files.fsync(ino);
  {
    using database = new DatabaseSync(join(volume.dir, "meta.sqlite"));
    database.exec("UPDATE blob SET refs = 0, state = 2, since_ms = 0");
  }
  const { ledger, blobs, later } = collecting(volume);
  await using _ledger = ledger;
  later(60 * MINUTE_MS);
  await beat(volume, 60 * MINUTE_MS);
  assert.equal((await collect({ ledger, blobs, graceMs: MINUTE_MS, signal })).blobs, 0);
  assert.deepEqual(
    (await check({ ledger, blobs, data: true, signal })).map(({ kind }) => kind),
    ["blob-references"],
  );
  await ledger.recount();
  assert.deepEqual(await check({ ledger, blobs, data: true, signal }), []);
  assert.equal(mount.files.read(ino, 0, Buffer.alloc(9000)), 9000);
});

test("faults of the store at every step end a run, and no run ever takes what is in use", async () => {
  for (let seed = 1; seed <= 3; seed++) {
    await using volume = await aLocalVolume();
    const mount = await volume.mount();
    const random = createRandom(seed);
    const model = new Map<number, Buffer>();
    const { ledger, blobs, later } = collecting(volume);
    await using _ledger = ledger;
    let failing = false;
    const faulty = faultyStore(blobs, () => failing && random.below(3) === 0);
    let failures = 0;
    for (let round = 0; round < 12; round++) {
      for (let step = 0; step < 6; step++) {
        const name = `f${random.below(8)}`;
        const found = mount.verbs.lookup(1, name);
        if (typeof found === "number") {
          const ino = aFile(mount, name);
          mount.files.write(ino, 0, content(round * 10 + step));
          assert.equal(mount.files.flush(ino), 0);
          model.set(ino, content(round * 10 + step));
        } else if (random.below(2) === 0) {
          assert.equal(mount.verbs.unlink(1, name), 0);
          model.delete(found.ino);
        } else {
          const part = content(round + step, 5000);
          mount.files.write(found.ino, 2000, part);
          assert.equal(mount.files.flush(found.ino), 0);
          part.copy(model.get(found.ino)!, 2000);
        }
      }
      mount.verbs.settle(true);
      later(20 * MINUTE_MS);
      await beat(volume, 20 * MINUTE_MS);
      failing = round % 3 !== 2;
      await collect({ ledger, blobs: faulty, graceMs: MINUTE_MS, signal }).catch((error: unknown) => {
        assert.ok(error instanceof AnaxError && error.code === "disk.io");
        failures++;
      });
      await findStrangers({ ledger, blobs: faulty, signal }, { quarantine: true }).catch((error: unknown) => {
        assert.ok(error instanceof AnaxError && error.code === "disk.io");
        failures++;
      });
    }
    assert.ok(failures > 0, `seed ${seed}: no fault was met`);
    failing = false;
    await collect({ ledger, blobs: faulty, graceMs: MINUTE_MS, signal });
    assert.deepEqual(await check({ ledger, blobs, data: true, signal }), [], `seed ${seed}`);
    const other = await volume.mount();
    for (const [ino, expected] of model) {
      const into = Buffer.alloc(expected.length);
      assert.equal(other.files.read(ino, 0, into), expected.length);
      assert.deepEqual(into, expected, `seed ${seed}`);
    }
    const { live, doomed, deleting } = await ledger.count();
    assert.deepEqual([doomed, deleting, objectsOf(volume).length], [0, 0, live]);
    assert.deepEqual(readdirSync(join(volume.dir, "blobs")).includes("quarantine"), false, "nothing of ours is ever a stranger");
  }
});

test("strangers are reported, moved aside when asked, and too many of them are taken for a sign of something else", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.write(ino, 0, content(1));
  mount.files.fsync(ino);
  const { ledger, blobs } = collecting(volume);
  await using _ledger = ledger;
  const dir = join(volume.dir, "blobs/0");
  const stranger = `${"cd".repeat(32)}-4000`;
  writeFileSync(join(dir, stranger), "not ours");
  const find = (quarantine: boolean) => findStrangers({ ledger, blobs, signal }, { quarantine });
  assert.deepEqual(await find(false), { objects: 2, strangers: 1, keys: [`0/${stranger}`], quarantined: 0 });
  assert.equal((await find(true)).quarantined, 1);
  assert.deepEqual(readdirSync(join(volume.dir, "blobs/quarantine")), [`0_${stranger}`]);
  assert.deepEqual(await find(true), { objects: 1, strangers: 0, keys: [], quarantined: 0 });
  const [live] = readdirSync(dir);
  const namesake = `${"00".repeat(32)}-${live?.split("-")[1]}`;
  writeFileSync(join(dir, namesake), "its row was lost, and its id given again");
  assert.deepEqual((await find(true)).keys, [`0/${namesake}`]);
  assert.deepEqual(readdirSync(dir), [live]);
  mkdirSync(join(volume.dir, "blobs/1"));
  for (let index = 0; index < 17; index++) writeFileSync(join(volume.dir, "blobs/1", `${"ef".repeat(32)}-${5000 + index}`), "x");
  await assert.rejects(() => find(true), { code: "volume.too-many-strangers" });
  assert.equal((await find(false)).strangers, 17);
  rmSync(join(volume.dir, "blobs/1"), { recursive: true });
});

test("a large file without a name is removed step by step", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  const ids = mount.verbs.reserveBlobs([{ sha256: "ab".repeat(32), bytes: 4096 }]);
  assert.ok(typeof ids !== "number");
  const extents = Array.from({ length: 1500 }, (_, index) => ({ position: index * 8192, length: 4096, blobId: ids[0]!, blobOffset: 0 }));
  assert.equal(typeof mount.verbs.commit(ino, { size: 1500 * 8192, mtimeMs: 0, extents }), "object");
  assert.equal(mount.verbs.unlink(1, "f"), 0);
  mount.verbs.settle(false);
  const { ledger, blobs } = collecting(volume);
  await using _ledger = ledger;
  assert.equal((await ledger.count()).nameless, 1);
  await collect({ ledger, blobs, graceMs: MINUTE_MS, signal });
  const { nameless, extents: left, doomed } = await ledger.count();
  assert.deepEqual([nameless, left, doomed], [0, 0, 1]);
  assert.equal(mount.verbs.getattr(ino), constants.errno.ENOENT);
  assert.equal(mount.verbs.statfs().usedBytes, 0);
});

/** Real blobs, where listing and deleting fail now and then: before, in the middle, or after the deed. */
function faultyStore(real: LocalBlobs, fails: () => boolean): BlobStore {
  const maybe = (): void => {
    if (fails()) throw new AnaxError("disk.io", { reason: "injected" });
  };
  return {
    put: (blob, parts) => real.put(blob, parts),
    sync: (blobs) => real.sync(blobs),
    read: (blob, offset, into) => real.read(blob, offset, into),
    inspect: (blob, look) => real.inspect(blob, look),
    quarantine: (key) => real.quarantine(key),
    async remove(blob) {
      maybe();
      await real.remove(blob);
      maybe();
    },
    async *list() {
      maybe();
      for await (const object of real.list()) {
        yield object;
        maybe();
      }
    },
    [Symbol.asyncDispose]: () => real[Symbol.asyncDispose](),
  };
}

test("a clone shares the blobs, and each of both lives on when the other changes, is collected or is gone", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "anax-clone-"));
  try {
    const volumes = new Volumes(dataDir, realClock);
    const { volume } = await volumes.create({
      name: "a",
      owner: "ann",
      capacityBytes: 0,
      inodesMax: 0,
      readOnly: false,
      onDelete: "at-purge",
      undeleteMs: 0,
      uid: 0,
      gid: 0,
      permissions: 0o755,
    });
    const write = async (uuid: string, seed: number): Promise<void> => {
      await using open = await openVolume({ dataDir, volumeUuid: uuid, sessionId: 1 });
      const found = await open.verbs.lookup(1, "f");
      const ino = typeof found === "object" ? found.ino : await created(open.verbs);
      assert.equal(await open.files.write(ino, 0, content(seed)), 0);
      assert.equal(await open.files.fsync(ino), 0);
    };
    const read = async (uuid: string): Promise<Buffer> => {
      await using open = await openVolume({ dataDir, volumeUuid: uuid, sessionId: 1 });
      const found = await open.verbs.lookup(1, "f");
      assert.ok(typeof found === "object");
      const into = Buffer.alloc(9000);
      assert.equal(await open.files.read(found.ino, 0, into), 9000);
      return into;
    };
    await write(volume.uuid, 1);
    const { volume: copy, shared } = await volumes.clone("a", { name: "b", owner: "bob", readOnly: false });
    const { volume: snapshot } = await volumes.clone("a", { name: "c", owner: "ann", readOnly: true });
    assert.deepEqual([shared, copy.epoch, copy.owner, snapshot.readOnly], [{ blobs: 1, bytes: 9000 }, 1, "bob", true]);
    await write(volume.uuid, 2);
    await write(copy.uuid, 3);
    for (const name of ["a", "b", "c"]) {
      await volumes.gc(name, { graceMs: 0, scan: false, quarantine: false });
      assert.deepEqual((await volumes.fsck(name, { data: true, repair: false })).flaws, [], name);
    }
    assert.deepEqual([await read(volume.uuid), await read(copy.uuid), await read(snapshot.uuid)], [content(2), content(3), content(1)]);
    await volumes.delete("a", { now: true, by: "ann" });
    assert.deepEqual([await read(copy.uuid), await read(snapshot.uuid)], [content(3), content(1)]);
    await assert.rejects(() => write(snapshot.uuid, 4), { name: "AssertionError" });
    await assert.rejects(() => volumes.clone("b", { name: "c", owner: "ann", readOnly: true }), { code: "volume.exists" });
  } finally {
    rmSync(dataDir, { recursive: true });
  }
});

async function created(verbs: VolumeVerbs): Promise<number> {
  const made = await verbs.create(1, "f", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
  assert.ok(typeof made === "object");
  return made.ino;
}
