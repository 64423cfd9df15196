import assert from "node:assert/strict";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { s3DataOf } from "../../src/volume/data/volume-data.ts";
import { volumePaths } from "../../src/volume/lifecycle/volume-paths.ts";
import { runAnax } from "../kit/anax.ts";
import { aVolumePlace, unmountable, VOLUME, type VolumePlace } from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";
import { BUCKET, BUCKET_ENV, BUCKET_KEYS } from "../kit/s3-bucket.ts";
import { startBucketServer, type BucketServer } from "../kit/s3-bucket-server.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { randomOperations } from "../volume/random-operations.ts";

const skip = unmountable() ?? false;
const FSYNC_LATE_MS = 60_000;

Object.assign(process.env, BUCKET_ENV); // mounts and commands inherit it

const content = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, "utf8") : undefined);

test("volume create --data makes one in a bucket, whose credentials are stored nowhere", async () => {
  await using dir = await temporaryDirectory();
  await using bucket = await startBucketServer();
  const dataDir = join(dir.path, "data");
  const volume = (...args: readonly string[]) => runAnax(["volume", ...args, "--data-dir", dataDir, "--json"]);
  const made = await volume("create", "v", "--data", `s3://${BUCKET}/x`, "--endpoint", bucket.endpoint, "--cache", "1GiB");
  assert.equal(made.code, 0, made.stderr);
  const { data, uuid } = JSON.parse((await volume("info", "v")).stdout) as { data: Record<string, unknown>; uuid: string };
  assert.deepEqual(data, {
    kind: "s3",
    bucket: BUCKET,
    prefix: "x/",
    endpoint: bucket.endpoint,
    region: "us-east-1",
    durability: "remote",
    cacheBytesMax: 2 ** 30,
    backlogBytesMax: 2 ** 30,
    peers: false,
  });
  assert.equal((await volume("fsck", "v", "--data")).code, 0);
  const { meta } = volumePaths(dataDir, uuid);
  for (const path of [join(dataDir, "volumes/catalog.sqlite"), join(dataDir, "volumes/catalog.sqlite-wal"), meta])
    assert.ok(!(content(path) ?? "").includes(`"${BUCKET_KEYS.accessKeySecret}"`));
  for (const wrong of [
    ["--endpoint", "http://x"],
    ["--data", "/a/folder"],
    ["--data", `s3://${BUCKET}`, "--endpoint", "http://AK:SK@x"],
  ])
    assert.equal((await volume("create", "w", ...wrong)).code, 2, wrong.join(" "));
  const elsewhere = await volume("create", "w", "--data", "s3://nobodys", "--endpoint", bucket.endpoint);
  assert.deepEqual([elsewhere.code, (JSON.parse(elsewhere.stderr) as { error: { code: string } }).error.code], [3, "volume.unreachable"]);
  assert.equal((await volume("delete", "v", "--yes", "--now")).code, 0);
});

for (const durability of ["remote", "local"] as const)
  describe(`a mounted volume in a bucket, durability ${durability}`, { skip }, () => {
    const scope = new AsyncDisposableStack();
    let bucket: BucketServer;
    let place: VolumePlace;
    before(async () => {
      bucket = scope.use(await startBucketServer());
      const data = s3DataOf({ url: `s3://${BUCKET}/some/where`, endpoint: bucket.endpoint, durability });
      place = scope.use(await aVolumePlace("detach-now", data));
    });
    after(() => scope.disposeAsync());

    test("behaves like a folder while every fifth request fails, and has everything when this machine has kept nothing", async () => {
      await using reference = await temporaryDirectory();
      const copy = join(reference.path, "copy");
      mkdirSync(copy);
      {
        await using mount = await place.mount();
        await bucket.order({ fault: 503, every: 5 });
        await randomOperations({ dir: mount.dir, reference: copy, seed: 5, operations: 250 });
        await bucket.order({});
      }
      const { cache, staged } = volumePaths(place.dataDir, place.volumes.get(VOLUME).uuid);
      if (durability === "remote") for (const dir of [cache, staged]) rmSync(dir, { recursive: true, force: true });
      await using mount = await place.mount();
      // Nothing more is done to either: all content, names and attributes are compared.
      await randomOperations({ dir: mount.dir, reference: copy, seed: 6, operations: 1 });
      assert.deepEqual(await place.volumes.fsck(VOLUME, { data: true, repair: false }), { flaws: [], repaired: 0 });
      assert.equal((await place.volumes.gc(VOLUME, { graceMs: 0, scan: true, quarantine: false })).strangers?.strangers, 0);
    });

    test("what fsync confirmed outlives a kill of the mount process", async () => {
      await using mount = await place.mount();
      const path = join(mount.dir, "synced");
      const fd = openSync(path, "w");
      writeSync(fd, "s".repeat(100_000));
      fsyncSync(fd);
      const pid = mount.mountPid();
      process.kill(pid, "SIGKILL");
      await waitFor(async () => {
        try {
          return mount.mountPid() !== pid && content(path) === "s".repeat(100_000);
        } catch {
          return false; // not mounted again yet
        }
      });
      assert.throws(() => closeSync(fd), { code: "ENOTCONN" });
    });
  });

describe("a store that does not answer", { skip }, () => {
  test("fails what waits for it after the operation's time, ends no mount, and is all well again when it is back", async () => {
    await using bucket = await startBucketServer();
    await using place = await aVolumePlace("detach-now", s3DataOf({ url: `s3://${BUCKET}`, endpoint: bucket.endpoint }));
    await using mount = await place.mount(["-o", "operation_timeout=1s"]);
    const path = join(mount.dir, "f");
    writeFileSync(join(mount.dir, "before"), "b".repeat(10_000));
    for (const fault of ["reset", 403] as const) {
      await bucket.order({ fault });
      const fd = openSync(path, "w");
      writeSync(fd, "w".repeat(50_000));
      const startedMs = performance.now();
      assert.throws(() => fsyncSync(fd), { code: "EIO" });
      assert.ok(performance.now() - startedMs < FSYNC_LATE_MS);
      assert.equal(content(join(mount.dir, "before")), "b".repeat(10_000), "what lies here is read");
      await mkdir(join(mount.dir, `names-${fault}`)); // and names can be changed
      await bucket.order({});
      await waitFor(async () => {
        try {
          fsyncSync(fd);
          return true;
        } catch {
          return false;
        }
      });
      closeSync(fd);
      assert.equal(content(path), "w".repeat(50_000));
    }
    assert.match(mount.log(), /mount\.fault/);
    assert.match(mount.log(), /mount\.recovered/);
  });
});
