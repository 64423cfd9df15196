import assert from "node:assert/strict";
import { chmod, link, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { aSmallDisk } from "../../test/kit/small-disk.ts";
import { replaceFile } from "./atomic-replace.ts";
import { exportFile, type ExportOptions } from "./export-file.ts";

const CONTENT = Buffer.alloc(3_000_000, "content of the store ");

async function aStoredFile(): Promise<AsyncDisposable & { readonly dir: string; readonly from: string; readonly out: string }> {
  const dir = await mkdtemp(join(tmpdir(), "anax-export-"));
  const [from, out] = [join(dir, "stored"), join(dir, "out")];
  await writeFile(from, CONTENT);
  await chmod(from, 0o444);
  await mkdir(out);
  return { dir, from, out, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

const put = (from: string, to: string, options: Partial<ExportOptions> = {}) =>
  exportFile({ from, to, hardLink: "prefer", overwrite: false, ...options });

test("a file is linked where that is possible, and copied where it is not wanted", async () => {
  await using place = await aStoredFile();
  assert.equal(await put(place.from, join(place.out, "linked")), "linked");
  assert.equal(await put(place.from, join(place.out, "copied"), { hardLink: "never" }), "copied");
  assert.equal((await stat(place.from)).nlink, 2);
  assert.ok((await readFile(join(place.out, "copied"))).equals(CONTENT));
  assert.equal((await stat(join(place.out, "copied"))).mode & 0o200, 0o200); // a copy is its owner's to edit
  assert.deepEqual((await readdir(place.out)).toSorted(), ["copied", "linked"]);
});

test("what is at the output path stays unless it may be replaced", async () => {
  await using place = await aStoredFile();
  const to = join(place.out, "file");
  await writeFile(to, "old");
  await assert.rejects(put(place.from, to), { code: "output.exists" });
  assert.equal(await readFile(to, "utf8"), "old");
  assert.equal(await put(place.from, to, { overwrite: true }), "linked");
  const { ctimeNs } = await stat(place.from, { bigint: true });
  assert.equal(await put(place.from, to, { overwrite: true }), "linked"); // the same file once more, which is left as it is
  assert.equal((await stat(place.from, { bigint: true })).ctimeNs, ctimeNs);
  assert.equal(await put(place.from, to, { overwrite: true, hardLink: "never" }), "copied");
  assert.ok((await readFile(to)).equals(CONTENT));
  await symlink("nowhere", join(place.out, "dangling"));
  await assert.rejects(put(place.from, join(place.out, "dangling")), { code: "output.exists" });
  assert.deepEqual((await readdir(place.out)).toSorted(), ["dangling", "file"]);
});

for (const [what, to] of [
  ["below a directory that is not there", "missing/file"],
  ["below a file", "plain/file"],
  ["that is a directory", "folder"],
  ["with a name that is too long", "x".repeat(300)],
] as const) {
  test(`an output path ${what} is unwritable`, async () => {
    await using place = await aStoredFile();
    await mkdir(join(place.out, "folder"));
    await writeFile(join(place.out, "plain"), "");
    await assert.rejects(put(place.from, join(place.out, to), { overwrite: true }), { code: "output.unwritable" });
    assert.deepEqual((await readdir(place.out)).toSorted(), ["folder", "plain"]);
  });
}

test("an abort in the middle leaves nothing", async () => {
  await using place = await aStoredFile();
  const abort = new AbortController();
  const copying = put(place.from, join(place.out, "file"), { hardLink: "never", signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(copying, /enough/);
  assert.deepEqual(await readdir(place.out), []);
});

test("a file goes to another file system by copy, a disk that is too small gets nothing", async (t) => {
  await using place = await aStoredFile();
  await using small = await aSmallDisk(t, { bytes: 4 * 1024 * 1024 });
  if (small === undefined) return;
  assert.equal(await put(place.from, join(small.dir, "file")), "copied");
  assert.ok((await readFile(join(small.dir, "file"))).equals(CONTENT));
  await assert.rejects(put(place.from, join(small.dir, "linked"), { hardLink: "force" }), { code: "output.unwritable" });
  await assert.rejects(put(place.from, join(small.dir, "second")), { code: "disk.full" });
  assert.deepEqual(await readdir(small.dir), ["file"]);
  await assert.rejects(replaceFile(join(small.dir, "file"), Buffer.alloc(2_000_000)), { code: "disk.full" });
  assert.ok((await readFile(join(small.dir, "file"))).equals(CONTENT));
});

test("a file is replaced as a whole, also while somebody has it open", async () => {
  await using place = await aStoredFile();
  const path = join(place.out, "state.json");
  await replaceFile(path, "first", { mode: 0o600 });
  await link(path, join(place.out, "held"));
  await replaceFile(path, "second");
  assert.equal(await readFile(path, "utf8"), "second");
  assert.equal(await readFile(join(place.out, "held"), "utf8"), "first");
  assert.equal((await stat(join(place.out, "held"))).mode & 0o777, 0o600);
  await assert.rejects(replaceFile(join(place.dir, "missing", "x"), ""), { code: "disk.io" });
  assert.deepEqual((await readdir(place.out)).toSorted(), ["held", "state.json"]);
});
