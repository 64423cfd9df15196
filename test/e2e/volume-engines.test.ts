import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { openStore } from "../../src/volume/meta/records/open-store.ts";
import { ROOT_INO } from "../../src/volume/meta/verbs.ts";
import { runAnax } from "../kit/anax.ts";
import { damageRecords } from "../kit/damage-records.ts";
import { mounted, unmountable, VOLUME } from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";
import { REGISTER_ENGINES, type EngineKind, type RegisterEngine } from "../kit/register-engines.ts";
import { BUCKET, BUCKET_ENV } from "../kit/s3-bucket.ts";
import { startBucketServer } from "../kit/s3-bucket-server.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// What users do with volumes whose metadata are in an engine elsewhere: the real engines, the real program, the kernel.

Object.assign(process.env, BUCKET_ENV); // mounts and commands inherit it

for (const kind of REGISTER_ENGINES) {
  const skip = unmountable() ?? kind.lack();
  describe(`a volume with its metadata in ${kind.name}`, { skip: skip ?? false }, () => onEngine(kind));
}

function onEngine(kind: EngineKind): void {
  const scope = new AsyncDisposableStack();
  let engine: RegisterEngine;
  let running: AsyncDisposable;
  let root: string;
  before(async () => {
    root = scope.use(await temporaryDirectory()).path;
    await chmod(root, 0o755); // some engines refuse to be root
    await mkdir(join(root, "engine"));
    engine = await kind.prepare(join(root, "engine"));
    running = await engine.run();
    scope.defer(() => running[Symbol.asyncDispose]());
  });
  after(() => scope.disposeAsync());

  const aMachine = async (name: string) => {
    const [dataDir, dir] = [join(root, name, "data"), join(root, name, "mnt")];
    await mkdir(dataDir, { recursive: true });
    await mkdir(dir, { recursive: true });
    const anax = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
      const { code, stdout, stderr } = await runAnax(["volume", ...args, "--json"], { env: { ANAX_DATA_DIR: dataDir } });
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, unknown>; // one line for each thing
    };
    return { dataDir, dir, anax, mount: (...args: readonly string[]) => mounted(dataDir, dir, args) };
  };

  test("it is created, mounted, written, survives kills and an engine that restarts, and is deleted", async () => {
    const { dir, anax, mount } = await aMachine("one");
    await anax("create", VOLUME, "--meta", engine.urlOn(engine.port));
    const big = Buffer.alloc(3_000_000, "0123456789");
    {
      await using first = await mount();
      mkdirSync(join(dir, "d"));
      writeFileSync(join(dir, "d/small"), "small content");
      const fd = openSync(join(dir, "d/big"), "w");
      writeSync(fd, big);
      fsyncSync(fd);
      process.kill(first.mountPid(), "SIGKILL");
      await waitFor(async () => readable(join(dir, "d/small")));
      try {
        closeSync(fd);
      } catch {
        // of the mount that was killed
      }
      assert.ok(readFileSync(join(dir, "d/big")).equals(big));
      renameSync(join(dir, "d/big"), join(dir, "moved"));
      assert.deepEqual(readdirSync(join(dir, "d")), ["small"]);
    }
    assert.equal(existsSync(join(dir, "moved")), false);
    await using second = await mount("-o", "operation_timeout=1s,entry_timeout=0,attr_timeout=0");
    assert.ok(readFileSync(join(dir, "moved")).equals(big));
    const served = second.mountPid();
    await running[Symbol.asyncDispose]();
    assert.throws(() => statSync(join(dir, "nothing")), { code: "EIO" });
    running = await engine.run();
    await waitFor(async () => readable(join(dir, "d/small")));
    assert.equal(second.mountPid(), served);
    rmSync(join(dir, "d"), { recursive: true });
    assert.deepEqual(readdirSync(dir), ["moved"]);
    const { meta, usage } = (await anax("info", VOLUME)) as { meta: string; usage: { usedBytes: number } };
    assert.ok(engine.urlOn(engine.port).startsWith(meta.replace(/\/$/, "")), meta);
    // What was removed is kept for the session that was killed, as it might have it open, until that counts as dead.
    assert.ok(usage.usedBytes >= big.length);
    assert.deepEqual((await anax("fsck", VOLUME, "--data"))["flaws"], []);
    await anax("delete", VOLUME, "--yes", "--now");
    assert.equal(await second.exited, 143);
  });

  test("two machines see one volume, and its end", async () => {
    await using bucket = await startBucketServer();
    const [one, other] = [await aMachine("left"), await aMachine("right")];
    const url = engine.urlOn(engine.port);
    const { uuid } = (await one.anax(
      "create",
      VOLUME,
      "--meta",
      url,
      "--data",
      `s3://${BUCKET}/shared`,
      "--endpoint",
      bucket.endpoint,
    )) as { uuid: string };
    await other.anax("attach", uuid, "--meta", url);
    await using here = await one.mount();
    await using there = await other.mount();
    const content = Buffer.alloc(1_000_000, "abc");
    writeFileSync(join(here.dir, "from here"), content);
    assert.ok(readFileSync(join(there.dir, "from here")).equals(content));
    for (const [writer, reader] of [
      [here, there],
      [there, here],
    ] as const) {
      const fd = openSync(join(writer.dir, "from here"), "r+");
      for (let round = 0; round < 3; round++) {
        content.fill(`${writer.dir} ${round}`, 500_000, 600_000);
        writeSync(fd, content, 500_000, 100_000, 500_000);
        assert.ok(readFileSync(join(reader.dir, "from here")).equals(content));
      }
      closeSync(fd);
    }
    await Promise.all([filesIn(here.dir, "a"), filesIn(there.dir, "b")]);
    assert.deepEqual(
      [here, there].map(({ dir }) => readdirSync(dir).length),
      [41, 41],
    );
    assert.deepEqual((await other.anax("fsck", VOLUME, "--data"))["flaws"], []);
    await one.anax("delete", VOLUME, "--yes", "--now");
    assert.deepEqual([await here.exited, await there.exited], [143, 143]);
    const late = await runAnax(["volume", "attach", uuid, "--meta", url, "--data-dir", join(root, "late"), "--json"]);
    assert.equal((JSON.parse(late.stderr) as { error: { code: string } }).error.code, "volume.not-exist");
  });

  test("a dump of a volume in SQLite is loaded into it, mounted, copied, damaged and repaired", async () => {
    await using bucket = await startBucketServer();
    const [first, now, other] = [await aMachine("first"), await aMachine("now"), await aMachine("other")];
    const url = engine.urlOn(engine.port);
    const created = await first.anax("create", VOLUME, "--data", `s3://${BUCKET}/moved`, "--endpoint", bucket.endpoint);
    const uuid = String(created["uuid"]);
    const content = Buffer.alloc(1_000_000, "abc");
    {
      await using mount = await first.mount();
      mkdirSync(join(mount.dir, "d"));
      writeFileSync(join(mount.dir, "d/large"), content);
      writeFileSync(join(mount.dir, "d/small"), "small");
    }
    const file = join(root, `${uuid}.dump`);
    await first.anax("dump", VOLUME, file);
    assert.equal((await now.anax("load", file, "--meta", url))["uuid"], uuid);
    const { meta } = (await now.anax("info", VOLUME)) as { meta: string };
    await other.anax("attach", uuid, "--meta", url);
    await using mount = await now.mount();
    assert.ok(readFileSync(join(mount.dir, "d/large")).equals(content));
    writeFileSync(join(mount.dir, "d/new"), content);

    assert.equal((await now.anax("snapshot", VOLUME, "kept"))["readOnly"], true);
    const copy = await now.anax("clone", VOLUME, "copy");
    await now.anax("clone", VOLUME, "in-sqlite", "--meta", "sqlite");
    assert.equal((await now.anax("info", "in-sqlite"))["meta"], "sqlite");
    rmSync(join(mount.dir, "d/new"));
    for (const name of ["kept", "copy"]) {
      assert.equal((await now.anax("info", name))["meta"], meta);
      assert.deepEqual((await now.anax("fsck", name, "--data"))["flaws"], []);
      assert.equal((await now.anax("stats", name))["inodes"], 5);
    }
    await other.anax("attach", String(copy["uuid"]), "--meta", url);

    await using store = await openStore(url, uuid, realClock);
    await damageRecords(store, { used: { bytes: 5, inodes: 5000 }, nodes: [{ ino: ROOT_INO, nlink: 77 }] });
    const found = await runAnax(["volume", "fsck", VOLUME, "--json", "--data-dir", now.dataDir]);
    assert.equal(found.code, 5, found.stderr);
    assert.deepEqual(await now.anax("fsck", VOLUME, "--repair"), { clean: true, repaired: 3, flaws: [] });
    assert.deepEqual(readdirSync(join(mount.dir, "d")).toSorted(), ["large", "small"]);
    writeFileSync(join(mount.dir, "after"), "it goes on");
    assert.deepEqual((await other.anax("fsck", VOLUME, "--data"))["flaws"], []);
  });
}

async function filesIn(dir: string, prefix: string): Promise<void> {
  for (let index = 0; index < 20; index++) {
    writeFileSync(join(dir, `${prefix}${index}`), prefix.repeat(index));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function readable(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}
