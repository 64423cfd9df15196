import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { aVolumePlace, unmountable, type MountedVolume } from "../kit/mounted-volume.ts";
import { must, run } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { CASES } from "../volume/posix-cases.ts";
import { randomOperations } from "../volume/random-operations.ts";

const CALLS = fileURLToPath(new URL("../volume/calls.py", import.meta.url));
const skip = unmountable() ?? false;

test("the cases hold on this machine's own file system", { skip }, async (t) => {
  await using reference = await temporaryDirectory();
  await chmod(reference.path, 0o755);
  for (const [name, work] of Object.entries(CASES))
    await t.test(name, async () => {
      work(await mkdtemp(join(reference.path, "case-")));
    });
});

describe("a mounted volume", { skip }, () => {
  const scope = new AsyncDisposableStack();
  let volume: MountedVolume;
  const folder = (): Promise<string> => mkdtemp(join(volume.dir, "case-"));

  before(async () => {
    const place = scope.use(await aVolumePlace());
    volume = scope.use(await place.mount(["--allow-other"]));
  });
  after(() => scope.disposeAsync());

  for (const [name, work] of Object.entries(CASES)) test(name, async () => work(await folder()));

  test("system calls that Node lacks", async (t) => {
    const { stdout, stderr } = await run("python3", [CALLS, await folder()], { timeoutMs: 60_000 });
    const lines = stdout.split("\n").filter((line) => line.startsWith("test_"));
    assert.ok(lines.length > 15, stdout + stderr);
    for (const line of lines) {
      const [name = "", result] = line.split(/: (.*)/);
      await t.test(name.replaceAll("_", " "), () => assert.equal(result, "ok", stderr));
    }
  });

  test("random operations give what they give on another file system", async () => {
    await using reference = await temporaryDirectory();
    await randomOperations({ dir: await folder(), reference: reference.path, seed: 7, operations: 1500 });
  });

  test("git works on it", async () => {
    const dir = await folder();
    const git = (...args: readonly string[]): Promise<string> =>
      must("git", ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*", "-C", dir, ...args]);
    await git("init", "-q");
    await must("sh", ["-c", `mkdir -p ${dir}/src && for i in $(seq 200); do echo "$i" > ${dir}/src/$i; done`]);
    await git("add", ".");
    await git("commit", "-q", "-m", "one");
    await git("checkout", "-q", "-b", "other");
    await must("sh", ["-c", `rm ${dir}/src/1; echo changed > ${dir}/src/2`]);
    await git("commit", "-q", "-am", "two");
    await git("checkout", "-q", "-");
    await git("merge", "-q", "other");
    await git("gc", "-q");
    assert.equal(await git("status", "--porcelain"), "");
    await git("fsck", "--full");
  });

  test("SQLite works on it, with several writers", async () => {
    const file = join(await folder(), "test.db");
    await must("sqlite3", [file, "PRAGMA journal_mode=WAL; CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);"]);
    const writer = (name: string): Promise<string> =>
      must("sh", [
        "-c",
        `for i in $(seq 40); do echo ".timeout 20000\nINSERT INTO t(b) VALUES('${name}' || hex(randomblob(100)));"; done | sqlite3 ${file}`,
      ]);
    await Promise.all([writer("a"), writer("b"), writer("c")]);
    assert.equal((await must("sqlite3", [file, "SELECT count(*) FROM t; PRAGMA integrity_check;"])).trim(), "120\nok");
    await must("sqlite3", [file, "PRAGMA journal_mode=DELETE; UPDATE t SET b = b || 'x'; PRAGMA integrity_check;"]);
  });

  test("a tree is packed and unpacked on it without a difference", async () => {
    const dir = await folder();
    const from = "node_modules/commander";
    await mkdir(join(dir, "copy"));
    await must("sh", ["-c", `tar -C "$(readlink -f ${from})" -cf ${dir}/all.tar . && tar -C ${dir}/copy -xf ${dir}/all.tar`]);
    await must("diff", ["-r", from, join(dir, "copy")]);
    await must("rm", ["-r", join(dir, "copy")]);
  });
});
