import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { isoText, realClock, type Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { masterKeyOf, sameSecret, secretOf, sha256Of } from "./access-keys.ts";
import { notifyWatchers } from "./events.ts";
import { openVolume, type OpenVolume } from "./open-volume.ts";
import { patientVolume } from "./patient-volume.ts";
import { catalogPath, volumePaths } from "./volume-paths.ts";
import { VOLUME_NOT_EXIST } from "./volume-record.ts";
import type { VolumeEvent, VolumeWatch, WatchOptions } from "./volume-watch.ts";
import { Volumes, type NewVolumeOptions } from "./volumes.ts";
import { watchVolume } from "./watch-volume.ts";

const HOUR_MS = 3_600_000;
const session = { host: "here", pid: process.pid, mountpoint: "/mnt", readOnly: false };

const DEFAULTS: NewVolumeOptions = {
  name: "v",
  owner: "ann",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  onDelete: "detach-now",
  undeleteMs: 48 * HOUR_MS,
  uid: 0,
  gid: 0,
  permissions: 0o755,
};

const aVolume = (more: Partial<NewVolumeOptions> = {}): NewVolumeOptions => ({ ...DEFAULTS, ...more });

async function scenario(run: (volumes: Volumes, dataDir: string) => Promise<void>, clock: Clock = realClock): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "anax-volumes-"));
  try {
    await run(new Volumes(dataDir, clock), dataDir);
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const codeOf = (run: () => unknown): Promise<unknown> =>
  Promise.resolve()
    .then(run)
    .then(
      () => "done",
      (error: unknown) => (error instanceof AnaxError ? error.code : error),
    );

test("a volume is created once under its name, renamed, and found by name and uuid", () =>
  scenario(async (volumes) => {
    assert.deepEqual(volumes.list(), []);
    assert.equal(await codeOf(() => volumes.get("v")), "volume.not-found");
    const { volume } = await volumes.create(aVolume());
    assert.equal(await codeOf(() => volumes.create(aVolume())), "volume.exists");
    for (const name of ["", "UPPER", "-a", "a-", "a..b", "x".repeat(64), "../up"])
      assert.equal(await codeOf(() => volumes.create(aVolume({ name }))), "input.invalid", name);
    assert.deepEqual(volumes.get(volume.uuid), volume);
    const renamed = await volumes.update("v", { name: "w", capacityBytes: 1000, readOnly: true });
    assert.deepEqual([renamed.name, renamed.epoch], ["w", 2]);
    assert.equal(await codeOf(() => volumes.get("v")), "volume.not-found");
    await using control = await volumes.control(renamed);
    assert.deepEqual(await control.readFence(), {
      state: "active",
      epoch: 2,
      readOnly: true,
      capacityBytes: 1000,
      inodesMax: 0,
      trashMs: 0,
    });
  }));

test("a catalog of an earlier version is taken over, with its volumes in their directories", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    {
      using database = new DatabaseSync(catalogPath(dataDir));
      database.exec("ALTER TABLE volume DROP COLUMN data; ALTER TABLE volume DROP COLUMN trash_ms; PRAGMA user_version = 1");
    }
    assert.deepEqual(volumes.get("v"), volume);
    assert.deepEqual((await volumes.update("v", { owner: "ben" })).data, { kind: "directory" });
  }));

test("an access key's secret is computed, not stored, and can be withdrawn", () =>
  scenario(async (volumes, dataDir) => {
    const { key } = await volumes.create(aVolume());
    assert.match(key.id, /^ANAX[0-9A-F]{16}$/);
    assert.equal(secretOf(masterKeyOf(dataDir), key.id), key.secret);
    assert.ok(sameSecret(key.secret, sha256Of(key.secret)));
    assert.ok(!sameSecret("other", sha256Of(key.secret)));
    const second = volumes.addKey("v");
    assert.notEqual(second.secret, key.secret);
    volumes.removeKey("v", key.id);
    assert.deepEqual(
      volumes.keys("v").map(({ id }) => id),
      [second.id],
    );
    assert.equal(await codeOf(() => volumes.removeKey("v", key.id)), "input.invalid");
  }));

test("a marked volume comes back with everything, and only within its window", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    {
      await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: 1 });
      assert.equal(typeof (await open.verbs.create(1, "f", { kind: "file", permissions: 0o600, uid: 1, gid: 1 })), "object");
    }
    const marked = await volumes.delete("v", { now: false, by: "bob" });
    assert.deepEqual([marked.state, marked.epoch, marked.deletedBy], ["deleting", 2, "bob"]);
    assert.equal(marked.purgeAtMs, (marked.deletedAtMs ?? 0) + 48 * HOUR_MS);
    assert.equal(await codeOf(() => volumes.delete("v", { now: false, by: "bob" })), "volume.wrong-state");
    assert.equal(await codeOf(() => volumes.create(aVolume())), "volume.exists");
    assert.equal(await codeOf(() => volumes.update("v", { owner: "x" })), "volume.wrong-state");
    assert.equal(await codeOf(() => volumes.purge("v", { force: false })), "volume.wrong-state");
    assert.deepEqual(volumes.due(), []);
    const back = await volumes.undelete("v");
    assert.deepEqual([back.state, back.epoch, back.purgeAtMs], ["active", 3, undefined]);
    await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: 1 });
    assert.equal(typeof (await open.verbs.lookup(1, "f")), "object");
    assert.equal(await codeOf(() => volumes.undelete("v")), "volume.wrong-state");
  }));

test("what is purged leaves a tombstone, its name is free, and its code says which volume it was", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    const gone = await volumes.delete("v", { now: true, by: "bob" });
    assert.deepEqual([gone.state, gone.epoch], ["deleted", 4]);
    assert.ok(!existsSync(volumePaths(dataDir, volume.uuid).dir));
    await assert.rejects(async () => volumes.get(volume.uuid), {
      code: "volume.not-exist",
      details: {
        wireCode: VOLUME_NOT_EXIST,
        volume: volume.uuid,
        epoch: 3,
        deletedAt: isoText(gone.deletedAtMs ?? 0),
        deletedBy: "bob",
      },
    });
    const { volume: next } = await volumes.create(aVolume());
    assert.equal(volumes.get("v").uuid, next.uuid);
    assert.equal(volumes.list().length, 2);
  }));

test("a volume is deleted with its directory also while clients that are leaving write to it", () =>
  scenario(async (volumes, dataDir) => {
    for (let round = 0; round < 10; round++) {
      const { uuid } = (await volumes.create(aVolume())).volume;
      const { dir, told } = volumePaths(dataDir, uuid);
      let left = 1000;
      const leaving = setInterval(() => void (left-- > 0 && notifyWatchers(told, realClock.wallMs())), 0);
      const deleted = await volumes.delete("v", { now: true, by: "bob" }).finally(() => clearInterval(leaving));
      assert.equal(deleted.state, "deleted");
      assert.equal(existsSync(dir), false);
    }
  }));

test("a window that has closed makes a volume due, and a purge that broke off is finished", async () => {
  let wallMs = 1_700_000_000_000;
  const clock: Clock = { ...realClock, wallMs: () => wallMs };
  await scenario(async (volumes) => {
    await volumes.create(aVolume({ undeleteMs: HOUR_MS }));
    await volumes.delete("v", { now: false, by: "bob" });
    wallMs += HOUR_MS;
    assert.deepEqual(
      volumes.due().map(({ name }) => name),
      ["v"],
    );
    assert.equal((await volumes.purge("v", { force: false })).state, "deleted");
    assert.deepEqual(volumes.due(), []);
  }, clock);
});

/** Events of a watch, and a way to wait for one. */
function events(): { readonly onEvent: (event: VolumeEvent) => void; next(kind: VolumeEvent["kind"]): Promise<VolumeEvent> } {
  const seen: VolumeEvent[] = [];
  let wake: (() => void) | undefined;
  return {
    onEvent(event) {
      seen.push(event);
      wake?.();
    },
    async next(kind) {
      for (;;) {
        const index = seen.findIndex((event) => event.kind === kind);
        if (index >= 0) return seen.splice(0, index + 1).at(-1)!; // it was found
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

/** Puts a database elsewhere, with what SQLite keeps beside it. */
const aside = (from: string, to: string): Promise<unknown> =>
  Promise.all(["", "-wal", "-shm"].map((end) => rename(`${from}${end}`, `${to}${end}`).catch(() => undefined)));

const watching = (dataDir: string, onEvent: WatchOptions["onEvent"]): Promise<VolumeWatch> =>
  watchVolume({ dataDir, volume: "v", session, onEvent });

test("a client is told by push that its volume was changed, marked, taken back, and is gone", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    const told = events();
    await using watch = await watching(dataDir, told.onEvent);
    assert.equal((await volumes.sessions(volume)).length, 1);
    for (const change of [
      () => volumes.update("v", { capacityBytes: 5 }),
      () => volumes.delete("v", { now: false, by: "bob" }),
      () => volumes.undelete("v"),
    ]) {
      const after = await change();
      assert.deepEqual(await told.next("changed"), { kind: "changed", volume: after, source: "push" });
      assert.deepEqual(watch.volume, after);
    }
    await volumes.delete("v", { now: true, by: "bob" });
    const gone = await told.next("gone");
    assert.ok(gone.kind === "gone");
    assert.deepEqual([gone.wireCode, gone.volumeUuid, gone.deletedBy, gone.source], [100_404, volume.uuid, "bob", "push"]);
    assert.equal(await codeOf(() => watching(dataDir, told.onEvent)), "volume.not-exist");
  }));

test("a catalog that is missing, damaged, or another one is no reason to leave", () =>
  scenario(async (volumes, dataDir) => {
    await volumes.create(aVolume());
    const told = events();
    await using watch = await watching(dataDir, told.onEvent);
    const catalog = catalogPath(dataDir);
    await aside(catalog, `${catalog}.aside`);
    await watch.confirm();
    assert.equal((await told.next("suspect")).kind, "suspect");
    await writeFile(catalog, "this is no database, and long enough to be looked at as one".repeat(20));
    await watch.confirm();
    await rm(catalog);
    await new Volumes(dataDir, realClock).create(aVolume({ name: "other" }));
    await watch.confirm();
    await rm(catalog);
    await aside(`${catalog}.aside`, catalog);
    await watch.confirm();
    assert.equal((await told.next("reached")).kind, "reached");
  }));

test("who changes content waits until those that have it in a cache have dropped it", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    const [shared, invalidated, dropped] = [0, 1, 2].map(() => Promise.withResolvers<VolumeEvent | undefined>());
    await using first = await watching(dataDir, (event) => {
      if (event.kind === "shared") shared!.resolve(event);
      if (event.kind !== "invalidate") return undefined;
      invalidated!.resolve(event);
      return dropped!.promise.then(() => undefined);
    });
    assert.equal(first.shared, false);
    await using second = await watching(dataDir, () => undefined);
    assert.deepEqual(await shared!.promise, { kind: "shared", shared: true });
    assert.equal(second.shared, true);
    await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: second.sessionId });
    const made = await open.verbs.create(1, "f", { kind: "file", permissions: 0o600, uid: 1, gid: 1 });
    assert.ok(typeof made === "object");
    await open.verbs.settle(false);
    await second.settled();
    await open.verbs.setattr(made.ino, { size: 10 });
    await open.verbs.settle(false);
    let done = false;
    const settled = second.settled().then(() => (done = true));
    assert.deepEqual(await invalidated!.promise, { kind: "invalidate", everything: false, inos: [made.ino] });
    assert.equal(done, false);
    dropped!.resolve(undefined);
    assert.equal(await settled, true);
  }));

test("what another client holds is asked for, given back, and waited for", () =>
  scenario(async (volumes, dataDir) => {
    const { volume } = await volumes.create(aVolume());
    const holding: { open?: OpenVolume } = {};
    await using holder = await watching(dataDir, (event) => {
      if (event.kind !== "wanted") return;
      for (const ino of event.inos) void holding.open!.files.release(ino);
      void holding.open!.verbs.settle(false);
      holder.released();
    });
    await using other = await watching(dataDir, () => undefined);
    await using held = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: holder.sessionId });
    holding.open = held;
    await using bare = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: other.sessionId });
    for (const each of [held, bare]) each.leases.share(true);
    const made = await held.verbs.create(1, "f", { kind: "file", permissions: 0o600, uid: 1, gid: 1, leased: true });
    assert.ok(typeof made === "object");
    await held.files.write(made.ino, 0, Buffer.from("written"));
    await held.verbs.settle(false);
    const found = await patientVolume(bare, other, realClock).verbs.lookup(1, "f");
    assert.equal(typeof found === "object" && found.size, 7);
  }));
