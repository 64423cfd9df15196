import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { BUCKET, startS3Bucket, type S3Bucket } from "../../../test/kit/s3-bucket.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { realClock } from "../../base/clock.ts";
import type { AnaxError } from "../../base/errors.ts";
import { s3DataOf, type VolumeData } from "../data/volume-data.ts";
import { failed, ROOT_INO, type NewNode, type VolumeVerbs } from "../meta/verbs.ts";
import type { ChangingStart } from "../../../test/kit/changing-worker.ts";
import { openVolume, type OpenVolume } from "./open-volume.ts";
import { volumesDir } from "./volume-paths.ts";
import { Volumes } from "./volumes.ts";

const FILE: NewNode = { kind: "file", permissions: 0o640, uid: 5, gid: 6 };
const CONTENT = Buffer.alloc(100_000, "content ");
/** At what another call has begun, each a turn of the event loop. */
const LOOKS_MAX = 100_000;
const NEW = { owner: "ann", capacityBytes: 0, inodesMax: 0, readOnly: false, onDelete: "detach-now", undeleteMs: 0 } as const;
const ROOT = { uid: 0, gid: 0, permissions: 0o755 };

/** What becomes of a volume when it is copied, or its metadata go elsewhere. `meta` is the URL of the engine; undefined: SQLite. The machine has credentials of the bucket. */
export function copiesConformance(engine: string, meta: () => string | undefined): void {
  const scenario = (title: string, run: (one: Scene) => Promise<void>): void =>
    void test(`${engine}: ${title}`, async () => {
      await using dir = await temporaryDirectory();
      await using bucket = await startS3Bucket();
      const machine = (name: string): Volumes => {
        mkdirSync(join(dir.path, name), { recursive: true });
        return new Volumes(join(dir.path, name), realClock);
      };
      const data = s3DataOf({ url: `s3://${BUCKET}/p`, endpoint: bucket.endpoint });
      const url = meta();
      const volumes = machine("one");
      const create = async (name: string, place?: VolumeData): Promise<string> =>
        (await volumes.create({ ...NEW, ...ROOT, name, ...(place && { data: place }), ...(url !== undefined && { meta: url }) })).volume
          .uuid;
      await run({ volumes, bucket, data, url, machine, create, file: join(dir.path, "dump") });
    });

  for (const where of ["directory", "bucket"] as const)
    scenario(`copies of a volume whose content is in a ${where} have what it had at one moment, while a client changes it`, async (one) => {
      const { volumes, create, data } = one;
      const uuid = await create("v", where === "bucket" ? data : undefined);
      const address = volumes.metaAddress(volumes.get("v"));
      {
        await using client = await clientOf(volumes, uuid);
        await write(client, "kept", CONTENT);
      }
      await using writer = await changing(volumes, uuid);
      const copies: string[] = [];
      for (let round = 0; round < 3; round++) {
        const [name, readOnly] = [`copy-${round}`, round === 1];
        const { volume, shared } = await volumes.clone("v", { name, owner: "bob", readOnly });
        assert.deepEqual([volume.readOnly, volume.owner, volume.state, volume.epoch], [readOnly, "bob", "active", 1]);
        assert.ok(shared.blobs >= 1);
        assert.equal(volumes.metaAddress(volume), address);
        copies.push(name);
      }
      await writer[Symbol.asyncDispose]();
      await volumes.setQuota("v", "/", { bytesMax: 2 ** 40, inodesMax: 0 });
      await volumes.delete("v", { now: true, by: "ann" });
      for (const name of copies) {
        assert.deepEqual((await volumes.fsck(name, { data: true, repair: false })).flaws, [], name);
        await using copy = await clientOf(volumes, volumes.get(name).uuid);
        assert.deepEqual(await read(copy, "kept"), CONTENT);
        await assertOneMoment(copy.verbs);
        if (!volumes.get(name).readOnly) await write(copy, "new", Buffer.from("new"));
        else assert.ok(failed(await copy.verbs.create(ROOT_INO, "new", FILE)));
      }
      await volumes.delete(copies[0]!, { now: true, by: "ann" }); // there are three
      assert.deepEqual((await volumes.fsck(copies[2]!, { data: true, repair: false })).flaws, []);
    });

  scenario("a copy has its metadata in another engine, where that is wanted, and can come back", async ({ volumes, url, create }) => {
    const uuid = await create("v");
    {
      await using client = await clientOf(volumes, uuid);
      await write(client, "f", CONTENT);
    }
    await volumes.clone("v", { name: "here", owner: "bob", readOnly: false, meta: "sqlite" });
    const { volume } = await volumes.clone("here", { name: "there", owner: "bob", readOnly: false, meta: url ?? "sqlite" });
    assert.equal(volumes.metaAddress(volumes.get("here")), "sqlite");
    assert.equal(volumes.metaAddress(volume), volumes.metaAddress(volumes.get("v")));
    for (const name of ["here", "there"]) {
      assert.deepEqual((await volumes.fsck(name, { data: true, repair: false })).flaws, []);
      await using client = await clientOf(volumes, volumes.get(name).uuid);
      assert.deepEqual(await read(client, "f"), CONTENT);
      await write(client, "g", CONTENT);
    }
    await assert.rejects(volumes.clone("v", { name: "x", owner: "bob", readOnly: false, meta: "nothing://" }), { code: "config.invalid" });
    assert.equal(volumes.find("x"), undefined);
  });

  scenario("a copy whose name is taken meanwhile leaves nothing", async ({ volumes, bucket, url, data, create }) => {
    const uuid = await create("v", data);
    {
      await using client = await clientOf(volumes, uuid);
      await write(client, "f", CONTENT);
    }
    const there = (): readonly string[] => readdirSync(volumesDir(volumes.dataDir)).filter((name) => /^[0-9a-f-]{36}$/.test(name));
    const cloning = volumes.clone("v", { name: "copy", owner: "bob", readOnly: false });
    let added: string | undefined;
    for (let look = 0; added === undefined && look < LOOKS_MAX; look++) {
      await new Promise((resolve) => setImmediate(resolve));
      added = there().find((name) => name !== uuid);
    }
    const [copy, other] = await Promise.allSettled([cloning, volumes.create({ ...NEW, ...ROOT, name: "copy" })]);
    assert.notEqual(copy.status, other.status);
    if (copy.status === "fulfilled") return; // it was the other's turn to find it taken
    assert.equal((copy.reason as AnaxError).code, "volume.exists");
    assert.deepEqual(
      there().toSorted(),
      volumes
        .list()
        .map((volume) => volume.uuid)
        .toSorted(),
    );
    const uuids = new Set([...bucket.objects.keys()].map((key) => key.split("/")[1]));
    assert.deepEqual([...uuids], [uuid]);
    if (url !== undefined && added !== undefined) await assert.rejects(volumes.attach(added, { meta: url }), { code: "volume.not-exist" });
  });

  scenario("a dump from anywhere is loaded here, used, and loaded into SQLite again", async ({ volumes, url, machine, data, file }) => {
    const { volume } = await volumes.create({ ...NEW, ...ROOT, name: "v", data, trashMs: 5000, capacityBytes: 10_000_000 });
    {
      await using client = await clientOf(volumes, volume.uuid);
      await write(client, "f", CONTENT);
    }
    await volumes.setQuota("v", "/", { bytesMax: 1_000_000, inodesMax: 0 });
    await volumes.dump("v", file);
    const stats = await volumes.stats("v");
    const here = machine("two");
    const { volume: loaded } = await here.load(file, "w", url);
    assert.deepEqual(loaded, { ...volume, name: "w" });
    assert.deepEqual(await here.stats("w"), stats);
    assert.equal((await here.quotas("w"))[0]?.bytesMax, 1_000_000);
    assert.deepEqual(await here.fsck("w", { data: true, repair: false }), { flaws: [], repaired: 0 });
    {
      await using client = await clientOf(here, volume.uuid);
      assert.deepEqual(await read(client, "f"), CONTENT);
      await write(client, "g", CONTENT);
    }
    assert.equal((await here.update("w", { capacityBytes: 20_000_000 })).epoch, 2);
    await here.dump("w", `${file}-2`);
    const back = machine("three");
    if (url !== undefined) {
      await assert.rejects(back.load(file, "x", url), { code: "volume.exists" });
      assert.deepEqual(back.list(), []);
      const { volume: attached } = await back.attach(volume.uuid, { meta: url });
      assert.equal(attached.capacityBytes, 20_000_000);
      assert.deepEqual(await back.fsck("w", { data: true, repair: false }), { flaws: [], repaired: 0 });
      rmSync(volumesDir(back.dataDir), { recursive: true });
    }
    assert.equal((await back.load(`${file}-2`)).volume.capacityBytes, 20_000_000);
    assert.equal(back.metaAddress(back.get("w")), "sqlite");
    await using client = await clientOf(back, volume.uuid);
    assert.deepEqual(await read(client, "g"), CONTENT);
    assert.deepEqual(await back.fsck("w", { data: true, repair: false }), { flaws: [], repaired: 0 });
  });

  scenario(
    "what is loaded of a damaged dump, or to where it was deleted for good, is nothing",
    async ({ volumes, url, machine, data, file }) => {
      const { volume } = await volumes.create({ ...NEW, ...ROOT, name: "v", data });
      await volumes.dump("v", file);
      const here = machine("two");
      writeFileSync(`${file}-cut`, readFileSync(file).subarray(0, -20));
      await assert.rejects(here.load(`${file}-cut`, "v", url), { code: "disk.corrupt" });
      assert.deepEqual(here.list(), []);
      if (url !== undefined) await assert.rejects(here.attach(volume.uuid, { meta: url }), { code: "volume.not-found" });
      await here.load(file, "v", url);
      await here.delete("v", { now: true, by: "ann" });
      await assert.rejects(here.load(file, "v", url), { code: "volume.not-exist" });
      if (url === undefined) return;
      const there = machine("three");
      await assert.rejects(there.load(file, "v", url), { code: "volume.not-exist" });
      await assert.rejects(there.attach(volume.uuid, { meta: url }), { code: "volume.not-exist" });
      assert.deepEqual(there.list(), []);
    },
  );
}

interface Scene {
  /** Of a machine. */
  readonly volumes: Volumes;
  readonly bucket: S3Bucket;
  readonly data: VolumeData;
  readonly url: string | undefined;
  readonly machine: (name: string) => Volumes;
  /** With its metadata in the engine; its uuid. */
  readonly create: (name: string, data?: VolumeData) => Promise<string>;
  /** A path that nobody uses. */
  readonly file: string;
}

async function clientOf(volumes: Volumes, uuid: string): Promise<OpenVolume> {
  const control = await volumes.control(volumes.get(uuid));
  const sessionId = await control.beginSession({ host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false });
  const open = await openVolume({ dataDir: volumes.dataDir, volumeUuid: uuid, sessionId });
  let ended = false;
  return {
    ...open,
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      await open[Symbol.asyncDispose]();
      await control.endSession(sessionId);
      await control[Symbol.asyncDispose]();
    },
  };
}

async function write({ verbs, files }: OpenVolume, name: string, content: Buffer): Promise<void> {
  const made = await verbs.create(ROOT_INO, name, FILE);
  assert.ok(!failed(made));
  assert.equal(await files.write(made.ino, 0, content), 0);
  assert.equal(await files.fsync(made.ino), 0);
}

async function read({ verbs, files }: OpenVolume, name: string): Promise<Buffer> {
  const found = await verbs.lookup(ROOT_INO, name);
  assert.ok(!failed(found), name);
  const into = Buffer.alloc(found.size);
  assert.equal(await files.read(found.ino, 0, into), found.size);
  return into;
}

/** A client in a thread of its own, that changes the volume until it is disposed of: see changing-worker.ts. */
async function changing(volumes: Volumes, volumeUuid: string): Promise<AsyncDisposable> {
  const control = await volumes.control(volumes.get(volumeUuid));
  const sessionId = await control.beginSession({ host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false });
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const workerData: ChangingStart = { dataDir: volumes.dataDir, volumeUuid, sessionId, stop };
  const worker = new Worker(new URL("../../../test/kit/changing-worker.ts", import.meta.url), { workerData });
  await once(worker, "message"); // rejects with what it throws
  let ended = false;
  return {
    async [Symbol.asyncDispose]() {
      if (ended) return;
      ended = true;
      const exited = once(worker, "exit");
      Atomics.store(stop, 0, 1);
      await exited;
      await control.endSession(sessionId);
      await control[Symbol.asyncDispose]();
    },
  };
}

async function assertOneMoment(verbs: VolumeVerbs): Promise<void> {
  const entries = await verbs.readdir(ROOT_INO, 0, 1000, true);
  assert.ok(!failed(entries));
  const names = entries.map(({ name }) => name);
  assert.ok(names.filter((name) => name.startsWith("at-")).length <= 1, names.join(" "));
  const rounds = entries.filter(({ name }) => /^(first|second)-/.test(name));
  assert.ok(rounds.filter(({ attributes }) => attributes?.nlink === 1).length <= 1, names.join(" "));
  for (const { name, attributes } of rounds) {
    const namesakes = rounds.filter(({ attributes: other }) => other?.ino === attributes?.ino).length;
    assert.equal(namesakes, attributes?.nlink, name);
  }
}
