import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { BUCKET, BUCKET_ENV, startS3Bucket } from "../../../test/kit/s3-bucket.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { realClock } from "../../base/clock.ts";
import { s3DataOf } from "../data/volume-data.ts";
import { copiesConformance } from "./copies.conformance.ts";
import { openVolume } from "./open-volume.ts";
import { volumesDir } from "./volume-paths.ts";
import { Volumes } from "./volumes.ts";

Object.assign(process.env, BUCKET_ENV); // where users have them, too

copiesConformance("SQLite", () => undefined);

const CONTENT = Buffer.alloc(100_000, "content ");

/** A volume in a bucket with some of everything, and a dump of it. */
async function aDump(run: (at: { volumes: Volumes; dataDir: string; file: string; uuid: string }) => Promise<void>): Promise<void> {
  await using dir = await temporaryDirectory();
  await using bucket = await startS3Bucket();
  const dataDir = join(dir.path, "data");
  const volumes = new Volumes(dataDir, realClock);
  const { volume } = await volumes.create({
    name: "v",
    owner: "ann",
    capacityBytes: 10_000_000,
    inodesMax: 0,
    readOnly: false,
    onDelete: "at-purge",
    undeleteMs: 5000,
    uid: 0,
    gid: 0,
    permissions: 0o755,
    data: s3DataOf({ url: `s3://${BUCKET}/p`, endpoint: bucket.endpoint }),
  });
  {
    await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: 1 });
    const { verbs, files } = open;
    const node = { permissions: 0o640, uid: 5, gid: 6 };
    const made = await Promise.all([
      verbs.create(1, "large", { ...node, kind: "file" }),
      verbs.create(1, "small", { ...node, kind: "file" }),
      verbs.create(1, "\u00fc\u0001\n", { ...node, kind: "directory" }),
      verbs.create(1, "link", { ...node, kind: "symlink", target: "large" }),
    ]);
    const [large, small] = made.map((each) => (typeof each === "object" ? each.ino : assert.fail()));
    await files.write(large!, 0, CONTENT);
    await files.write(small!, 0, Buffer.from("small"));
    assert.equal(await files.fsync(large!), 0);
    assert.equal(await files.fsync(small!), 0);
    assert.equal(await verbs.setxattr(large!, "user.x", Buffer.from([0, 255, 10]), 0), 0);
  }
  await volumes.setQuota("v", "/", { bytesMax: 1_000_000, inodesMax: 0 });
  const file = join(dir.path, "v.dump");
  await volumes.dump("v", file);
  await run({ volumes, dataDir, file, uuid: volume.uuid });
}

test("a volume whose machine is gone is made anew from its dump, with all of its content", () =>
  aDump(async ({ volumes, dataDir, file, uuid }) => {
    const before = volumes.get("v");
    await assert.rejects(volumes.load(file), { code: "volume.exists" });
    const stats = await volumes.stats("v");
    rmSync(volumesDir(dataDir), { recursive: true });
    const { volume } = await volumes.load(file);
    assert.deepEqual({ ...volume, epoch: before.epoch }, before);
    assert.deepEqual(await volumes.fsck("v", { data: true, repair: false }), { flaws: [], repaired: 0 });
    assert.deepEqual(await volumes.stats("v"), stats);
    assert.equal((await volumes.quotas("v"))[0]?.bytesMax, 1_000_000);
    await using open = await openVolume({ dataDir, volumeUuid: uuid, sessionId: 1 });
    const found = await open.verbs.lookup(1, "large");
    assert.ok(typeof found === "object");
    assert.deepEqual([found.uid, found.gid, found.mode & 0o7777], [5, 6, 0o640]);
    const into = Buffer.alloc(CONTENT.length);
    assert.equal(await open.files.read(found.ino, 0, into), CONTENT.length);
    assert.ok(into.equals(CONTENT));
    assert.deepEqual(Buffer.from((await open.verbs.getxattr(found.ino, "user.x")) as Uint8Array), Buffer.from([0, 255, 10])); // no number
    assert.equal(typeof (await open.verbs.lookup(1, "\u00fc\u0001\n")), "object");
    const more = await open.verbs.create(1, "more", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
    assert.ok(typeof more === "object");
    await open.files.write(more.ino, 0, CONTENT);
    assert.equal(await open.files.fsync(more.ino), 0);
  }));

test("a dump that is cut, changed, longer, newer or something else makes nothing", () =>
  aDump(async ({ volumes, dataDir, file }) => {
    rmSync(volumesDir(dataDir), { recursive: true });
    const zipped = readFileSync(file);
    const text = gunzipSync(zipped).toString();
    const cases: readonly (readonly [string, Uint8Array])[] = [
      ["disk.corrupt", zipped.subarray(0, zipped.length - 20)],
      ["disk.corrupt", Buffer.alloc(0)],
      ["disk.corrupt", Buffer.from("no dump")],
      ["disk.corrupt", gzipSync(text.replace('"large"', '"lerge"'))],
      ["disk.corrupt", gzipSync(text.slice(0, text.lastIndexOf("\n", text.length - 2) + 1))],
      ["disk.corrupt", gzipSync(`${text}{}\n`)],
      ["disk.corrupt", gzipSync(`${text.slice(0, text.indexOf("\n") + 1)}["sqlite_schema",1]\n`)],
      ["disk.corrupt", gzipSync("x".repeat(3_000_000))],
      ["disk.newer-format", gzipSync(text.replace('"version":2', '"version":3'))],
    ];
    for (const [code, bytes] of cases) {
      writeFileSync(file, bytes);
      await assert.rejects(volumes.load(file), { code });
      assert.deepEqual(volumes.list(), []);
    }
    writeFileSync(file, zipped);
    assert.equal((await volumes.load(file, "w")).volume.name, "w");
  }));

test("a dump of version 1, which knows nothing of a trash, is loaded", () =>
  aDump(async ({ volumes, dataDir, file }) => {
    const text = gunzipSync(readFileSync(file)).toString().replace('"version":2', '"version":1').replace('"trashMs":0,', "");
    const lines = text.slice(0, text.lastIndexOf("\n", text.length - 2) + 1);
    const rows = lines.split("\n").length - 2;
    const sha256 = createHash("sha256").update(lines).digest("hex");
    writeFileSync(file, gzipSync(`${lines}${JSON.stringify({ rows, sha256 })}\n`));
    assert.doesNotMatch(lines, /trash/i);
    rmSync(volumesDir(dataDir), { recursive: true });
    assert.equal((await volumes.load(file)).volume.trashMs, 0);
  }));

test("what was deleted for good is not brought back, and a dump that fails leaves no file", () =>
  aDump(async ({ volumes, file }) => {
    await assert.rejects(volumes.dump("v", join(file, "x")), { code: "disk.io" });
    await volumes.delete("v", { now: true, by: "ann" });
    await assert.rejects(volumes.load(file), { code: "volume.not-exist" });
    assert.ok(existsSync(file));
  }));
