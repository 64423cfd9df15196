import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { aMountUser } from "../kit/mount-user.ts";
import { aVolumePlace, unmountable } from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";

const skip = unmountable() ?? false;

const content = (path: string): string | undefined => (existsSync(path) ? readFileSync(path, "utf8") : undefined);

describe("two mounts of one volume", { skip }, () => {
  const scope = new AsyncDisposableStack();
  let [one, two] = ["", ""];

  before(async () => {
    const place = scope.use(await aVolumePlace());
    one = scope.use(await place.mount()).dir;
    const other = `${place.dir}2`;
    await mkdir(other);
    two = scope.use(await place.mount([], other)).dir;
  });
  after(() => scope.disposeAsync());

  test("see names come, change and go, whichever made them", async () => {
    for (const [here, there] of [
      [one, two],
      [two, one],
    ] as const) {
      writeFileSync(join(here, "f"), "first");
      await waitFor(async () => content(join(there, "f")) === "first");
      renameSync(join(here, "f"), join(here, "g"));
      await waitFor(async () => !existsSync(join(there, "f")) && content(join(there, "g")) === "first");
      unlinkSync(join(there, "g"));
      await waitFor(async () => !existsSync(join(here, "g")));
      assert.deepEqual(readdirSync(here), []);
    }
  });

  test("see content change that they have in their caches, with another size and with the same", async () => {
    writeFileSync(join(one, "f"), "a".repeat(100_000));
    await waitFor(async () => content(join(two, "f")) === "a".repeat(100_000));
    writeFileSync(join(one, "f"), "b".repeat(150_000));
    await waitFor(async () => content(join(two, "f")) === "b".repeat(150_000));
    const fd = openSync(join(one, "f"), "r+");
    writeSync(fd, "c".repeat(50_000), 50_000);
    closeSync(fd);
    await waitFor(async () => content(join(two, "f")) === "b".repeat(50_000) + "c".repeat(50_000) + "b".repeat(50_000));
  });

  test("a reader that keeps its file open sees it, too", async () => {
    writeFileSync(join(one, "f"), "old");
    await waitFor(async () => content(join(two, "f")) === "old");
    const fd = openSync(join(two, "f"), "r");
    const bytes = Buffer.alloc(10);
    const seen = (): string => bytes.toString("utf8", 0, readSync(fd, bytes, 0, 10, 0));
    assert.equal(seen(), "old");
    writeFileSync(join(one, "f"), "newer");
    await waitFor(async () => seen() === "newer");
    closeSync(fd);
  });

  test("keep each other's locks, and hand them over", async () => {
    await using holder = await aMountUser(one, "holder");
    await using waiter = await aMountUser(two, "waiter");
    assert.equal((await holder.end())["write"], "ok");
    assert.equal((await waiter.end())["flock"], "ok");
  });
});
