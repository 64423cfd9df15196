import assert from "node:assert/strict";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { realClock, type Clock } from "../../base/clock.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import { openSqliteLedger } from "../meta/sqlite/sqlite-ledger.ts";
import { failed, type NewNode, type VolumeVerbs } from "../meta/verbs.ts";
import { openVolume } from "./open-volume.ts";
import { volumePaths } from "./volume-paths.ts";
import { Volumes } from "./volumes.ts";

const HOUR_MS = 3_600_000;
const FILE: NewNode = { kind: "file", permissions: 0o640, uid: 5, gid: 6 };
const DIRECTORY: NewNode = { kind: "directory", permissions: 0o750, uid: 5, gid: 6 };
const LARGE = Buffer.alloc(100_000, "large ");

interface Scene extends AsyncDisposable {
  readonly volumes: Volumes;
  readonly uuid: string;
  readonly meta: string;
  /** A client with a session of its own, until the scene ends or it is disposed of. */
  client(): Promise<Client>;
  later(ms: number): void;
}

class Client implements AsyncDisposable {
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
  readonly #end: () => Promise<void>;

  constructor(verbs: VolumeVerbs, files: VolumeFiles, end: () => Promise<void>) {
    this.verbs = verbs;
    this.files = files;
    this.#end = end;
  }

  async make(path: string, node: NewNode = FILE, content?: Buffer): Promise<number> {
    const made = await this.verbs.create(await this.parentOf(path), nameOf(path), node);
    assert.ok(!failed(made), path);
    if (content !== undefined) {
      assert.equal(await this.files.write(made.ino, 0, content), 0);
      assert.equal(await this.files.fsync(made.ino), 0);
    }
    await this.verbs.settle(false);
    return made.ino;
  }

  async remove(path: string, verb: "unlink" | "rmdir" = "unlink"): Promise<void> {
    assert.equal(await this.verbs[verb](await this.parentOf(path), nameOf(path)), 0, path);
    await this.verbs.settle(false);
  }

  async read(path: string): Promise<string> {
    const found = await this.verbs.lookup(await this.parentOf(path), nameOf(path));
    assert.ok(!failed(found), path);
    const into = Buffer.alloc(found.size);
    assert.equal(await this.files.read(found.ino, 0, into), found.size);
    return into.toString();
  }

  async has(path: string): Promise<boolean> {
    return !failed(await this.verbs.lookup(await this.parentOf(path), nameOf(path)));
  }

  async parentOf(path: string): Promise<number> {
    await this.verbs.settle(false); // or what others did within the last milliseconds is not seen
    let ino = 1;
    for (const name of path.split("/").slice(1, -1)) {
      const found = await this.verbs.lookup(ino, name);
      assert.ok(!failed(found), path);
      ({ ino } = found);
    }
    return ino;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end();
  }
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

async function aScene(
  options: { readonly trashMs?: number; readonly capacityBytes?: number; readonly inodesMax?: number } = {},
): Promise<Scene> {
  await using scope = new AsyncDisposableStack();
  const { path: dataDir } = scope.use(await temporaryDirectory());
  let ahead = 0;
  const clock: Clock = { ...realClock, wallMs: () => realClock.wallMs() + ahead };
  const volumes = new Volumes(dataDir, clock);
  const { volume } = await volumes.create({
    name: "v",
    owner: "ann",
    capacityBytes: 0,
    inodesMax: 0,
    readOnly: false,
    onDelete: "at-purge",
    undeleteMs: 0,
    trashMs: HOUR_MS,
    uid: 0,
    gid: 0,
    permissions: 0o755,
    ...options,
  });
  const owned = scope.move();
  return {
    volumes,
    uuid: volume.uuid,
    meta: volumePaths(dataDir, volume.uuid).meta,
    later: (ms) => void (ahead += ms),
    async client() {
      const control = await volumes.control(volume);
      const sessionId = await control.beginSession({ host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false });
      const open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId, clock });
      let ended = false;
      const client = new Client(open.verbs, open.files, async () => {
        if (ended) return;
        ended = true;
        await open[Symbol.asyncDispose]();
        await control.endSession(sessionId);
        await control[Symbol.asyncDispose]();
      });
      owned.use(client);
      return client;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function pathsIn({ volumes }: Scene, path = "/", volume = "v"): Promise<readonly string[]> {
  const paths: string[] = [];
  for await (const entry of volumes.trash(volume).list(path)) paths.push(entry.path);
  return paths.toSorted();
}

/** `gc` by the clock of the scene, which the command's own does not know. */
async function expire({ meta }: Scene, clock: Clock = realClock): Promise<number> {
  await using ledger = openSqliteLedger(meta, clock);
  let all = 0;
  for (let some = -1; some !== 0; all += some) some = await ledger.expireTrash();
  while (await ledger.removeOrphans());
  return all;
}

const ahead = (ms: number): Clock => ({ ...realClock, wallMs: () => realClock.wallMs() + ms });

async function isClean({ volumes }: Scene): Promise<void> {
  assert.deepEqual(await volumes.fsck("v", { data: true, repair: false }), { flaws: [], repaired: 0 });
}

test("a tree that was removed comes back as it was: names, content, attributes, links", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  const { verbs } = client;
  await client.make("/d", DIRECTORY);
  await client.make("/d/e", DIRECTORY);
  const large = await client.make("/d/e/large", FILE, LARGE);
  await client.make("/d/small", FILE, Buffer.from("small"));
  await client.make("/d/link", { ...FILE, kind: "symlink", target: "e/large" });
  await client.make("/d/pipe", { ...FILE, kind: "fifo" });
  assert.equal(await verbs.setxattr(large, "user.x", Buffer.from([0, 255]), 0), 0);
  for (const path of ["/d/e/large", "/d/small", "/d/link", "/d/pipe"]) await client.remove(path);
  await client.remove("/d/e", "rmdir");
  await client.remove("/d", "rmdir");
  assert.deepEqual(await pathsIn(scene), ["/d", "/d/e", "/d/e/large", "/d/link", "/d/small"], "a pipe is nothing to be restored");
  assert.deepEqual(await pathsIn(scene, "/d/e"), ["/d/e", "/d/e/large"]);
  await isClean(scene);
  const { trash, trashBytes, nameless } = await scene.volumes.stats("v");
  assert.deepEqual([trash, trashBytes, nameless], [5, 100_005, 0]);

  assert.deepEqual(await scene.volumes.trash("v").restore("/d/e/large"), { restored: 3, taken: [] }, "with the directories above it");
  assert.equal(await client.read("/d/e/large"), LARGE.toString());
  assert.deepEqual(await pathsIn(scene), ["/d/link", "/d/small"]);
  assert.deepEqual(await scene.volumes.trash("v").restore("d/"), { restored: 2, taken: [] });
  assert.equal(await client.read("/d/small"), "small");
  const restored = await verbs.lookup(await client.parentOf("/d/e/large"), "large");
  assert.ok(!failed(restored));
  assert.deepEqual([restored.ino, restored.mode, restored.uid, restored.nlink], [large, 0o100640, 5, 1]);
  assert.deepEqual(await verbs.getxattr(large, "user.x"), new Uint8Array([0, 255]));
  assert.equal(await verbs.readlink((await lookedUp(client, "/d/link")).ino), "e/large");
  assert.deepEqual([(await lookedUp(client, "/d")).nlink, (await lookedUp(client, "/d/e")).nlink], [3, 2]);
  assert.equal((await verbs.statfs()).usedInodes, 6);
  await isClean(scene);
});

async function lookedUp(client: Client, path: string): Promise<Exclude<Awaited<ReturnType<VolumeVerbs["lookup"]>>, number>> {
  const found = await client.verbs.lookup(await client.parentOf(path), nameOf(path));
  assert.ok(!failed(found), path);
  return found;
}

test("what a rename replaces can be restored beside what is there now, by path or by id", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  const versions: number[] = [];
  for (const text of ["one", "two", "three"]) {
    versions.push(await client.make("/new", FILE, Buffer.from(text)));
    assert.equal(await client.verbs.rename(1, "new", 1, "f", 0), 0);
  }
  await client.verbs.settle(false);
  const trash = scene.volumes.trash("v");
  assert.deepEqual(await pathsIn(scene), ["/f", "/f"]);
  await assert.rejects(trash.restore("/f"), { code: "volume.path-taken" });
  assert.deepEqual(await trash.restore("/f", { ino: versions[0]!, to: "/first" }), { restored: 1, taken: [] });
  assert.deepEqual(await trash.restore("/f", { to: "/second" }), { restored: 1, taken: [] });
  assert.deepEqual([await client.read("/first"), await client.read("/second"), await client.read("/f")], ["one", "two", "three"]);
  await assert.rejects(trash.restore("/f"), { code: "input.invalid" });
  await assert.rejects(trash.restore("/f", { to: "/nowhere/f" }), { code: "input.invalid" });
  assert.equal((await lookedUp(client, "/first")).ino, versions[0]);
  await isClean(scene);
});

test("a directory that exists again takes back what is not in the way; of several with one path the newest", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  for (const round of ["old", "new"]) {
    await client.make("/d", DIRECTORY);
    await client.make("/d/f", FILE, Buffer.from(round));
    await client.make(`/d/${round}`, FILE, Buffer.from(round));
    await client.remove("/d/f");
    await client.remove(`/d/${round}`);
    await client.remove("/d", "rmdir");
    scene.later(5);
  }
  await client.make("/d", DIRECTORY);
  await client.make("/d/old", FILE, Buffer.from("now"));
  await client.verbs.settle(false);
  assert.deepEqual(await scene.volumes.trash("v").restore("/d"), { restored: 2, taken: ["/d/old"] });
  assert.deepEqual([await client.read("/d/f"), await client.read("/d/new"), await client.read("/d/old")], ["new", "new", "now"]);
  assert.deepEqual(await scene.volumes.trash("v").restore("/d/old", { to: "/d/older" }), { restored: 1, taken: [] });
  assert.equal(await client.read("/d/older"), "old");
  await isClean(scene);
});

test("directories can be moved under another path, and keep what was in them", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/a", DIRECTORY);
  await client.make("/a/b", DIRECTORY);
  await client.make("/a/b/f", FILE, Buffer.from("f"));
  await client.make("/keep", DIRECTORY);
  await client.remove("/a/b/f");
  await client.remove("/a/b", "rmdir");
  assert.equal(await client.verbs.rename(1, "a", 1, "z", 0), 0);
  await client.verbs.settle(false);
  assert.deepEqual(await pathsIn(scene), ["/z/b", "/z/b/f"], "a path is that of the directory as it is called now");
  assert.deepEqual(await scene.volumes.trash("v").restore("/z/b", { to: "/keep/c" }), { restored: 2, taken: [] });
  assert.equal(await client.read("/keep/c/f"), "f");
  await isClean(scene);
});

test("what is deleted while it is open is used as before, and in the trash with what is written then", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  const ino = await client.make("/f", FILE, Buffer.from("before"));
  assert.equal(await client.files.open(ino), 0);
  await client.remove("/f");
  assert.equal(await client.has("/f"), false);
  const open = await client.verbs.getattr(ino);
  assert.ok(!failed(open));
  assert.equal(open.nlink, 0);
  assert.equal(await client.files.write(ino, 0, Buffer.from("after!")), 0);
  assert.equal(await client.files.close(ino), 0);
  await client.verbs.settle(false);
  await scene.volumes.trash("v").restore("/f");
  assert.equal(await client.read("/f"), "after!");

  // Removed from the trash while it is open: gone with the last close, and not before.
  assert.equal(await client.files.open(ino), 0);
  await client.remove("/f");
  assert.deepEqual(await scene.volumes.trash("v").empty("/f"), { removed: 1, bytes: 6 });
  assert.equal(await client.files.read(ino, 0, Buffer.alloc(6)), 6);
  assert.equal(await client.files.close(ino), 0);
  await client.verbs.settle(false);
  assert.equal(failed(await client.verbs.getattr(ino)), true);
  assert.equal((await client.verbs.statfs()).usedBytes, 0);
  await isClean(scene);
});

test("a name of several is no deletion; the last one is, with the name that it had", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  const ino = await client.make("/a", FILE, Buffer.from("x"));
  await client.make("/d", DIRECTORY);
  assert.ok(!failed(await client.verbs.link(ino, await client.parentOf("/d/b"), "b")));
  await client.remove("/a");
  assert.deepEqual(await pathsIn(scene), []);
  await client.remove("/d/b");
  assert.deepEqual(await pathsIn(scene), ["/d/b"]);
  await scene.volumes.trash("v").restore("/d/b");
  assert.equal(await client.read("/d/b"), "x");
  await isClean(scene);
});

test("the collection removes what was kept for long enough, children before their directories, and only then its blobs are free", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/d", DIRECTORY);
  await client.make("/d/f", FILE, LARGE);
  await client.remove("/d/f");
  await client.remove("/d", "rmdir");
  assert.equal((await client.verbs.statfs()).usedBytes, LARGE.length, "its bytes count while it can be restored");
  await client[Symbol.asyncDispose]();
  assert.equal((await scene.volumes.gc("v", { graceMs: 0, scan: false, quarantine: false })).collected.expired, 0);
  assert.equal(await expire(scene, ahead(HOUR_MS - 60_000)), 0);
  assert.equal((await scene.volumes.stats("v")).doomed, 0);
  assert.equal(await expire(scene, ahead(HOUR_MS + 60_000)), 2);
  const { trash, doomed, inodes } = await scene.volumes.stats("v");
  assert.deepEqual([trash, doomed, inodes], [0, 1, 1]);
  await isClean(scene);
});

test("turned off, nothing more comes in, the next collection empties it, and what was there keeps its directory until then", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/d", DIRECTORY);
  await client.make("/d/f", FILE, Buffer.from("f"));
  await client.make("/g", FILE, Buffer.from("g"));
  await client.remove("/d/f");
  assert.equal((await scene.volumes.update("v", { trashMs: 0 })).trashMs, 0);
  await client.remove("/g");
  await client.remove("/d", "rmdir");
  assert.deepEqual(await pathsIn(scene), ["/d", "/d/f"]);
  await isClean(scene);
  await client[Symbol.asyncDispose]();
  assert.equal((await scene.volumes.gc("v", { graceMs: 0, scan: false, quarantine: false })).collected.expired, 2);
  assert.deepEqual(await pathsIn(scene), []);
  await isClean(scene);
});

test("bytes in the trash count for capacity and quotas, inodes do not; restoring asks both", async () => {
  await using scene = await aScene({ capacityBytes: 150_000, inodesMax: 4 });
  const client = await scene.client();
  await client.make("/q", DIRECTORY);
  await client.make("/q/f", FILE, LARGE);
  await scene.volumes.setQuota("v", "/q", { bytesMax: 120_000, inodesMax: 1 });
  await client.remove("/q/f");
  const [quota] = await scene.volumes.quotas("v");
  assert.deepEqual([quota?.usedBytes, quota?.usedInodes], [LARGE.length, 0]);
  await scene.volumes.setQuota("v", "/q", { bytesMax: 120_000, inodesMax: 1 });
  const [again] = await scene.volumes.quotas("v");
  assert.deepEqual([again?.usedBytes, again?.usedInodes], [LARGE.length, 0], "also when it is counted anew");
  const other = await client.make("/q/g", FILE);
  assert.equal(await client.files.write(other, 0, Buffer.alloc(60_000)), constants.errno.ENOSPC);
  await client.verbs.settle(false);
  await assert.rejects(scene.volumes.trash("v").restore("/q/f"), { code: "disk.full" });
  assert.deepEqual(await scene.volumes.trash("v").restore("/q/f", { to: "/f" }), { restored: 1, taken: [] });
  const [moved] = await scene.volumes.quotas("v");
  assert.deepEqual([moved?.usedBytes, moved?.usedInodes], [0, 1], "its bytes went along");
  await isClean(scene);
});

test("a file of several directories counts in the trash where its last name was", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/d1", DIRECTORY);
  await client.make("/d2", DIRECTORY);
  const ino = await client.make("/d1/a", FILE, LARGE);
  assert.ok(!failed(await client.verbs.link(ino, await client.parentOf("/d2/b"), "b")));
  await client.verbs.settle(false);
  for (const path of ["/d1", "/d2"]) await scene.volumes.setQuota("v", path, { bytesMax: 200_000, inodesMax: 10 });
  await client.remove("/d1/a");
  await client.remove("/d2/b");
  await client.verbs.settle(false);
  const usedBytes = async () => (await scene.volumes.quotas("v")).map((quota) => quota.usedBytes);
  assert.deepEqual(await usedBytes(), [0, LARGE.length]);
  await scene.volumes.trash("v").empty("/");
  assert.deepEqual(await usedBytes(), [0, 0]);
  await isClean(scene);
});

test("a volume that may not change keeps its trash, and a copy or a dump of it has none", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/q", DIRECTORY);
  await client.make("/q/f", FILE, LARGE);
  await scene.volumes.setQuota("v", "/q", { bytesMax: 1_000_000, inodesMax: 0 });
  await client.remove("/q/f");
  await client.make("/kept", FILE, LARGE);
  await client.verbs.settle(false);
  const { volume } = await scene.volumes.clone("v", { name: "copy", owner: "ann", readOnly: true });
  assert.equal(volume.trashMs, HOUR_MS);
  assert.deepEqual(await pathsIn(scene, "/", "copy"), []);
  assert.deepEqual(await scene.volumes.fsck("copy", { data: true, repair: false }), { flaws: [], repaired: 0 });
  assert.deepEqual([(await scene.volumes.quotas("copy"))[0]?.usedBytes, (await scene.volumes.usage(volume))?.usedBytes], [0, LARGE.length]);
  const file = join(scene.volumes.dataDir, "v.dump");
  await scene.volumes.dump("v", file);

  await scene.volumes.update("v", { readOnly: true });
  await assert.rejects(scene.volumes.trash("v").restore("/q/f"), { code: "volume.wrong-state" });
  await assert.rejects(scene.volumes.trash("v").empty("/"), { code: "volume.wrong-state" });
  assert.equal(await expire(scene, ahead(2 * HOUR_MS)), 0);
  assert.deepEqual(await pathsIn(scene), ["/q/f"]);

  await using elsewhere = await temporaryDirectory();
  const other = new Volumes(elsewhere.path, realClock);
  const loaded = await other.load(file);
  assert.equal(loaded.volume.trashMs, HOUR_MS);
  await using control = await other.control(loaded.volume);
  assert.equal((await control.readFence()).trashMs, HOUR_MS);
});

test("fsck finds trash that is not kept, or has no place, and repairs what is only noted", async () => {
  await using scene = await aScene();
  const client = await scene.client();
  await client.make("/f", FILE, Buffer.from("f"));
  await client.remove("/f");
  await client[Symbol.asyncDispose]();
  {
    using database = new DatabaseSync(scene.meta, { timeout: 5000 });
    database.exec("DELETE FROM open_unlinked; INSERT INTO trash VALUES (999, 1, 'none', 0)");
  }
  const { flaws } = await scene.volumes.fsck("v", { data: false, repair: false });
  assert.deepEqual(flaws.map(({ kind }) => kind).toSorted(), ["inode-without-entry", "trash-entry", "trash-entry"]);
  assert.deepEqual((await scene.volumes.fsck("v", { data: false, repair: true })).flaws, []);
  const trash = scene.volumes.trash("v");
  assert.deepEqual(await trash.restore("/f"), { restored: 1, taken: [] });

  await using second = await scene.client();
  await second.remove("/f");
  {
    using database = new DatabaseSync(scene.meta, { timeout: 5000 });
    database.exec("UPDATE trash SET parent = 998");
  }
  const [lost] = (await scene.volumes.fsck("v", { data: false, repair: true })).flaws;
  assert.deepEqual([lost?.kind, lost?.found], ["trash-place", 998]);
  assert.deepEqual(await pathsIn(scene), ["/#998/f"]);
  assert.deepEqual(await trash.restore("/#998/f", { to: "/f" }), { restored: 1, taken: [] });
  await isClean(scene);
});

test("metadata of the version before there was a trash are taken over", async () => {
  await using scene = await aScene({ trashMs: 0 });
  {
    using database = new DatabaseSync(scene.meta, { timeout: 5000 });
    database.exec(
      "DROP TABLE trash; ALTER TABLE volume DROP COLUMN trash_ms; DROP TABLE lease; ALTER TABLE session DROP COLUMN acknowledged; PRAGMA user_version = 1",
    );
  }
  const client = await scene.client();
  await client.make("/f");
  await scene.volumes.update("v", { trashMs: HOUR_MS });
  await client.remove("/f");
  assert.deepEqual(await pathsIn(scene), ["/f"]);
});
