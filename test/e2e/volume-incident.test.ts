import assert from "node:assert/strict";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { appendFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { aDatabaseLock } from "../kit/database-lock.ts";
import { aMountUser } from "../kit/mount-user.ts";
import {
  aVolumePlace,
  isMounted,
  jsonFile,
  recordsOf,
  unmountable,
  VOLUME,
  type MountedVolume,
  type VolumePlace,
} from "../kit/mounted-volume.ts";
import { waitFor } from "../kit/process.ts";

const skip = unmountable() ?? false;

/** Nobody can watch a directory in the place of the event file. */
async function withoutPush({ dataDir, volumes }: VolumePlace): Promise<void> {
  const event = join(dataDir, "volumes", volumes.get(VOLUME).uuid, "event");
  await rm(event, { force: true });
  await mkdir(event);
}

/** Until the client's heartbeat has just come: the next one is seconds away. */
async function afterHeartbeat({ volumes }: VolumePlace): Promise<void> {
  const seenAtMs = async (): Promise<number | undefined> => (await volumes.sessions(volumes.get(VOLUME)))[0]?.seenAtMs;
  const before = await seenAtMs();
  await waitFor(async () => (await seenAtMs()) !== before);
}

/** What a client must leave behind whose volume is gone. */
async function assertLeft(volume: MountedVolume, source: string): Promise<Readonly<Record<string, unknown>>> {
  assert.equal(await volume.exited, 143, volume.log());
  assert.equal(await isMounted(volume.dir), false);
  assert.deepEqual(readdirSync(volume.dir), [], "the path is the local folder again");
  const record = await jsonFile(join(recordsOf(volume.dataDir, volume.dir), "last-exit.json"));
  const audit = (await readFile(join(volume.dataDir, "audit.jsonl"), "utf8")).trim().split("\n");
  assert.deepEqual(
    audit.map((line) => JSON.parse(line) as unknown).filter((line) => (line as { event?: string }).event === "mount.volume-gone"),
    [record],
    "one line, the same",
  );
  assert.equal(record["event"], "mount.volume-gone");
  assert.equal(record["volumeUuid"], volume.volumeUuid);
  assert.equal(record["source"], source);
  assert.equal(record["exitCode"], 143);
  assert.equal(typeof record["epoch"], "number");
  return record;
}

describe("a volume is deleted while it is in use", { skip }, () => {
  test("by a push: whoever has files open, waits or has dirty pages gets an error, and the client leaves", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount();
    await using holder = await aMountUser(volume.dir, "holder");
    await using waiter = await aMountUser(volume.dir, "waiter");
    await place.delete({ now: true });
    const record = await assertLeft(volume, "push");
    assert.ok(Number(record["openFiles"]) >= 3);
    assert.ok(Number(record["lostBytes"]) >= 100_000);
    assert.notEqual((await waiter.end())["flock"], "ok");
    const { write, fsync, msync } = await holder.end();
    assert.deepEqual(
      [write, fsync, msync].filter((result) => result === "ok"),
      [],
    );
  });

  test("by the heartbeat alone, when no push comes", async () => {
    await using place = await aVolumePlace();
    await withoutPush(place);
    await using volume = await place.mount();
    await place.delete({ now: true });
    await assertLeft(volume, "heartbeat");
  });

  test("by the answer to an operation, when no push comes", async () => {
    await using place = await aVolumePlace();
    await withoutPush(place);
    await using volume = await place.mount();
    await afterHeartbeat(place);
    await place.delete({ now: true });
    await assert.rejects(writeFile(join(volume.dir, "f"), "x"));
    await assertLeft(volume, "operation");
  });

  test("the path stays dead where that is wanted, so that nobody writes to the folder below", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount(["--on-gone", "poison"]);
    await place.delete({ now: true });
    assert.equal(await volume.exited, 143);
    assert.equal(await isMounted(volume.dir), true);
    assert.throws(() => writeFileSync(join(volume.dir, "f"), "x"), { code: "ENOTCONN" });
    assert.equal((await place.anax(["umount", volume.dir, "--force"])).code, 0);
    assert.equal(await isMounted(volume.dir), false);
  });

  test("within the undelete window reads go on and writes get EROFS, and an undelete ends that", async () => {
    await using place = await aVolumePlace("at-purge");
    await using volume = await place.mount();
    const file = join(volume.dir, "f");
    await writeFile(file, "kept");
    await place.delete({ now: false });
    await waitFor(() =>
      appendFile(file, "")
        .then(() => writeFile(`${file}2`, ""))
        .then(
          () => false,
          (error: NodeJS.ErrnoException) => error.code === "EROFS",
        ),
    );
    assert.equal(await readFile(file, "utf8"), "kept");
    await place.volumes.undelete(VOLUME);
    await waitFor(() =>
      writeFile(file, "changed").then(
        () => true,
        () => false,
      ),
    );
    assert.equal(await readFile(file, "utf8"), "changed");
  });
});

describe("what passes ends no client", { skip }, () => {
  test("a database that is locked: EIO after the operation's time, then it goes on", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount(["-o", "operation_timeout=1s"]);
    await writeFile(join(volume.dir, "f"), "kept");
    {
      await using _lock = await aDatabaseLock(join(volume.dataDir, "volumes", volume.volumeUuid, "meta.sqlite"));
      await assert.rejects(writeFile(join(volume.dir, "g"), ""), { code: "EIO" });
      await waitFor(async () => volume.log().includes('"mount.fault"'));
    }
    await waitFor(() =>
      writeFile(join(volume.dir, "g"), "later").then(
        () => true,
        () => false,
      ),
    );
    assert.equal(await readFile(join(volume.dir, "f"), "utf8"), "kept");
    await waitFor(async () => volume.log().includes('"mount.recovered"'));
  });

  test("metadata that have vanished without a tombstone", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount();
    await writeFile(join(volume.dir, "f"), "kept");
    const volumes = join(volume.dataDir, "volumes");
    await rename(volumes, `${volumes}.away`);
    await waitFor(async () => volume.log().includes('"mount.suspect"'));
    assert.equal(await isMounted(volume.dir), true);
    await rename(`${volumes}.away`, volumes);
    await waitFor(async () => volume.log().includes('"mount.reached"'));
    assert.equal(await readFile(join(volume.dir, "f"), "utf8"), "kept");
    await writeFile(join(volume.dir, "g"), "goes on");
  });
});

describe("a mount process that fails", { skip }, () => {
  test("is replaced when it is killed: the path answers again", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount();
    const file = join(volume.dir, "f");
    await writeFile(file, "kept");
    await using holder = await aMountUser(volume.dir, "holder");
    const pid = volume.mountPid();
    process.kill(pid, "SIGKILL");
    await waitFor(async () => volume.mountPid() !== pid && (await readFile(file, "utf8").catch(() => "")) === "kept");
    assert.notEqual((await holder.end())["write"], "ok", "what was open belongs to the mount that is gone");
    await writeFile(file, "goes on");
  });

  test("is replaced when it is stopped, and nobody hangs", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount(["-o", "hang_timeout=2s"]);
    await writeFile(join(volume.dir, "f"), "kept");
    const pid = volume.mountPid();
    process.kill(pid, "SIGSTOP");
    await using reader = await aMountUser(volume.dir, "reader");
    assert.notEqual((await reader.end())["stat"], "ok");
    await waitFor(async () => volume.mountPid() !== pid && (await isMounted(volume.dir)));
    assert.equal(readFileSync(join(volume.dir, "f"), "utf8"), "kept");
  });

  test("leaves a clean path when its supervisor is killed, also while programs use it", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount();
    await writeFile(join(volume.dir, "f"), "kept");
    await using _holder = await aMountUser(volume.dir, "holder");
    process.kill(volume.supervisorPid, "SIGKILL");
    await waitFor(async () => !(await isMounted(volume.dir)));
    await using again = await place.mount();
    assert.equal(await readFile(join(again.dir, "f"), "utf8"), "kept");
  });
});

describe("anax mount and umount", { skip }, () => {
  test("in the background: it goes on after the command, and what was written is there again", async () => {
    await using place = await aVolumePlace();
    assert.equal((await place.anax(["mount", VOLUME, place.dir])).code, 0);
    writeFileSync(join(place.dir, "f"), "kept");
    assert.equal((await place.anax(["mount", VOLUME, place.dir])).code, 3, "one mount at a time");
    assert.equal((await place.anax(["umount", place.dir])).code, 0);
    assert.equal(await isMounted(place.dir), false);
    await using volume = await place.mount(["--read-only"]);
    assert.equal(readFileSync(join(volume.dir, "f"), "utf8"), "kept");
    assert.throws(() => writeFileSync(join(volume.dir, "g"), ""), { code: "EROFS" });
  });

  test("a mount that programs use is unmounted by force only, and SIGTERM ends it in good order", async () => {
    await using place = await aVolumePlace();
    await using volume = await place.mount();
    {
      await using _holder = await aMountUser(volume.dir, "holder");
      assert.equal((await place.anax(["umount", volume.dir])).code, 8);
      assert.equal((await place.anax(["umount", volume.dir, "--force"])).code, 0);
    }
    assert.equal(await volume.exited, 0, volume.log());
    await using again = await place.mount();
    assert.equal(statSync(join(again.dir, "written")).size, 100_000, "what was written and not closed is committed all the same");
    process.kill(again.supervisorPid, "SIGTERM");
    assert.equal(await again.exited, 0, again.log());
    assert.equal(await isMounted(again.dir), false);
  });

  test("say what is wrong", async () => {
    await using place = await aVolumePlace();
    for (const [args, code] of [
      [["mount", "missing", place.dir], 4],
      [["mount", VOLUME, join(place.dir, "missing")], 3],
      [["mount", VOLUME, place.dir, "-o", "no_such_option"], 2],
      [["umount", place.dir], 2],
    ] as const) {
      const ran = await place.anax(args);
      assert.equal(ran.code, code, ran.stderr);
      assert.match(ran.stderr, /^error [a-z.-]+: /);
    }
    assert.deepEqual(readdirSync(place.dir), [], "the path is untouched");
  });
});
