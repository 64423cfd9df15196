import assert from "node:assert/strict";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BUCKET, BUCKET_ENV, startS3Bucket, type S3Bucket } from "../../../test/kit/s3-bucket.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { realClock } from "../../base/clock.ts";
import { s3DataOf, type S3DataOptions } from "../data/volume-data.ts";
import { blobIdOf } from "../data/blob-store.ts";
import { openVolume, type OpenVolume } from "./open-volume.ts";
import { volumePaths } from "./volume-paths.ts";
import { Volumes } from "./volumes.ts";

Object.assign(process.env, BUCKET_ENV); // where users have them, too

const MIB = 1024 * 1024;

const NEW_VOLUME = {
  name: "v",
  owner: "ann",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  onDelete: "detach-now",
  undeleteMs: 0,
  uid: 0,
  gid: 0,
  permissions: 0o755,
} as const;

interface Place extends AsyncDisposable {
  readonly bucket: S3Bucket;
  readonly volumes: Volumes;
  readonly uuid: string;
  /** A client of the volume, as a mount's worker is. */
  open(): Promise<OpenVolume>;
  /** Keys of blobs. */
  blobs(): readonly string[];
}

async function aRemoteVolume(more: Partial<S3DataOptions> = {}): Promise<Place> {
  await using scope = new AsyncDisposableStack();
  const { path: dataDir } = scope.use(await temporaryDirectory());
  const bucket = scope.use(await startS3Bucket({ pageEntriesMax: 3 }));
  const volumes = new Volumes(dataDir, realClock);
  const { volume } = await volumes.create({
    ...NEW_VOLUME,
    data: s3DataOf({ url: `s3://${BUCKET}/p`, endpoint: bucket.endpoint, ...more }),
  });
  const control = scope.use(await volumes.control(volume));
  const owned = scope.move();
  return {
    bucket,
    volumes,
    uuid: volume.uuid,
    async open() {
      const sessionId = await control.beginSession({ host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false });
      const open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId });
      const { verbs, files, leases } = open;
      return {
        verbs,
        files,
        leases,
        get backlogBytes() {
          return open.backlogBytes;
        },
        async [Symbol.asyncDispose]() {
          await open[Symbol.asyncDispose]();
          await control.endSession(sessionId);
        },
      };
    },
    blobs: () => [...bucket.objects.keys()].filter((key) => blobIdOf(key.split("/").at(-1)!) !== undefined), // split gives at least one
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function aFileIn({ verbs }: OpenVolume, name: string): Promise<number> {
  const made = await verbs.create(1, name, { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
  assert.ok(typeof made === "object");
  return made.ino;
}

const pattern = (length: number, seed: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 7 + seed) % 251));

async function contentOf({ files }: OpenVolume, ino: number, length: number): Promise<Buffer> {
  const into = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const count = await files.read(ino, done, into.subarray(done, Math.min(length, done + MIB)));
    assert.ok(count > 0, `errno ${-count}`);
    done += count;
  }
  return into;
}

test("what is flushed is in the bucket, byte for byte, and read from there where nothing is kept", async () => {
  await using place = await aRemoteVolume();
  const content = pattern(9 * MIB + 77, 3);
  let ino: number;
  {
    await using one = await place.open();
    ino = await aFileIn(one, "f");
    await one.files.open(ino);
    for (let at = 0; at < content.length; at += MIB) assert.equal(await one.files.write(ino, at, content.subarray(at, at + MIB)), 0);
    assert.ok((await contentOf(one, ino, content.length)).equals(content), "before it is committed");
    assert.equal(await one.files.flush(ino), 0);
    assert.equal(place.blobs().length, 3);
    assert.equal(place.bucket.requests.filter(({ method }) => method === "GET").length, 0, "what was written here is kept here");
    assert.ok((await contentOf(one, ino, content.length)).equals(content));
  }
  const { cache } = volumePaths(place.volumes.dataDir, place.uuid);
  rmSync(cache, { recursive: true });
  {
    await using other = await place.open();
    assert.ok((await contentOf(other, ino, content.length)).equals(content));
    assert.equal(place.bucket.requests.filter(({ method, key }) => method === "GET" && key !== "").length, 3, "each blob once");
    assert.ok((await contentOf(other, ino, content.length)).equals(content));
    assert.equal(place.bucket.requests.filter(({ method, key }) => method === "GET" && key !== "").length, 3);
  }
  assert.deepEqual(await place.volumes.fsck("v", { data: true, repair: false }), { flaws: [], repaired: 0 });
});

test("nothing is committed while the bucket does not have it, and a store that comes back is enough", async () => {
  await using place = await aRemoteVolume();
  await using one = await place.open();
  await using other = await place.open();
  const ino = await aFileIn(one, "f");
  await one.verbs.settle(true);
  const sizeThere = async (): Promise<number> => {
    const found = await other.verbs.getattr(ino);
    assert.ok(typeof found === "object");
    return found.size;
  };
  await one.files.open(ino);
  assert.equal(await one.files.write(ino, 0, pattern(100_000, 1)), 0);
  for (const fault of [503, 403, "reset"] as const) {
    place.bucket.fault = () => fault;
    await assert.rejects(async () => one.files.flush(ino), { code: "volume.unreachable" }, String(fault));
    assert.equal(await sizeThere(), 0);
    assert.equal(one.files.unwritten().bytes, 100_000, "it is still to be written");
  }
  assert.equal(await one.files.write(ino, 100_000, pattern(50_000, 2)), 0, "who writes goes on");
  place.bucket.fault = undefined;
  let outcome: number | undefined;
  for (let attempt = 0; outcome === undefined && attempt < 20; attempt++)
    outcome = await Promise.resolve(one.files.fsync(ino)).catch(() => undefined); // as the kernel's request is tried again
  assert.equal(outcome, 0);
  assert.equal(await sizeThere(), 150_000);
});

test("content that is damaged or missing in the bucket is EIO, and a damaged copy in the cache is fetched again", async () => {
  await using place = await aRemoteVolume();
  const content = pattern(200_000, 5);
  await using one = await place.open();
  const ino = await aFileIn(one, "f");
  await one.files.open(ino);
  await one.files.write(ino, 0, content);
  assert.equal(await one.files.fsync(ino), 0);
  const { cache } = volumePaths(place.volumes.dataDir, place.uuid);
  const cached = readdirSync(cache, { recursive: true, encoding: "utf8" }).find((name) => blobIdOf(name.split("/").at(-1)!) !== undefined)!; // it was written
  writeFileSync(join(cache, cached), Buffer.alloc(200_000));
  {
    await using other = await place.open();
    assert.ok((await contentOf(other, ino, content.length)).equals(content));
  }
  writeFileSync(join(cache, cached), Buffer.alloc(200_000));
  const [key] = place.blobs();
  for (const bad of [Buffer.alloc(200_000), undefined]) {
    if (bad === undefined) place.bucket.objects.delete(key!);
    else place.bucket.objects.set(key!, bad); // there is one
    await using other = await place.open();
    assert.equal(await other.files.read(ino, 0, Buffer.alloc(10)), -constants.errno.EIO);
    const { flaws } = await place.volumes.fsck("v", { data: true, repair: false });
    assert.deepEqual(
      flaws.map(({ kind }) => kind),
      [bad === undefined ? "blob-missing" : "blob-damaged"],
    );
  }
});

test("durability local: committed at once, uploaded later, also what a process left that died", async () => {
  await using place = await aRemoteVolume({ durability: "local" });
  const content = pattern(5 * MIB, 9);
  let ino: number;
  place.bucket.fault = ({ method }) => (method === "PUT" ? 503 : undefined);
  {
    await using one = await place.open();
    ino = await aFileIn(one, "f");
    await one.files.open(ino);
    await one.files.write(ino, 0, content);
    assert.equal(await one.files.fsync(ino), 0);
    await using other = await place.open();
    assert.ok((await contentOf(other, ino, content.length)).equals(content), "others on this machine read it before the bucket has it");
  }
  assert.deepEqual(place.blobs(), []);
  assert.deepEqual((await place.volumes.fsck("v", { data: true, repair: false })).flaws, [], "what waits here is not lost");
  place.bucket.fault = undefined;
  await using next = await place.open();
  while (place.blobs().length < 2) await realClock.sleep(20);
  assert.ok((await contentOf(next, ino, content.length)).equals(content));
});

test("a backlog that is full makes writers wait, and goes on when there is room", async () => {
  await using place = await aRemoteVolume({ durability: "local", backlogBytesMax: 1 });
  await using one = await place.open();
  const ino = await aFileIn(one, "f");
  await one.files.open(ino);
  let stopped = true;
  place.bucket.fault = ({ method }) => (stopped && method === "PUT" ? 503 : undefined);
  const part = pattern(4 * MIB, 1);
  const writing = (async () => {
    for (let index = 0; index < 20; index++) assert.equal(await one.files.write(ino, index * part.length, part), 0);
    return "written";
  })();
  assert.equal(await Promise.race([writing, realClock.sleep(1500)]), undefined, "64 MiB are the most that wait");
  stopped = false;
  assert.equal(await writing, "written");
  assert.equal(await one.files.fsync(ino), 0);
});

test("what the ledger names is deleted, strangers are moved aside, and a list that fails moves nothing", async () => {
  await using place = await aRemoteVolume();
  const collect = (quarantine: boolean) => place.volumes.gc("v", { graceMs: 0, scan: true, quarantine });
  {
    await using one = await place.open();
    for (const name of ["a", "b", "c", "d", "e"]) {
      const ino = await aFileIn(one, name);
      await one.files.open(ino);
      await one.files.write(ino, 0, pattern(10_000, name.charCodeAt(0)));
      assert.equal(await one.files.flush(ino), 0);
      await one.files.close(ino);
    }
    await one.verbs.unlink(1, "a");
  }
  const stranger = `p/${place.uuid}/blobs/9/stranger`;
  place.bucket.objects.set(stranger, Buffer.from("x"));
  const keysBefore = place.blobs().length;
  place.bucket.fault = ({ method, key }) => (method === "DELETE" || key === "" ? 500 : undefined);
  await assert.rejects(collect(true), { code: "volume.unreachable" });
  assert.equal(place.blobs().length, keysBefore);
  let pages = 0;
  place.bucket.fault = ({ key }) => (key === "" && ++pages > 1 ? 500 : undefined);
  await assert.rejects(collect(true), { code: "volume.unreachable" });
  assert.equal(place.blobs().length, keysBefore - 1, "what the ledger names was deleted");
  assert.ok(place.bucket.objects.has(stranger));
  place.bucket.fault = undefined;
  assert.deepEqual((await collect(true)).strangers?.keys, ["9/stranger"]);
  assert.deepEqual([place.bucket.objects.has(stranger), place.bucket.objects.has(`p/${place.uuid}/quarantine/9/stranger`)], [false, true]);
  assert.ok(place.bucket.busiest <= 64);
});

test("a clone has blobs of its own, and a purge removes what its ledger names and nothing else", async () => {
  await using place = await aRemoteVolume({ durability: "local" });
  const content = pattern(MIB, 4);
  let ino: number;
  place.bucket.fault = ({ method }) => (method === "PUT" ? 503 : undefined);
  {
    await using one = await place.open();
    ino = await aFileIn(one, "f");
    await one.files.open(ino);
    await one.files.write(ino, 0, content);
    assert.equal(await one.files.fsync(ino), 0);
  }
  place.bucket.fault = undefined;
  const { volume, shared } = await place.volumes.clone("v", { name: "w", owner: "ann", readOnly: false });
  assert.deepEqual(shared, { blobs: 1, bytes: MIB });
  place.bucket.objects.set(`p/${place.uuid}/blobs/0/stranger`, Buffer.from("x"));
  place.bucket.fault = ({ method }) => (method === "DELETE" ? 503 : undefined);
  await assert.rejects(place.volumes.delete("v", { now: true, by: "ann" }), { code: "volume.unreachable" });
  place.bucket.fault = undefined;
  assert.equal((await place.volumes.purge(place.uuid, { force: false })).state, "deleted");
  assert.deepEqual(
    [...place.bucket.objects.keys()].filter((key) => key.includes(place.uuid)),
    [`p/${place.uuid}/blobs/0/stranger`],
  );
  assert.equal(existsSync(volumePaths(place.volumes.dataDir, place.uuid).dir), false);
  assert.deepEqual((await place.volumes.fsck("w", { data: true, repair: false })).flaws, []);
  await using clone = await openVolume({ dataDir: place.volumes.dataDir, volumeUuid: volume.uuid, sessionId: 1 });
  assert.ok((await contentOf(clone, ino, MIB)).equals(content));
});

test("peers are switched on and off, and for content in a bucket only", async () => {
  await using place = await aRemoteVolume();
  const { volumes } = place;
  const peersNow = (): unknown => (volumes.get("v").data as { readonly peers?: boolean }).peers; // of a bucket
  assert.equal(peersNow(), false);
  await volumes.update("v", { peers: true });
  assert.equal(peersNow(), true);
  await volumes.update("v", { owner: "bob" });
  assert.equal(peersNow(), true);
  await volumes.create({ ...NEW_VOLUME, name: "local" });
  await assert.rejects(volumes.update("local", { peers: true }), { code: "input.invalid" });
});

test("a bucket in which nobody may write makes no volume", async () => {
  await using dir = await temporaryDirectory();
  await using bucket = await startS3Bucket();
  bucket.fault = () => 403;
  const volumes = new Volumes(dir.path, realClock);
  const data = s3DataOf({ url: `s3://${BUCKET}`, endpoint: bucket.endpoint });
  await assert.rejects(volumes.create({ ...NEW_VOLUME, data }), { code: "volume.unreachable" });
  assert.deepEqual(volumes.list(), []);
});
