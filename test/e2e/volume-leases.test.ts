import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdir, open, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { aVolumePlace, unmountable, type MountedVolume, type VolumePlace } from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";

// What one mount has answered every other one sees at once. No test here waits for anything to come through.

const skip = unmountable() ?? false;

interface Pair extends AsyncDisposable {
  readonly place: VolumePlace;
  readonly one: MountedVolume;
  readonly two: MountedVolume;
}

async function aPair(first: readonly string[] = []): Promise<Pair> {
  await using scope = new AsyncDisposableStack();
  const place = scope.use(await aVolumePlace());
  const one = scope.use(await place.mount(first));
  const other = `${place.dir}2`;
  await mkdir(other);
  const two = scope.use(await place.mount([], other));
  const owned = scope.move();
  return { place, one, two, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

const text = (path: string): string => readFileSync(path, "utf8");

describe("two mounts of one volume", { skip }, () => {
  let pair: Pair;
  let [one, two] = ["", ""];
  before(async () => {
    pair = await aPair();
    [one, two] = [pair.one.dir, pair.two.dir];
  });
  after(() => pair[Symbol.asyncDispose]());

  const bothWays = async (run: (here: string, there: string) => void | Promise<void>): Promise<void> => {
    await run(one, two);
    await run(two, one);
  };

  test("see what the other has written and keeps open, and every write after it", () =>
    bothWays((here, there) => {
      const fd = openSync(join(here, "f"), "w");
      assert.equal(statSync(join(there, "f")).size, 0);
      for (let written = "", part = 0; part < 20; part++) {
        writeSync(fd, `part ${part};`);
        written += `part ${part};`;
        assert.equal(statSync(join(there, "f")).size, written.length);
        assert.equal(text(join(there, "f")), written);
      }
      closeSync(fd);
      unlinkSync(join(there, "f"));
      assert.equal(existsSync(join(here, "f")), false);
    }));

  test("see content change that their kernel has, also of a file that they keep open", () =>
    bothWays((here, there) => {
      writeFileSync(join(here, "f"), "a".repeat(300_000));
      const reader = openSync(join(there, "f"), "r");
      const seen = Buffer.alloc(300_000);
      const read = (): string => seen.toString("latin1", 0, readSync(reader, seen, 0, seen.length, 0));
      assert.equal(read(), "a".repeat(300_000));
      const writer = openSync(join(here, "f"), "r+");
      for (const letter of ["b", "c", "d"]) {
        writeSync(writer, letter.repeat(100_000), 100_000);
        assert.equal(read(), `${"a".repeat(100_000)}${letter.repeat(100_000)}${"a".repeat(100_000)}`);
      }
      ftruncateSync(writer, 10);
      assert.equal(read(), "a".repeat(10));
      closeSync(writer);
      truncateSync(join(here, "f"), 20);
      assert.equal(read(), `${"a".repeat(10)}${"\0".repeat(10)}`);
      closeSync(reader);
      unlinkSync(join(here, "f"));
    }));

  test("see names and modes change", () =>
    bothWays((here, there) => {
      mkdirSync(join(here, "d"));
      assert.deepEqual(readdirSync(join(there, "d")), []);
      for (let at = 0; at < 20; at++) {
        writeFileSync(join(here, "d", `f${at}`), "x");
        assert.equal(readdirSync(join(there, "d")).length, 1);
        chmodSync(join(here, "d", `f${at}`), at % 2 === 0 ? 0o600 : 0o644);
        assert.equal(statSync(join(there, "d", `f${at}`)).mode & 0o777, at % 2 === 0 ? 0o600 : 0o644);
        renameSync(join(here, "d", `f${at}`), join(here, "d", "g"));
        assert.equal(existsSync(join(there, "d", `f${at}`)), false);
        assert.equal(text(join(there, "d", "g")), "x");
        unlinkSync(join(here, "d", "g"));
        assert.equal(existsSync(join(there, "d", "g")), false);
      }
      rmSync(join(there, "d"), { recursive: true });
      assert.equal(existsSync(join(here, "d")), false);
    }));

  test("lose nothing of what both append, whether or not they keep the file open", async () => {
    const [log, other] = [join(one, "log"), join(two, "log")];
    const [first, second] = [log, other].map((path) => openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND));
    const expected: string[] = [];
    for (let at = 0; at < 30; at++) {
      writeSync(at % 2 === 0 ? first! : second!, `open ${at}\n`);
      appendFileSync(at % 3 === 0 ? log : other, `closed ${at}\n`);
      expected.push(`open ${at}`, `closed ${at}`);
    }
    closeSync(first!);
    closeSync(second!);
    for (const path of [log, other]) assert.deepEqual(text(path).trim().split("\n"), expected);
  });

  test("go on when both write one file at once", async () => {
    writeFileSync(join(one, "both"), "");
    await Promise.all([overwritten(join(one, "both"), "l".repeat(5000), 0), overwritten(join(two, "both"), "r".repeat(5000), 5000)]);
    for (const dir of [one, two]) assert.equal(text(join(dir, "both")), "l".repeat(5000) + "r".repeat(5000));
  });
});

/** Many times, with the file open all the while. */
async function overwritten(path: string, content: string, at: number): Promise<void> {
  const file = await open(path, "r+");
  for (let round = 0; round < 20; round++) await file.write(content, at);
  await file.close();
}

describe("a mount that does not answer", { skip }, () => {
  test("delays others for the term of its lease only, and what it had not committed is never mixed in", async () => {
    await using pair = await aPair(["-o", "hang_timeout=1m"]); // else it would be replaced
    const [one, two] = [pair.one.dir, pair.two.dir];
    writeFileSync(join(one, "f"), "committed");
    const fd = openSync(join(one, "f"), "r+");
    writeSync(fd, "buffered!");
    const stopped = pair.one.mountPid();
    process.kill(stopped, "SIGSTOP");
    try {
      assert.equal((await stat(join(two, "f"))).size, 9); // which asks for what is written
      assert.equal(text(join(two, "f")), "committed");
      await writeFile(join(two, "f"), "of the other");
    } finally {
      process.kill(stopped, "SIGCONT");
    }
    assert.throws(() => closeSync(fd), { code: "EIO" }); // so that its writer knows
    await waitFor(async () => pair.one.log().includes("mount.evicted"));
    for (const dir of [two, one]) assert.equal(text(join(dir, "f")), "of the other");
    writeFileSync(join(one, "g"), "goes on");
    assert.equal(text(join(two, "g")), "goes on");
  });

  test("is not waited for when it was killed", async () => {
    await using pair = await aPair();
    const [one, two] = [pair.one.dir, pair.two.dir];
    const fd = openSync(join(one, "f"), "w");
    writeSync(fd, "lost");
    process.kill(pair.one.supervisorPid, "SIGKILL");
    process.kill(pair.one.mountPid(), "SIGKILL");
    assert.equal(text(join(two, "f")), "");
    writeFileSync(join(two, "f"), "kept");
    assert.equal(text(join(two, "f")), "kept");
    try {
      closeSync(fd);
    } catch {
      // of the mount that was killed
    }
    assert.equal(pair.two.log().includes("mount.fault"), false);
  });
});
