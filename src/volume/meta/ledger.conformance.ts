import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Flaw, VolumeLedger } from "./ledger.ts";
import { BLOB_DOOMED, BLOB_LIVE, BLOB_PENDING } from "./rules/tables.ts";
import type { EngineVerbs } from "./rules/verbs-on.ts";
import type { VolumeFixture, VolumeLimits } from "./verbs.conformance.ts";
import { failed, ROOT_INO, type NewNode } from "./verbs.ts";

/** A volume whose records can be damaged as no verb would. */
export interface LedgerFixture extends VolumeFixture {
  open(sessionId: number): Promise<EngineVerbs>;
  ledger(): Promise<VolumeLedger>;
  damage(damage: Damage): Promise<void>;
}

export interface Damage {
  readonly blobs?: readonly { readonly id: number; readonly refs?: number; readonly state?: number }[];
  readonly nodes?: readonly { readonly ino: number; readonly nlink?: number; readonly allocated?: number }[];
  readonly used?: { readonly bytes: number; readonly inodes: number };
  /** Inodes without a name, and for which session they are kept, from now on or no longer. */
  readonly kept?: readonly { readonly ino: number; readonly session: number; readonly there: boolean }[];
  /** What the trash has, of the root directory. */
  readonly trash?: readonly { readonly ino: number; readonly there: boolean }[];
}

const FILE: NewNode = { kind: "file", permissions: 0o644, uid: 0, gid: 0 };
const DIRECTORY: NewNode = { kind: "directory", permissions: 0o755, uid: 0, gid: 0 };
const LENGTH = 8192;
const FILES = 40;
const TRASH = -2;
const INFO = { host: "here", pid: 1, mountpoint: "/mnt", readOnly: false };

/** What the ledger of every metadata engine has to find and to mend. */
export function ledgerConformance(engine: string, make: (limits?: VolumeLimits) => Promise<LedgerFixture>): void {
  const scenario = (title: string, run: (one: Scene) => Promise<void>): void =>
    void test(`${engine}: ${title}`, async () => {
      await using fixture = await make({ trashMs: 3_600_000 });
      await run(await sceneOf(fixture));
    });

  scenario("everything that is counted wrong is named, and right once it is counted anew", async (scene) => {
    const { verbs, ledger, damage } = scene;
    const [large, small, other] = [await scene.file("large"), await scene.file("small"), await scene.file("other")];
    const [first, second, third] = [await scene.write(large, 0), await scene.write(large, 2), await scene.write(other, 0)];
    assert.equal(typeof verbs.commit(small, { size: 5, mtimeMs: 0, inline: Buffer.from("small") }), "object");
    assert.equal(typeof verbs.link(small, ROOT_INO, "its other name"), "object");
    const directory = await scene.file("d", DIRECTORY);
    await scene.file("below", DIRECTORY, directory);
    const unread = verbs.reserveBlobs([{ sha256: "cd".repeat(32), bytes: LENGTH }]);
    assert.ok(!failed(unread));
    verbs.settle(false);
    assert.deepEqual(await ledger.check(100), []);
    const before = await ledger.count();
    await damage({
      blobs: [
        { id: first, refs: 0, state: BLOB_DOOMED },
        { id: second, refs: 7 },
        { id: third, state: BLOB_PENDING },
        { id: unread[0]!, refs: 2, state: BLOB_LIVE }, // one was reserved
      ],
      nodes: [
        { ino: large, nlink: 3, allocated: 1 },
        { ino: small, nlink: 1, allocated: 4096 },
        { ino: directory, nlink: 9 },
      ],
      used: { bytes: 77, inodes: 88 },
    });
    assertFlaws(await ledger.check(100), [
      `allocated-bytes ${large}: 1, ${2 * LENGTH}`,
      `allocated-bytes ${small}: 4096, 5`,
      `blob-references ${first}: 0, 1`,
      `blob-references ${second}: 7, 1`,
      `blob-references ${third}: 1, 1`,
      `blob-references ${unread[0]}: 2, 0`,
      `link-count ${directory}: 9, 3`,
      `link-count ${large}: 3, 1`,
      `link-count ${small}: 1, 2`,
      `used-bytes 0: 77, ${1 + 4096 + LENGTH}`,
      "used-inodes 0: 88, 6",
    ]);
    await ledger.recount();
    assert.deepEqual(await ledger.check(100), []);
    assert.deepEqual(await ledger.count(), { ...before, pending: 0, doomed: 1, doomedBytes: LENGTH });
    const again = await scene.second();
    assert.equal(again.statfs().usedBytes, 3 * LENGTH + 5);
    const found = again.getattr(small);
    assert.ok(!failed(found));
    assert.deepEqual([found.nlink, found.blocks], [2, 1]);
    // What was wrongly counted as unused is not deleted, and what nothing uses is.
    const { control } = scene.fixture;
    for (const { id } of await control.sessions()) await control.endSession(id);
    const claimed = await ledger.claim({ graceMs: -60_000, countMax: 10 });
    assert.deepEqual(
      claimed.map(({ id }) => id),
      unread,
    );
  });

  scenario("what has no name is kept for somebody, and the trash has what it says", async (scene) => {
    const { verbs, ledger, damage } = scene;
    const inos: number[] = [];
    for (const name of ["lost", "kept", "named", "restorable"]) inos.push(await scene.file(name));
    const [lost, kept, named, restorable] = inos as [number, number, number, number];
    for (const name of ["lost", "kept", "restorable"]) assert.equal(verbs.unlink(ROOT_INO, name), 0);
    verbs.settle(false);
    assert.deepEqual(await ledger.check(100), []);
    await damage({
      trash: [
        { ino: lost, there: false },
        { ino: named, there: true },
        { ino: kept, there: false },
      ],
      kept: [
        { ino: lost, session: TRASH, there: false },
        { ino: restorable, session: TRASH, there: false },
      ],
    });
    assertFlaws(await ledger.check(100), [
      `inode-without-entry ${lost}: 0, 0`,
      `inode-without-entry ${restorable}: 0, 0`,
      `trash-entry ${kept}: -2, 0`,
      `trash-entry ${named}: 1, 0`,
      `trash-entry ${restorable}: 0, 0`,
    ]);
    await ledger.recount();
    assert.deepEqual(await ledger.check(100), []);
    assert.equal((await ledger.count()).trash, 1);
    while (await ledger.removeOrphans());
    const again = await scene.second();
    assert.deepEqual(
      [lost, kept].map((ino) => failed(again.getattr(ino))),
      [true, true],
    );
    assert.equal(again.trash.restore(restorable, ROOT_INO, "back"), 0);
    again.settle(false);
    assert.deepEqual(await ledger.check(100), []);
  });

  scenario("what is mended while clients change the same is right in the end", async (scene) => {
    const { verbs, ledger, damage } = scene;
    const files: { ino: number; blob: number }[] = [];
    for (let index = 0; index < FILES; index++) {
      const ino = await scene.file(`f${index}`);
      files.push({ ino, blob: await scene.write(ino, 0) });
    }
    verbs.settle(false);
    await damage({
      blobs: files.map(({ blob }, index) => (index % 2 === 0 ? { id: blob, refs: 5 } : { id: blob, refs: 0, state: BLOB_DOOMED })),
      nodes: [{ ino: ROOT_INO, nlink: 40 }, ...files.map(({ ino }, index) => ({ ino, allocated: index, nlink: 2 + (index % 3) }))],
      used: { bytes: 5, inodes: 1000 },
    });
    const client = await scene.second();
    const repair = { ended: false };
    const repairing = ledger.recount().finally(() => (repair.ended = true));
    repairing.catch(() => undefined); // it is awaited below
    for (let round = 0; !repair.ended || round < FILES; round++) {
      const { ino, blob } = files[round % FILES]!; // there are so many
      const position = (round % 3) * 2 * LENGTH;
      if (round % 16 === 0) client.link(ino, ROOT_INO, `l${round}`);
      else if (round % 16 === 8) client.create(ROOT_INO, `n${round}`, round % 32 === 8 ? DIRECTORY : FILE);
      else if (round % 4 === 2) client.setattr(ino, { size: position });
      else {
        const extents = [{ position, length: LENGTH, blobId: blob, blobOffset: 0 }];
        client.commit(ino, { size: position + LENGTH, mtimeMs: realClock.wallMs(), extents });
      }
      if (round % 16 === 0) client.settle(false);
      await realClock.sleep((round % 4) * 5); // verbs block the thread that the repair needs, too
    }
    await repairing;
    client.settle(false);
    assert.deepEqual(await ledger.check(100), []);
  });

  scenario("of two repairs at once none undoes the other's", async (scene) => {
    const { ledger, damage } = scene;
    const inos: number[] = [];
    for (let index = 0; index < FILES; index++) inos.push(await scene.file(`f${index}`));
    const blobs: number[] = [];
    for (const ino of inos) blobs.push(await scene.write(ino, 0));
    scene.verbs.settle(false);
    await damage({
      blobs: blobs.map((id) => ({ id, refs: 9 })),
      nodes: inos.map((ino) => ({ ino, nlink: 5 })),
      used: { bytes: 1, inodes: 1 },
    });
    const other = await scene.fixture.ledger();
    try {
      const outcomes = await Promise.allSettled([ledger.recount(), other.recount()]);
      const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
      assert.ok(failures.length < 2, "one of them is done");
      for (const failure of failures) assert.ok(failure instanceof AnaxError && failure.code === "volume.changed", String(failure));
    } finally {
      await other[Symbol.asyncDispose]();
    }
    assert.deepEqual(await ledger.check(100), []);
  });
}

interface Scene {
  readonly fixture: LedgerFixture;
  readonly verbs: EngineVerbs;
  readonly ledger: VolumeLedger;
  readonly damage: LedgerFixture["damage"];
  /** Verbs of another session. */
  readonly second: () => Promise<EngineVerbs>;
  /** Makes one; its inode. */
  readonly file: (name: string, node?: NewNode, parent?: number) => Promise<number>;
  /** Commits a new blob at a place; its id. */
  readonly write: (ino: number, part: number) => Promise<number>;
}

async function sceneOf(fixture: LedgerFixture): Promise<Scene> {
  const { control } = fixture;
  const sessionId = await control.beginSession(INFO);
  const verbs = await fixture.open(sessionId);
  return {
    fixture,
    verbs,
    ledger: await fixture.ledger(),
    damage: (damage) => fixture.damage(damage),
    second: async () => fixture.open(await control.beginSession(INFO)),
    async file(name, node = FILE, parent = ROOT_INO) {
      const made = verbs.create(parent, name, node);
      assert.ok(!failed(made));
      return made.ino;
    },
    async write(ino, part) {
      const ids = verbs.reserveBlobs([{ sha256: "ab".repeat(32), bytes: LENGTH }]);
      assert.ok(!failed(ids));
      const extents = [{ position: part * LENGTH, length: LENGTH, blobId: ids[0]!, blobOffset: 0 }]; // one was reserved
      assert.equal(typeof verbs.commit(ino, { size: (part + 1) * LENGTH, mtimeMs: realClock.wallMs(), extents }), "object");
      return ids[0]!;
    },
  };
}

/** In whatever order. */
function assertFlaws(flaws: readonly Flaw[], expected: readonly string[]): void {
  const texts = flaws.map(({ kind, id, found, expected: wanted }) => `${kind} ${id}: ${found}, ${wanted}`);
  assert.deepEqual(texts.toSorted(), expected.toSorted());
}
