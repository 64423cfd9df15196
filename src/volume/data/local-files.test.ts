import assert from "node:assert/strict";
import { readdirSync, rmSync, truncateSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { BLOB_BYTES_MAX, CHUNK_BYTES } from "../meta/extents.ts";
import { aFile, aLocalVolume, type LocalMount } from "./local-volume-fixture.ts";

const { EDQUOT, EIO, ENOENT, ENOSPC, ENXIO, EROFS } = constants.errno;

/** Content that is told apart at every place. */
const pattern = (length: number, seed: number): Buffer => Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 7 + seed) % 251));

function contentOf({ files }: LocalMount, ino: number, offset: number, length: number): Buffer {
  const into = Buffer.alloc(length, 0xee);
  const count = files.read(ino, offset, into);
  assert.ok(count >= 0, `errno ${-count}`);
  return into.subarray(0, count);
}

test("random writes, cuts and holes read like a file in memory, before and after commits, here and in another mount", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    await using volume = await aLocalVolume();
    const mount = await volume.mount({ bufferBytesMax: seed % 3 === 0 ? 4096 : 1 << 20 });
    const ino = aFile(mount);
    mount.files.open(ino);
    const random = createRandom(seed);
    const base = [0, 0, BLOB_BYTES_MAX - 3000, CHUNK_BYTES - 3000][seed % 4]!;
    const span = seed % 2 === 0 ? 3000 : 12_000;
    let model = Buffer.alloc(0);
    if (base > 0) {
      mount.files.setattr(ino, { size: base });
    }
    for (let step = 0; step < 120; step++) {
      const from = random.below(span);
      const length = 1 + random.below(2000);
      const action = random.below(12);
      if (action < 6) {
        const bytes = pattern(length, step);
        assert.equal(mount.files.write(ino, base + from, bytes), 0);
        if (model.length < from + length) model = Buffer.concat([model, Buffer.alloc(from + length - model.length)]);
        bytes.copy(model, from);
      } else if (action === 6) {
        assert.equal(typeof mount.files.setattr(ino, { size: base + from }), "object");
        model = from < model.length ? Buffer.from(model.subarray(0, from)) : Buffer.concat([model, Buffer.alloc(from - model.length)]);
      } else if (action === 7) {
        assert.equal(mount.files.fallocate(ino, base + from, length, 3), 0);
        model.subarray(from, from + length).fill(0);
      } else if (action === 8) assert.equal(mount.files.flush(ino), 0);
      else if (action === 9) assert.equal(mount.files.writeBack(0), 0);
      const probe = random.below(span);
      assert.deepEqual(contentOf(mount, ino, base + probe, 1500), model.subarray(probe, probe + 1500), `seed ${seed} step ${step}`);
      const attributes = mount.verbs.getattr(ino);
      assert.ok(typeof attributes === "object");
      assert.equal(mount.files.current(attributes).size, base + model.length, `seed ${seed} step ${step}`);
    }
    assert.equal(mount.files.fsync(ino), 0);
    const other = await volume.mount();
    assert.deepEqual(contentOf(other, ino, base, span + 5000), model);
    assert.ok(
      contentOf(other, ino, 0, 2000)
        .subarray(0, Math.min(2000, base))
        .every((byte) => byte === 0),
    );
  }
});

test("writing in order makes whole blobs, each once", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  const part = pattern(1 << 20, 3);
  for (let index = 0; index < 9; index++) assert.equal(mount.files.write(ino, index << 20, part), 0);
  assert.equal(mount.files.fsync(ino), 0);
  const map = mount.verbs.extents(ino, 0, 9 << 20);
  assert.ok(typeof map === "object");
  assert.deepEqual(
    map.extents.map(({ position, length, blob }) => [position, length, blob.bytes]),
    [
      [0, BLOB_BYTES_MAX, BLOB_BYTES_MAX],
      [BLOB_BYTES_MAX, BLOB_BYTES_MAX, BLOB_BYTES_MAX],
      [2 * BLOB_BYTES_MAX, 1 << 20, 1 << 20],
    ],
  );
  assert.deepEqual(contentOf(mount, ino, (3 << 20) + 5, 1 << 20), Buffer.concat([part.subarray(5), part.subarray(0, 5)]));
});

test("slots that writes across their borders fill are stored as they fill", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  const part = pattern(1 << 20, 3);
  mount.files.write(ino, 0, part.subarray(0, 1000));
  for (let index = 0; index < 9; index++) assert.equal(mount.files.write(ino, 1000 + (index << 20), part), 0);
  assert.ok(readdirSync(join(volume.dir, "blobs"), { recursive: true }).length >= 3, "a directory and two blobs");
  assert.equal(mount.files.flush(ino), 0);
  assert.deepEqual(contentOf(mount, ino, 1000 + (3 << 20), 1 << 20), part);
});

test("a small file needs no blob, and many small writes share one", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const small = aFile(mount, "small");
  mount.files.write(small, 0, pattern(4096, 1));
  assert.equal(mount.files.close(small), 0);
  const scattered = aFile(mount, "scattered");
  for (let index = 0; index < 50; index++) mount.files.write(scattered, index * 10_000, pattern(100, index));
  assert.equal(mount.files.flush(scattered), 0);
  const map = mount.verbs.extents(scattered, 0, 1 << 20);
  assert.ok(typeof map === "object");
  assert.equal(map.extents.length, 50);
  assert.equal(new Set(map.extents.map(({ blob }) => blob.id)).size, 1);
  assert.equal(mount.verbs.statfs().usedBytes, 4096 + 5000);
});

test("holes and data are found", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.write(ino, 10_000, pattern(5000, 1));
  mount.files.setattr(ino, { size: 200_000_000 });
  mount.files.write(ino, 150_000_000, pattern(10, 1));
  const { files } = mount;
  assert.deepEqual([files.seek(ino, 0, 3), files.seek(ino, 12_000, 3), files.seek(ino, 15_000, 3)], [10_000, 12_000, 150_000_000]);
  assert.deepEqual([files.seek(ino, 0, 4), files.seek(ino, 10_000, 4), files.seek(ino, 150_000_005, 4)], [0, 15_000, 150_000_010]);
  assert.deepEqual([files.seek(ino, 150_000_010, 3), files.seek(ino, 200_000_000, 4)], [-ENXIO, -ENXIO]);
});

test("content that does not match its digest, or is gone, is an error of reading and never wrong bytes", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.write(ino, 0, pattern(10_000, 1));
  assert.equal(mount.files.fsync(ino), 0);
  const blobs = join(volume.dir, "blobs");
  const [directory] = readdirSync(blobs);
  const [name] = readdirSync(join(blobs, directory!));
  truncateSync(join(blobs, directory!, name!), 9999);
  const other = await volume.mount();
  assert.equal(other.files.read(ino, 0, Buffer.alloc(100)), -EIO);
  assert.deepEqual(other.damaged, [ino]);
});

test("no room is said when it is written or flushed, and what was written before stays", async () => {
  await using volume = await aLocalVolume({ capacityBytes: 20_000 });
  const mount = await volume.mount();
  const ino = aFile(mount);
  assert.equal(mount.files.open(ino), 0);
  assert.equal(mount.files.write(ino, 0, pattern(15_000, 1)), 0);
  assert.equal(mount.files.flush(ino), 0);
  assert.equal(mount.files.write(ino, 0, pattern(15_000, 2)), 0, "in place of the others");
  assert.equal(mount.files.write(ino, 15_000, pattern(6000, 2)), ENOSPC);
  assert.equal(mount.files.close(ino), ENOSPC);
  assert.deepEqual(mount.files.unwritten(), { files: 0, bytes: 0 }, "what nobody can save is not kept");
  mount.verbs.settle(false);
  const other = await volume.mount();
  assert.deepEqual(contentOf(other, ino, 0, 30_000), pattern(15_000, 2));
  const root = aFile(other, "quota");
  other.verbs.settle(false);
  assert.equal(typeof (await volume.control.setQuota(1, { bytesMax: 16_000, inodesMax: 0 })), "object");
  other.files.write(root, 0, pattern(5000, 1));
  assert.equal(other.files.flush(root), EDQUOT);
});

test("a volume that is being deleted takes no writes, and one that is gone discards them", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.write(ino, 0, pattern(5000, 1));
  assert.equal(mount.files.flush(ino), 0);
  mount.files.write(ino, 0, pattern(9000, 2));
  mount.verbs.settle(false);
  const fence = await volume.control.readFence();
  await volume.control.writeFence({ ...fence, state: "deleting", epoch: 2 });
  assert.equal(mount.files.write(ino, 0, pattern(5000, 3)), EROFS);
  assert.equal(mount.files.flush(ino), EROFS);
  assert.deepEqual(mount.files.unwritten(), { files: 1, bytes: 9000 });
  mount.verbs.settle(false);
  await volume.control.writeFence({ ...fence, state: "purging", epoch: 3 });
  assert.throws(() => mount.files.flush(ino), { code: "volume.not-exist" });
  mount.files.discard();
  assert.deepEqual(mount.files.unwritten(), { files: 0, bytes: 0 });
  assert.equal(mount.files.read(ino, 0, Buffer.alloc(1)), -EIO);
  assert.equal(mount.files.write(ino, 0, Buffer.alloc(1)), EIO);
});

test("what is written to a file that nobody can open any more goes with it", async () => {
  await using volume = await aLocalVolume();
  const mount = await volume.mount();
  const ino = aFile(mount);
  mount.files.open(ino);
  mount.files.write(ino, 0, pattern(9000, 1));
  mount.verbs.unlink(1, "f");
  assert.deepEqual(contentOf(mount, ino, 0, 9000), pattern(9000, 1));
  assert.equal(mount.files.close(ino), 0);
  assert.equal(mount.files.read(ino, 0, Buffer.alloc(1)), -ENOENT);
  assert.equal(mount.verbs.statfs().usedBytes, 0);
});

test("fsync also flushes what another mount wrote and closed", async () => {
  await using volume = await aLocalVolume();
  const first = await volume.mount();
  const second = await volume.mount();
  const ino = aFile(first);
  first.files.write(ino, 0, pattern(9000, 1));
  assert.equal(first.files.flush(ino), 0);
  first.verbs.settle(false);
  assert.deepEqual(
    second.verbs.foreignBlobs(ino).map(({ bytes }) => bytes),
    [9000],
  );
  assert.deepEqual(first.verbs.foreignBlobs(ino), []);
  assert.equal(second.files.fsync(ino), 0);
  const [directory] = readdirSync(join(volume.dir, "blobs"));
  const [name] = readdirSync(join(volume.dir, "blobs", directory!));
  rmSync(join(volume.dir, "blobs", directory!, name!));
  assert.equal(second.files.fsync(ino), EIO, "it was looked for");
});
