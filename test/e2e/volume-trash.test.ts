import assert from "node:assert/strict";
import { mkdir, open, readFile, rename, rm, stat, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { aVolumePlace, unmountable, VOLUME } from "../kit/mounted-volume.ts";

test("what a mount deletes is listed, restored while it is mounted, and removed for good", { skip: unmountable() }, async () => {
  await using place = await aVolumePlace();
  const volume = async (...args: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { code, stdout, stderr } = await place.anax(["volume", ...args, "--json"]);
    assert.equal(code, 0, stderr);
    return stdout
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>); // lines of JSON
  };
  const failure = async (...args: readonly string[]): Promise<readonly [unknown, string]> => {
    const { code, stderr } = await place.anax(["volume", ...args, "--json"]);
    return [code, (JSON.parse(stderr) as { error: { code: string } }).error.code];
  };
  await using mount = await place.mount();
  const at = (path: string): string => join(mount.dir, path);

  await writeFile(at("unkept"), "gone");
  await rm(at("unkept"));
  assert.deepEqual(await volume("trash", "list", VOLUME), [], "off by default");
  assert.equal((await volume("update", VOLUME, "--trash", "24h"))[0]?.["trashMs"], 86_400_000);

  const content = Buffer.alloc(300_000, "content ");
  await mkdir(at("tree/déjà"), { recursive: true });
  await writeFile(at("tree/déjà/large"), content);
  await writeFile(at("tree/draft"), "one");
  await writeFile(at("tree/next"), "two");
  await rename(at("tree/next"), at("tree/draft"));
  const before = await statfs(mount.dir);
  await rm(at("tree"), { recursive: true });
  await assert.rejects(stat(at("tree")), { code: "ENOENT" });
  assert.ok((await statfs(mount.dir)).ffree >= before.ffree);

  const listed = await volume("trash", "list", VOLUME, "/tree");
  assert.deepEqual(listed.map(({ path, kind, size }) => `${String(path)} ${String(kind)} ${String(size)}`).toSorted(), [
    "/tree directory 0",
    "/tree/draft file 3",
    "/tree/draft file 3",
    "/tree/déjà directory 0",
    "/tree/déjà/large file 300000",
  ]);
  const [first] = listed;
  assert.equal(Date.parse(String(first?.["expiresAt"])) - Date.parse(String(first?.["deletedAt"])), 86_400_000);

  assert.deepEqual(await volume("trash", "restore", VOLUME, "/tree"), [{ restored: 4, taken: [] }]);
  assert.deepEqual(await readFile(at("tree/déjà/large")), content, "the kernel had been told that there is nothing");
  assert.equal(await readFile(at("tree/draft"), "utf8"), "two");
  const [older] = await volume("trash", "list", VOLUME);
  assert.deepEqual(await failure("trash", "restore", VOLUME, "/tree/draft"), [6, "volume.path-taken"]);
  assert.deepEqual(await failure("trash", "restore", VOLUME, "/nothing"), [2, "input.invalid"]);
  await volume("trash", "restore", VOLUME, "/tree/draft", "--id", String(older?.["ino"]), "--to", "/tree/first");
  assert.equal(await readFile(at("tree/first"), "utf8"), "one");

  {
    await using file = await open(at("tree/first"), "r+");
    await rm(at("tree/first"));
    assert.equal((await file.stat()).nlink, 0);
    assert.deepEqual(await volume("trash", "empty", VOLUME), [{ removed: 1, bytes: 3 }]);
    assert.equal(await file.readFile("utf8"), "one", "it is open");
  }
  assert.deepEqual(await volume("trash", "list", VOLUME), []);
  assert.deepEqual(await volume("fsck", VOLUME, "--data"), [{ clean: true, repaired: 0, flaws: [] }]);
});
