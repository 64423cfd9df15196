import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, readFile, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { runAnax } from "../kit/anax.ts";
import { aDesk, errorCodeOf, jsonLines, type Desk } from "../kit/cli.ts";
import { sha256OfGenerated } from "../kit/generated-content.ts";
import { startS3Origin } from "../kit/s3-origin.ts";
import { aSmallDisk } from "../kit/small-disk.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { onTerminal, sha256OfFile } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const FILE = { bytes: 9 * MIB + 1, seed: 31 };

const isRoot = process.getuid?.() === 0;
const NOBODY = 65_534;
/** The year 2100, in seconds. */
const LATER = 4_102_444_800;

async function ok(desk: Desk, args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const ran = await desk.run(args);
  assert.equal(ran.code, 0, ran.stderr);
  return jsonLines(ran.stdout).at(-1)!; // it succeeded, so it said so
}

/** The one file in the piece store. */
async function storedFile(desk: Desk): Promise<string> {
  const tasks = join(desk.daemon.dataDir, "pieces/tasks");
  const files = (await readdir(tasks, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  assert.equal(files.length, 1);
  return join(files[0]!.parentPath, files[0]!.name); // just counted
}

test("on one file system the output is a hard link, which nobody can edit by accident and rm does not mind", async () => {
  await using desk = await aDesk({ content: { "/file": FILE } });
  assert.equal((await desk.get("/file", "linked", "--force-hard-link")).code, 0);
  const output = join(desk.out, "linked");
  const [linked, stored] = await Promise.all([stat(output), stat(await storedFile(desk))]);
  assert.equal(linked.ino, stored.ino);
  assert.equal(linked.mode & 0o222, 0);
  assert.equal((await desk.run(["rm", desk.origin.url("/file")])).code, 0);
  assert.equal(await sha256OfFile(output), sha256OfGenerated(FILE));
});

test("content that somebody edits through a hard link is fetched anew", async (t) => {
  if (!isRoot) return t.skip("needs root: others cannot write to the link");
  await using desk = await aDesk({ content: { "/file": FILE } });
  const output = join(desk.out, "linked");
  const edits: readonly ((path: string) => Promise<void>)[] = [
    (path) => writeFile(path, "short"),
    async (path) => {
      await writeFile(path, "X", { flag: "r+" });
      await utimes(path, LATER, LATER); // as if some time had passed
    },
  ];
  for (const edit of edits) {
    assert.equal((await desk.get("/file", "linked", "--force-hard-link")).code, 0);
    await edit(output);
    const again = await desk.get("/file", "again", "--overwrite");
    assert.equal(again.code, 0, again.stderr);
    assert.equal(await sha256OfFile(join(desk.out, "again")), sha256OfGenerated(FILE));
    await rm(output);
  }
  assert.equal(desk.origin.stats("/file").gets, 1 + edits.length);
});

test("across file systems the output is a copy, and a forced hard link is refused", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 64 * MIB });
  if (disk === undefined) return;
  await using desk = await aDesk({ content: { "/file": FILE } });
  const output = join(disk.dir, "copied");
  await ok(desk, ["get", desk.origin.url("/file"), "-O", output]);
  assert.equal((await stat(output)).nlink, 1);
  assert.equal(await sha256OfFile(output), sha256OfGenerated(FILE));
  const forced = await desk.run(["get", desk.origin.url("/file"), "-O", join(disk.dir, "forced"), "--force-hard-link"]);
  assert.deepEqual([errorCodeOf(forced), forced.code], ["output.unwritable", 6]);
  assert.deepEqual(await readdir(disk.dir), ["copied"]);
});

test("another user is refused at the socket, or gets the content through it as a file of its own", async (t) => {
  if (!isRoot) return t.skip("needs root: to be another user");
  await using desk = await aDesk({ content: { "/file": FILE } });
  assert.equal((await stat(desk.socket)).mode & 0o777, 0o660);
  for (const dir of [desk.dir, desk.out]) await chmod(dir, 0o755);
  const theirs = join(desk.dir, "theirs");
  await mkdir(theirs);
  await chown(theirs, NOBODY, NOBODY);
  const args = ["get", desk.origin.url("/file"), "-O", join(theirs, "file")];

  const refused = await desk.run(args, { uid: NOBODY, gid: NOBODY });
  assert.deepEqual([errorCodeOf(refused), refused.code], ["daemon.denied", 6]);
  assert.match(refused.stderr, /hint=run as its user, or join its group/);

  const welcome = await desk.run(args, { uid: NOBODY, gid: 0 });
  assert.equal(welcome.code, 0, welcome.stderr);
  const found = await stat(join(theirs, "file"));
  assert.deepEqual([found.uid, found.nlink, found.mode & 0o777], [NOBODY, 1, 0o666 & ~process.umask()]);
  assert.equal(await sha256OfFile(join(theirs, "file")), sha256OfGenerated(FILE));

  const elsewhere = await desk.run(["get", desk.origin.url("/file"), "-O", join(desk.out, "file")], { uid: NOBODY, gid: 0 });
  assert.deepEqual([errorCodeOf(elsewhere), elsewhere.code], ["output.unwritable", 6]);
  assert.deepEqual(await desk.outputs(), []);

  // The content itself is nobody's to read past the daemon.
  const stored = await storedFile(desk);
  const peeked = await runAnax(["get", `file://${stored}`, "-O", "-", "-e", desk.socket], { uid: NOBODY, gid: 0 });
  assert.equal(errorCodeOf(peeked), "source.denied");
  assert.equal((await stat(dirname(dirname(dirname(stored))))).mode & 0o077, 0);
});

test("a terminal shows a bar with bytes, rate and where they come from, and a closing sentence", async () => {
  await using desk = await aDesk({ content: { "/file": FILE } });
  desk.origin.setFault("/file", { bytesPerSecond: 4 * MIB });
  await using terminal = await onTerminal(["get", desk.origin.url("/file"), "-O", join(desk.out, "file"), "-e", desk.socket]);
  assert.equal(await terminal.exited, 0, terminal.text());
  const screen = terminal.text();
  assert.match(screen, /file \[[=-]+\] \d+% \| [\d.]+ [KM]?i?B\/9\.00 MiB \| [\d.]+ [KM]?i?B\/s \| .* left \| peers 0 B, source [1-9]/);
  assert.match(screen, /100% \| 9\.00 MiB\/9\.00 MiB/);
  assert.match(screen, /file: 9\.00 MiB in .* s \(9\.00 MiB from the source\)\r\n$/);
});

test("a directory tree arrives from file://, below the output and nowhere else", async () => {
  await using tree = await temporaryDirectory();
  const files: Readonly<Record<string, string>> = { "a.bin": "a", "one/b.txt": "bb", "one/two/c d%.bin": "ccc", "one/empty": "" };
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree.path, path)), { recursive: true });
    await writeFile(join(tree.path, path), text);
  }
  await symlink("/etc/hostname", join(tree.path, "one/outside"));
  await using desk = await aDesk({ set: { "p2p.source.fileRoots": `["${tree.path}"]` } });
  const url = `file://${tree.path}`;
  const summary = await ok(desk, ["get", url, "-r", "-O", join(desk.out, "tree")]);
  assert.deepEqual([summary["event"], summary["files"], summary["bytes"]], ["done", 4, 6]);
  for (const [path, text] of Object.entries(files)) assert.equal(await readFile(join(desk.out, "tree", path), "utf8"), text);

  const some = await ok(desk, ["get", `${url}/`, "-r", "-O", join(desk.out, "some"), "-I", "one/", "-I", "*.nothing"]);
  assert.equal(some["files"], 3);
  const none = await desk.run(["get", `${url}/`, "-r", "-O", join(desk.out, "none"), "--max-files", "2"]);
  assert.deepEqual([errorCodeOf(none), none.code], ["limit.exceeded", 7]);
  const outside = await desk.run(["get", "file:///etc/", "-r", "-O", join(desk.out, "none")]);
  assert.deepEqual([errorCodeOf(outside), outside.code], ["source.denied", 6]);
  const http = await desk.run(["get", desk.origin.url("/"), "-r", "-O", join(desk.out, "none")]);
  assert.deepEqual([errorCodeOf(http), http.code], ["source.not-listable", 2]);
  assert.deepEqual(await desk.outputs(), ["some", "tree"]);
});

test("a directory tree arrives from S3 with credentials from the environment, page by page", async () => {
  const credentials = { accessKeyId: "AKTEST", accessKeySecret: "a/secret+key" };
  const objects = { "data/a.bin": FILE, "data/deep/b.txt": "b", "data/deep/er/c.txt": "c", "other/d": "d" };
  await using s3 = await startS3Origin({ buckets: { bucket: objects }, credentials, pageEntriesMax: 1 });
  await using desk = await aDesk();
  const env = {
    DFGET_STORAGE_ENDPOINT: s3.endpoint,
    DFGET_STORAGE_ACCESS_KEY_ID: credentials.accessKeyId,
    DFGET_STORAGE_ACCESS_KEY_SECRET: credentials.accessKeySecret,
  };
  const ran = await desk.run(["get", "s3://bucket/data", "-r", "-O", join(desk.out, "data")], { env });
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(await sha256OfFile(join(desk.out, "data/a.bin")), sha256OfGenerated(FILE));
  assert.equal(await readFile(join(desk.out, "data/deep/er/c.txt"), "utf8"), "c");
  const texts = await desk.run(["get", "s3://bucket/data", "-r", "-O", join(desk.out, "texts"), "--include-files", "**/*.txt"], { env });
  assert.equal(jsonLines(texts.stdout).at(-1)?.["files"], 2);
  const denied = await desk.run(["get", "s3://bucket/data", "-r", "-O", join(desk.out, "denied")], {
    env: { ...env, DFGET_STORAGE_ACCESS_KEY_SECRET: "wrong" },
  });
  assert.deepEqual([errorCodeOf(denied), denied.code], ["source.forbidden", 6]);
  const one = await desk.run(["get", "s3://bucket/other/d", "-O", join(desk.out, "d")], { env });
  assert.equal(one.code, 0, one.stderr);
  assert.deepEqual(await desk.outputs(), ["d", "data", "texts"]);
});
