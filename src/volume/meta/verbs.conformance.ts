import assert from "node:assert/strict";
import { constants } from "node:os";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import type { VolumeControl } from "./control.ts";
import type { LeaseVerbs } from "./leases.ts";
import { LOCK_END, type LockRequest } from "./locks.ts";
import { COOKIE_MIN, NO_REQUEST, ROOT_INO, type Attributes, type Errno, type FileMap, type NewNode, type VolumeVerbs } from "./verbs.ts";

const {
  EAGAIN,
  EDQUOT,
  EEXIST,
  EFBIG,
  EINVAL,
  EIO,
  EISDIR,
  ENAMETOOLONG,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  ENOTEMPTY,
  EPERM,
  ERANGE,
  EROFS,
  EXDEV,
} = constants.errno;

export interface VolumeLimits {
  readonly capacityBytes?: number;
  readonly inodesMax?: number;
  readonly trashMs?: number;
}

type TestedVerbs = VolumeVerbs & { readonly leases: LeaseVerbs };

/** An empty volume of a real engine. */
export interface VolumeFixture extends AsyncDisposable {
  readonly control: VolumeControl;
  open(sessionId: number): Promise<TestedVerbs>;
}

/** What becomes of a commit whose answer is lost. */
const LOSSES = ["made", "not made", "made late"] as const;
/** The last one: it was asked after, said to be not made, and was made then. */
export type Loss = (typeof LOSSES)[number] | "made after all";

/** Of an engine that answers can be lost of. */
export interface LossyFixture extends VolumeFixture {
  /** The next commit of these verbs, which then throw `volume.unreachable`. */
  openLossy(sessionId: number): Promise<{ readonly verbs: VolumeVerbs; readonly lose: (loss: Loss) => void }>;
}

type Make = (limits?: VolumeLimits) => Promise<VolumeFixture>;

const FILE: NewNode = { kind: "file", permissions: 0o644, uid: 1000, gid: 1001 };
const DIRECTORY: NewNode = { kind: "directory", permissions: 0o755, uid: 1000, gid: 1001 };
const SHA = "ab".repeat(32);
const info = { host: "here", pid: 1, mountpoint: "/mnt", readOnly: false };

/** What every metadata engine has to do, whatever it is made of. */
export function verbsConformance(engine: string, make: Make): void {
  const scenario = (title: string, run: (one: Scene) => Promise<void>, limits?: VolumeLimits): void =>
    void test(`${engine}: ${title}`, async () => {
      await using fixture = await make(limits);
      await run(await sceneOf(fixture));
    });

  scenario("a new volume is an empty root directory", async ({ verbs }) => {
    const root = found(await verbs.getattr(ROOT_INO));
    assert.deepEqual([root.kind, root.nlink, root.mode], ["directory", 2, 0o040755]);
    assert.deepEqual(await verbs.readdir(ROOT_INO, 0, 10, false), []);
    assert.equal((await verbs.statfs()).usedInodes, 1);
  });

  scenario("what is created is found, with its owner, kind and times", async ({ verbs }) => {
    const made = found(await verbs.create(ROOT_INO, "f", { ...FILE, permissions: 0o4755 }));
    assert.deepEqual(await verbs.lookup(ROOT_INO, "f"), made);
    assert.deepEqual([made.mode, made.uid, made.gid, made.nlink, made.size], [0o104755, 1000, 1001, 1, 0]);
    assert.ok(Math.abs(made.mtimeSec - realClock.wallMs() / 1000) < 60);
    const device = found(await verbs.create(ROOT_INO, "d", { ...FILE, kind: "char", rdev: 0x0103 }));
    assert.deepEqual([device.kind, device.rdev, device.mode], ["char", 0x0103, 0o020644]);
    const pipe = found(await verbs.create(ROOT_INO, "p", { ...FILE, kind: "fifo" }));
    assert.equal(pipe.kind, "fifo");
  });

  scenario("a name is taken once, and must be one", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await verbs.create(ROOT_INO, "f", DIRECTORY), EEXIST);
    assert.equal(await verbs.create(ROOT_INO, "x".repeat(256), FILE), ENAMETOOLONG);
    assert.equal(await verbs.lookup(ROOT_INO, "x".repeat(256)), ENAMETOOLONG);
    found(await verbs.create(ROOT_INO, "x".repeat(255), FILE));
    for (const bad of ["", ".", "..", "a/b", "a\0"]) assert.equal(await verbs.create(ROOT_INO, bad, FILE), EINVAL, bad);
    assert.equal(await verbs.create(file.ino, "g", FILE), ENOTDIR);
    assert.equal(await verbs.lookup(file.ino, "g"), ENOTDIR);
    assert.equal(await verbs.create(999_999, "g", FILE), ENOENT);
    assert.equal(await verbs.lookup(ROOT_INO, "nothing"), ENOENT);
    assert.equal(await verbs.getattr(999_999), ENOENT);
  });

  scenario("names are bytes, not text", async ({ verbs }) => {
    const name = "\xff\x80\xe4 x";
    found(await verbs.create(ROOT_INO, name, FILE));
    found(await verbs.lookup(ROOT_INO, name));
    assert.deepEqual(await names(verbs, ROOT_INO), [name]);
  });

  scenario("links of directories count subdirectories, and their times follow their entries", async ({ verbs }) => {
    const made = found(await verbs.create(ROOT_INO, "d", DIRECTORY));
    assert.equal(made.nlink, 2);
    assert.equal(found(await verbs.getattr(ROOT_INO)).nlink, 3);
    found(await verbs.setattr(made.ino, { mtime: { sec: 5, nsec: 6 } }));
    found(await verbs.create(made.ino, "f", FILE));
    assert.equal(found(await verbs.getattr(made.ino)).nlink, 2);
    assert.ok(found(await verbs.getattr(made.ino)).mtimeSec > 5);
    assert.equal(await verbs.rmdir(ROOT_INO, "d"), ENOTEMPTY);
    assert.equal(await verbs.unlink(ROOT_INO, "d"), EISDIR);
    assert.equal(await verbs.rmdir(made.ino, "f"), ENOTDIR);
    assert.equal(await verbs.unlink(made.ino, "f"), 0);
    assert.equal(await verbs.rmdir(ROOT_INO, "d"), 0);
    assert.equal(found(await verbs.getattr(ROOT_INO)).nlink, 2);
    assert.equal(await verbs.getattr(made.ino), ENOENT);
    assert.equal(await verbs.unlink(ROOT_INO, "d"), ENOENT);
    assert.equal((await verbs.statfs()).usedInodes, 1);
  });

  scenario("setgid of a directory is handed down", async ({ verbs }) => {
    const made = found(await verbs.create(ROOT_INO, "d", { ...DIRECTORY, permissions: 0o2775, gid: 77 }));
    assert.equal(found(await verbs.create(made.ino, "f", FILE)).gid, 77);
    const below = found(await verbs.create(made.ino, "e", DIRECTORY));
    assert.deepEqual([below.gid, below.mode & 0o7777], [77, 0o2755]);
  });

  scenario("a directory that is gone takes no entries", async ({ verbs }) => {
    const made = found(await verbs.create(ROOT_INO, "d", DIRECTORY));
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await verbs.open(made.ino), 0);
    assert.equal(await verbs.rmdir(ROOT_INO, "d"), 0);
    assert.equal(await verbs.create(made.ino, "x", FILE), ENOENT);
    assert.equal(await verbs.link(file.ino, made.ino, "x"), ENOENT);
    assert.equal(await verbs.rename(ROOT_INO, "f", made.ino, "x", 0), ENOENT);
  });

  scenario("symbolic links keep their target, byte for byte", async ({ verbs }) => {
    const target = "/some/\xfftarget";
    const made = found(await verbs.create(ROOT_INO, "l", { ...FILE, kind: "symlink", permissions: 0o777, target }));
    assert.deepEqual([made.kind, made.size, made.mode], ["symlink", target.length, 0o120777]);
    assert.equal(await verbs.readlink(made.ino), target);
    assert.equal(await verbs.readlink(ROOT_INO), EINVAL);
    assert.equal(await verbs.create(ROOT_INO, "m", { ...FILE, kind: "symlink", target: "x".repeat(4096) }), ENAMETOOLONG);
    assert.equal(await verbs.unlink(ROOT_INO, "l"), 0);
    assert.equal(await verbs.readlink(made.ino), ENOENT);
  });

  scenario("hard links are names of one inode", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "a", FILE));
    const made = found(await verbs.create(ROOT_INO, "d", DIRECTORY));
    assert.equal(found(await verbs.link(file.ino, made.ino, "b")).nlink, 2);
    assert.equal(found(await verbs.lookup(made.ino, "b")).ino, file.ino);
    assert.equal(await verbs.link(file.ino, made.ino, "b"), EEXIST);
    assert.equal(await verbs.link(made.ino, ROOT_INO, "c"), EPERM);
    assert.equal(await verbs.link(999_999, ROOT_INO, "c"), ENOENT);
    assert.equal((await verbs.statfs()).usedInodes, 3);
    assert.equal(await verbs.unlink(ROOT_INO, "a"), 0);
    assert.equal(found(await verbs.getattr(file.ino)).nlink, 1);
    assert.equal(await verbs.unlink(made.ino, "b"), 0);
    assert.equal(await verbs.getattr(file.ino), ENOENT);
  });

  scenario("setattr changes what it names, and ctime", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const changed = found(
      await verbs.setattr(file.ino, {
        permissions: 0o2600,
        uid: 5,
        atime: { sec: 1, nsec: 999_999_999 },
        mtime: { sec: -3, nsec: 1 },
        ctime: { sec: 9, nsec: 8 },
      }),
    );
    assert.deepEqual([changed.mode, changed.uid, changed.gid], [0o102600, 5, 1001]);
    assert.deepEqual([changed.atimeSec, changed.atimeNsec, changed.mtimeSec, changed.mtimeNsec], [1, 999_999_999, -3, 1]);
    assert.deepEqual([changed.ctimeSec, changed.ctimeNsec], [9, 8]);
    assert.deepEqual(await verbs.getattr(file.ino), changed);
    assert.ok(found(await verbs.setattr(file.ino, { mtime: "now" })).mtimeSec > 9);
    assert.equal(await verbs.setattr(ROOT_INO, { size: 1 }), EISDIR);
    assert.equal(await verbs.setattr(file.ino, { size: 2 ** 53 }), EINVAL);
    assert.equal(await verbs.setattr(file.ino, { size: 2 ** 52 + 1 }), EFBIG);
    assert.equal(await verbs.setattr(999_999, { uid: 1 }), ENOENT);
  });

  scenario("each change shows in ctime, which content written before it does not set back", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const seen = [file];
    for (let round = 0; round < 5; round++) {
      seen.push(found(await verbs.link(file.ino, ROOT_INO, "g")));
      seen.push(found(await verbs.setattr(file.ino, { permissions: 0o600 + round })));
      seen.push(found(await verbs.setattr(file.ino, { size: round })));
      assert.equal(await verbs.unlink(ROOT_INO, "g"), 0);
      seen.push(found(await verbs.getattr(file.ino)));
    }
    const times = seen.map(({ ctimeSec, ctimeNsec }) => BigInt(ctimeSec) * 1_000_000_000n + BigInt(ctimeNsec));
    for (let index = 1; index < times.length; index++) assert.ok(times[index]! > times[index - 1]!, `change ${index}: ${times.join(" ")}`);
    const { ctimeSec, ctimeNsec } = seen.at(-1)!;
    const after = found(await verbs.commit(file.ino, { size: 1, mtimeMs: ctimeSec * 1000 - 5000, inline: Buffer.from("x") }));
    assert.deepEqual([after.mtimeSec, after.ctimeSec, after.ctimeNsec], [ctimeSec - 5, ctimeSec, ctimeNsec]);
  });

  scenario("reading a directory in parts shows each entry once, while others come and go", async ({ verbs }) => {
    for (let index = 0; index < 500; index++) found(await verbs.create(ROOT_INO, `stays-${index}`, index % 3 === 0 ? DIRECTORY : FILE));
    const seen: string[] = [];
    let cookie = 0;
    for (let round = 0; ; round++) {
      const entries = listed(await verbs.readdir(ROOT_INO, cookie, 37, round % 2 === 0));
      for (const entry of entries) {
        assert.ok(entry.cookie >= COOKIE_MIN);
        if (round % 2 === 0) assert.equal(entry.attributes?.ino, entry.ino);
        assert.equal(entry.kind, entry.name.startsWith("stays") && Number(entry.name.slice(6)) % 3 === 0 ? "directory" : "file");
        seen.push(entry.name);
      }
      if (entries.length < 37) break;
      cookie = entries.at(-1)!.cookie;
      found(await verbs.create(ROOT_INO, `comes-${round}`, FILE));
      if (round > 0) assert.equal(await verbs.unlink(ROOT_INO, `comes-${round - 1}`), 0);
      assert.ok(round < 100);
    }
    const stays = seen.filter((name) => name.startsWith("stays-"));
    assert.equal(stays.length, 500);
    assert.equal(new Set(stays).size, 500);
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await verbs.readdir(file.ino, 0, 10, false), ENOTDIR);
    assert.equal(await verbs.readdir(999_999, 0, 10, false), ENOENT);
  });

  scenario("rename moves, replaces and refuses like rename(2)", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const other = found(await verbs.create(ROOT_INO, "g", FILE));
    const a = found(await verbs.create(ROOT_INO, "a", DIRECTORY));
    const b = found(await verbs.create(a.ino, "b", DIRECTORY));
    assert.equal(await verbs.rename(ROOT_INO, "f", a.ino, "moved", 0), 0);
    assert.equal(await verbs.lookup(ROOT_INO, "f"), ENOENT);
    assert.equal(found(await verbs.lookup(a.ino, "moved")).ino, file.ino);
    assert.equal(await verbs.rename(a.ino, "moved", ROOT_INO, "g", 0), 0);
    assert.equal(await verbs.getattr(other.ino), ENOENT);
    assert.equal(await verbs.rename(ROOT_INO, "g", ROOT_INO, "a", 0), EISDIR);
    assert.equal(await verbs.rename(ROOT_INO, "a", ROOT_INO, "g", 0), ENOTDIR);
    assert.equal(await verbs.rename(ROOT_INO, "a", b.ino, "x", 0), EINVAL);
    assert.equal(await verbs.rename(ROOT_INO, "a", a.ino, "x", 0), EINVAL);
    assert.equal(await verbs.rename(ROOT_INO, "nothing", ROOT_INO, "x", 0), ENOENT);
    found(await verbs.create(ROOT_INO, "c", DIRECTORY));
    assert.equal(await verbs.rename(ROOT_INO, "c", ROOT_INO, "a", 0), ENOTEMPTY);
    assert.equal(await verbs.rename(a.ino, "b", ROOT_INO, "c", 0), 0);
    assert.deepEqual([found(await verbs.getattr(a.ino)).nlink, found(await verbs.getattr(ROOT_INO)).nlink], [2, 4]);
    assert.deepEqual((await names(verbs, ROOT_INO)).toSorted(), ["a", "c", "g"]);
    assert.equal(await verbs.rename(ROOT_INO, "g", ROOT_INO, "x".repeat(256), 0), ENAMETOOLONG);
    assert.equal(await verbs.rename(ROOT_INO, "g", ROOT_INO, "h", 4), EINVAL);
  });

  scenario("rename of one file onto its other name does nothing", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "a", FILE));
    found(await verbs.link(file.ino, ROOT_INO, "b"));
    assert.equal(await verbs.rename(ROOT_INO, "a", ROOT_INO, "b", 0), 0);
    assert.deepEqual((await names(verbs, ROOT_INO)).toSorted(), ["a", "b"]);
    assert.equal(found(await verbs.getattr(file.ino)).nlink, 2);
  });

  scenario("rename without replacing, and exchanging", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const made = found(await verbs.create(ROOT_INO, "d", DIRECTORY));
    const below = found(await verbs.create(made.ino, "e", DIRECTORY));
    assert.equal(await verbs.rename(ROOT_INO, "f", ROOT_INO, "d", 1), EEXIST);
    assert.equal(await verbs.rename(ROOT_INO, "f", made.ino, "g", 2), ENOENT);
    assert.equal(await verbs.rename(ROOT_INO, "f", made.ino, "e", 2), 0);
    assert.equal(found(await verbs.lookup(ROOT_INO, "f")).ino, below.ino);
    assert.equal(found(await verbs.lookup(made.ino, "e")).ino, file.ino);
    assert.deepEqual([found(await verbs.getattr(made.ino)).nlink, found(await verbs.getattr(ROOT_INO)).nlink], [2, 4]);
    found(await verbs.create(below.ino, "x", FILE));
    assert.equal(await verbs.rename(ROOT_INO, "f", below.ino, "x", 2), EINVAL);
  });

  scenario("an open file lives without a name until it is closed", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await verbs.open(file.ino), 0);
    assert.equal(await verbs.open(file.ino), 0);
    found(await verbs.commit(file.ino, { size: 3, mtimeMs: 1000, inline: Buffer.from("abc") }));
    assert.equal(await verbs.unlink(ROOT_INO, "f"), 0);
    assert.deepEqual(pick(found(await verbs.getattr(file.ino))), { nlink: 0, size: 3 });
    assert.equal(await verbs.link(file.ino, ROOT_INO, "again"), ENOENT);
    assert.equal(await verbs.close(file.ino), 0);
    assert.deepEqual(pick(found(await verbs.getattr(file.ino))), { nlink: 0, size: 3 });
    assert.equal(await verbs.close(file.ino), 0);
    assert.equal(await verbs.getattr(file.ino), ENOENT);
    assert.deepEqual(await verbs.statfs(), { readOnly: false, capacityBytes: 0, usedBytes: 0, inodesMax: 0, usedInodes: 1 });
    assert.equal(await verbs.open(file.ino), ENOENT);
  });

  scenario("extended attributes", async ({ verbs }) => {
    const value = Buffer.from([0, 1, 255]);
    assert.equal(await verbs.getxattr(ROOT_INO, "user.a"), ENODATA);
    assert.equal(await verbs.setxattr(ROOT_INO, "user.a", value, 2), ENODATA);
    assert.equal(await verbs.setxattr(ROOT_INO, "user.a", value, 1), 0);
    assert.equal(await verbs.setxattr(ROOT_INO, "user.a", value, 1), EEXIST);
    assert.equal(await verbs.setxattr(ROOT_INO, "user.b", new Uint8Array(), 0), 0);
    assert.deepEqual(Buffer.from((await verbs.getxattr(ROOT_INO, "user.a")) as Uint8Array), value);
    assert.deepEqual(await verbs.listxattr(ROOT_INO), ["user.a", "user.b"]);
    assert.equal(await verbs.setxattr(ROOT_INO, `user.${"x".repeat(256)}`, value, 0), ERANGE);
    assert.equal(await verbs.removexattr(ROOT_INO, "user.a"), 0);
    assert.equal(await verbs.removexattr(ROOT_INO, "user.a"), ENODATA);
    assert.equal(await verbs.setxattr(999_999, "user.a", value, 0), ENOENT);
    assert.equal(await verbs.getxattr(999_999, "user.a"), ENOENT);
  });

  scenario("small content lies inline, and is cut and lengthened", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const after = found(await verbs.commit(file.ino, { size: 10, mtimeMs: 1_700_000_000_123, inline: Buffer.from("0123456789") }));
    assert.deepEqual([after.size, after.blocks, after.mtimeSec, after.mtimeNsec], [10, 1, 1_700_000_000, 123_000_000]);
    found(await verbs.setattr(file.ino, { size: 4 }));
    found(await verbs.setattr(file.ino, { size: 8 }));
    const map = mapped(await verbs.extents(file.ino, 0, 8));
    assert.equal(map.size, 8);
    assert.deepEqual(Buffer.from(map.inline!), Buffer.from("0123"));
    assert.equal((await verbs.statfs()).usedBytes, 4);
    found(await verbs.punch(file.ino, 1, 2));
    assert.deepEqual(Buffer.from(mapped(await verbs.extents(file.ino, 0, 8)).inline!), Buffer.from("0\0\x003"));
    assert.equal(await verbs.commit(file.ino, { size: 1, mtimeMs: 0, inline: Buffer.alloc(4097) }), EINVAL);
    assert.equal(await verbs.commit(ROOT_INO, { size: 1, mtimeMs: 0, inline: Buffer.alloc(1) }), EISDIR);
  });

  scenario("extents replace what they cover, and count the blobs that they need", async ({ verbs, write, layout }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const first = await write(file.ino, 0, 1000);
    assert.deepEqual(await layout(file.ino), [[0, 1000, first, 0]]);
    const second = await write(file.ino, 400, 100);
    assert.deepEqual(await layout(file.ino), [
      [0, 400, first, 0],
      [400, 100, second, 0],
      [500, 500, first, 500],
    ]);
    assert.equal((await verbs.statfs()).usedBytes, 1000);
    const third = await write(file.ino, 350, 250);
    assert.deepEqual(await layout(file.ino), [
      [0, 350, first, 0],
      [350, 250, third, 0],
      [600, 400, first, 600],
    ]);
    found(await verbs.punch(file.ino, 300, 400));
    assert.deepEqual(await layout(file.ino), [
      [0, 300, first, 0],
      [700, 300, first, 700],
    ]);
    found(await verbs.setattr(file.ino, { size: 800 }));
    assert.deepEqual(await layout(file.ino), [
      [0, 300, first, 0],
      [700, 100, first, 700],
    ]);
    assert.equal((await verbs.statfs()).usedBytes, 400);
    found(await verbs.setattr(file.ino, { size: 5000 }));
    assert.deepEqual((await layout(file.ino)).length, 2);
    assert.equal(found(await verbs.getattr(file.ino)).blocks, 1);
    assert.equal(await verbs.unlink(ROOT_INO, "f"), 0);
    assert.equal((await verbs.statfs()).usedBytes, 0);
  });

  scenario("inline content becomes extents, and back", async ({ verbs, write, layout }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    found(await verbs.commit(file.ino, { size: 100, mtimeMs: 0, inline: Buffer.alloc(100, 1) }));
    const blob = await write(file.ino, 0, 5000);
    assert.deepEqual(await layout(file.ino), [[0, 5000, blob, 0]]);
    assert.equal(mapped(await verbs.extents(file.ino, 0, 5000)).inline, undefined);
    found(await verbs.setattr(file.ino, { size: 0 }));
    assert.deepEqual(await layout(file.ino), []);
    found(await verbs.commit(file.ino, { size: 3, mtimeMs: 0, inline: Buffer.from("abc") }));
    assert.equal((await verbs.statfs()).usedBytes, 3);
    assert.equal(mapped(await verbs.extents(file.ino, 0, 10)).inline?.length, 3);
  });

  scenario("an extent of a blob that nobody entered is refused, and changes nothing", async ({ verbs, layout }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    const extents = [{ position: 0, length: 10, blobId: 424_242, blobOffset: 0 }];
    assert.equal(await verbs.commit(file.ino, { size: 10, mtimeMs: 0, extents }), EIO);
    assert.deepEqual(await layout(file.ino), []);
    assert.equal(found(await verbs.getattr(file.ino)).size, 0);
    assert.equal((await verbs.statfs()).usedBytes, 0);
  });

  scenario("allocate grows a file unless it must not", async ({ verbs }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(found(await verbs.allocate(file.ino, 0, 1000, true)).size, 0);
    assert.equal(found(await verbs.allocate(file.ino, 500, 1000, false)).size, 1500);
    assert.equal(await verbs.allocate(file.ino, 2 ** 52, 1000, false), EFBIG);
  });

  scenario(
    "capacity and inodes of a volume end with ENOSPC",
    async ({ verbs, write }) => {
      const file = found(await verbs.create(ROOT_INO, "f", FILE));
      await write(file.ino, 0, 6000);
      const [blobId] = (await verbs.reserveBlobs([{ sha256: SHA, bytes: 6000 }])) as number[];
      const over = { size: 12_000, mtimeMs: 0, extents: [{ position: 6000, length: 6000, blobId: blobId!, blobOffset: 0 }] };
      assert.equal(await verbs.commit(file.ino, over), ENOSPC);
      assert.equal(await verbs.allocate(file.ino, 0, 11_000, true), ENOSPC);
      found(await verbs.commit(file.ino, { ...over, size: 6000, extents: [{ ...over.extents[0]!, position: 0 }] })); // in place of the others
      found(await verbs.create(ROOT_INO, "g", FILE));
      assert.equal(await verbs.create(ROOT_INO, "h", FILE), ENOSPC);
      assert.equal(await verbs.lookup(ROOT_INO, "h"), ENOENT);
      assert.equal(await verbs.unlink(ROOT_INO, "g"), 0);
      found(await verbs.create(ROOT_INO, "h", FILE));
    },
    { capacityBytes: 10_000, inodesMax: 3 },
  );

  scenario("a directory's quota counts everything below it", async ({ verbs, control, write }) => {
    const made = found(await verbs.create(ROOT_INO, "d", DIRECTORY));
    const below = found(await verbs.create(made.ino, "e", DIRECTORY));
    const file = found(await verbs.create(below.ino, "f", FILE));
    await write(file.ino, 0, 5000);
    await verbs.settle(false);
    assert.deepEqual(await control.setQuota(made.ino, { bytesMax: 8000, inodesMax: 3 }), {
      ino: made.ino,
      bytesMax: 8000,
      inodesMax: 3,
      usedBytes: 5000,
      usedInodes: 2,
    });
    const [blobId] = (await verbs.reserveBlobs([{ sha256: SHA, bytes: 4000 }])) as number[];
    const extents = [{ position: 5000, length: 4000, blobId: blobId!, blobOffset: 0 }];
    assert.equal(await verbs.commit(file.ino, { size: 9000, mtimeMs: 0, extents }), EDQUOT);
    found(await verbs.create(made.ino, "g", FILE));
    assert.equal(await verbs.create(below.ino, "h", FILE), EDQUOT);
    found(await verbs.create(ROOT_INO, "h", FILE));
    assert.equal(await verbs.rename(ROOT_INO, "h", below.ino, "h", 0), EDQUOT);
    assert.equal(await verbs.link(file.ino, ROOT_INO, "l"), EXDEV);
    assert.equal(await verbs.rename(made.ino, "e", ROOT_INO, "e", 0), EXDEV);
    assert.equal(await verbs.rename(made.ino, "g", ROOT_INO, "g", 0), 0);
    assert.equal(await verbs.unlink(below.ino, "f"), 0);
    await verbs.settle(false);
    assert.deepEqual(
      (await control.quotas()).map(({ usedBytes, usedInodes }) => [usedBytes, usedInodes]),
      [[0, 1]],
    );
    assert.equal(await control.setQuota(file.ino, { bytesMax: 1, inodesMax: 0 }), ENOENT);
    assert.equal(await control.setQuota(made.ino, { bytesMax: 0, inodesMax: 0 }), undefined);
    assert.equal(await verbs.rename(made.ino, "e", ROOT_INO, "e", 0), 0);
  });

  scenario("locks of different owners and sessions exclude each other", async ({ verbs, second }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    await verbs.settle(false);
    const other = await second();
    assert.equal(await verbs.setlk(file.ino, lock({})), 0);
    assert.equal(await verbs.setlk(file.ino, lock({ owner: "2", type: "read" })), EAGAIN);
    assert.equal(await other.setlk(file.ino, lock({ start: 50, end: 150 })), EAGAIN);
    assert.deepEqual(await other.getlk(file.ino, lock({})), { type: "write", start: 0, end: 99, pid: 0 });
    assert.deepEqual(await verbs.getlk(file.ino, lock({ owner: "2" })), { type: "write", start: 0, end: 99, pid: 11 });
    assert.equal(await verbs.setlk(file.ino, lock({ type: "unlock", start: 50, end: LOCK_END })), 0);
    assert.equal(await other.setlk(file.ino, lock({ start: 50, end: 150 })), 0);
    assert.deepEqual(await verbs.getlk(file.ino, lock({ owner: "3", start: 40, end: 60 })), { type: "write", start: 0, end: 49, pid: 11 });
    assert.equal(await verbs.setlk(file.ino, lock({ family: "flock", end: LOCK_END, type: "read" })), 0);
    assert.equal(await other.setlk(file.ino, lock({ family: "flock", end: LOCK_END, type: "read" })), 0);
    assert.equal(await other.setlk(file.ino, lock({ family: "flock", end: LOCK_END })), EAGAIN);
    assert.equal(await verbs.setlk(file.ino, lock({ start: 5, end: 4 })), EINVAL);
  });

  scenario("two sessions see each other's changes, and a file that one has open outlives the other's unlink", async ({ verbs, second }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    await verbs.settle(false);
    const other = await second();
    found(await other.lookup(ROOT_INO, "f"));
    assert.equal(await other.open(file.ino), 0);
    await other.settle(false);
    assert.equal(await verbs.unlink(ROOT_INO, "f"), 0);
    await verbs.settle(false);
    assert.equal(await other.lookup(ROOT_INO, "f"), ENOENT);
    assert.equal(found(await other.getattr(file.ino)).nlink, 0);
    await other.settle(false);
    assert.equal(await other.close(file.ino), 0);
    await other.settle(false);
    assert.equal(await verbs.getattr(file.ino), ENOENT);
  });

  scenario("what one session changes, the others can ask for", async ({ verbs, control, second, sessionId }) => {
    const other = await second();
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    await verbs.settle(false);
    const before = await control.heartbeat(other.sessionId, info);
    const seen = async (seq: number, session: number): Promise<readonly number[]> => {
      await verbs.settle(false);
      const { everything, inos } = await control.changesSince(seq, session);
      assert.equal(everything, false);
      return inos;
    };
    found(await verbs.setattr(file.ino, { uid: 3 }));
    assert.deepEqual(await seen(before.changeSeq, other.sessionId), [], "no kernel keeps attributes while others live");
    for (const change of [
      () => verbs.commit(file.ino, { size: 3, mtimeMs: 1, inline: Buffer.from("abc") }),
      () => verbs.setattr(file.ino, { size: 2 }),
      () => verbs.punch(file.ino, 0, 1),
      () => verbs.allocate(file.ino, 0, 10, false),
    ]) {
      const { changeSeq } = await control.peers();
      found(await change());
      assert.deepEqual(await seen(changeSeq, other.sessionId), [file.ino]);
      assert.deepEqual(await seen(changeSeq, sessionId), []);
    }
  });

  scenario("what a session holds others are refused, until it is given back or its session ends", async (scene) => {
    const { verbs, control, second, sessionId } = scene;
    const other = await second();
    for (const each of [verbs, other]) each.leases.share(true);
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(verbs.leases.take([file.ino]), 0);
    await verbs.settle(false);
    assert.equal(verbs.leases.holds(file.ino), true);
    assert.equal(verbs.leases.takeTold(), true);
    const leased = { code: "volume.leased", details: { ino: file.ino, session: sessionId } };
    const content = { size: 3, mtimeMs: 1, inline: Buffer.from("abc") };
    for (const refused of [
      () => other.lookup(ROOT_INO, "f"),
      () => other.getattr(file.ino),
      () => other.extents(file.ino, 0, 10),
      () => other.setattr(file.ino, { size: 3 }),
      () => other.commit(file.ino, content),
      () => other.leases.take([file.ino]),
    ])
      await assert.rejects(async () => refused(), leased);
    const [listedEntry] = listed(await other.readdir(ROOT_INO, 0, 10, true));
    assert.deepEqual([listedEntry?.name, listedEntry?.attributes], ["f", undefined]);
    assert.deepEqual(await control.wanted(sessionId), []);
    assert.equal(await control.want(file.ino, sessionId), true);
    assert.equal(await control.want(file.ino, sessionId), false);
    assert.deepEqual(await control.wanted(sessionId), [file.ino]);

    found(await verbs.commit(file.ino, { ...content, release: true }));
    await verbs.settle(false);
    assert.equal(verbs.leases.takeTold(), false, "of what is held others have nothing");
    assert.deepEqual(await control.wanted(sessionId), []);
    assert.equal(found(await other.lookup(ROOT_INO, "f")).size, 3);

    const born = found(await other.create(ROOT_INO, "g", { ...FILE, leased: true }));
    await other.settle(false);
    await assert.rejects(async () => verbs.lookup(ROOT_INO, "g"), {
      code: "volume.leased",
      details: { ino: born.ino, session: other.sessionId },
    });
    await control.endSession(other.sessionId);
    found(await verbs.lookup(ROOT_INO, "g"));
  });

  scenario("a session that was taken for dead commits nothing that it wrote before", async ({ verbs, control, sessionId }) => {
    const file = found(await verbs.create(ROOT_INO, "f", FILE));
    await verbs.settle(false);
    const content = { size: 3, mtimeMs: 1, inline: Buffer.from("abc") };
    await realClock.sleep(2); // it lives again at another millisecond
    await control.endSession(sessionId);
    assert.equal(await verbs.commit(file.ino, content), EIO);
    await verbs.settle(false);
    assert.equal((await control.heartbeat(sessionId, info)).revived, true);
    assert.equal(await verbs.commit(file.ino, content), EIO);
    verbs.leases.renew();
    assert.equal(found(await verbs.commit(file.ino, content)).size, 3);
  });

  scenario("who has joined is known by what it has acknowledged", async ({ control, second, sessionId }) => {
    const other = await second();
    const heard = async (): Promise<readonly (number | undefined)[]> =>
      (await control.peers()).sessions.map(({ acknowledgedSeq }) => acknowledgedSeq);
    assert.deepEqual(await heard(), [undefined, undefined]);
    const first = await control.join(sessionId);
    const next = await control.join(other.sessionId);
    assert.ok(next > first, "who comes is seen by those that are there");
    assert.deepEqual(await heard(), [first, next]);
    assert.equal((await control.peers()).changeSeq, next);
    await control.acknowledge(sessionId, next);
    await control.acknowledge(sessionId, first);
    assert.deepEqual(await heard(), [next, next]);
    await control.endSession(other.sessionId);
    await control.acknowledge(other.sessionId, next + 1);
    assert.deepEqual(await heard(), [next]);
  });

  scenario("a volume that is marked can be read, one that is purged says so by its number", async ({ verbs, control }) => {
    found(await verbs.create(ROOT_INO, "f", FILE));
    await verbs.settle(false);
    const fence = await control.readFence();
    assert.equal(await control.writeFence({ ...fence, state: "deleting", epoch: 2 }), true);
    found(await verbs.lookup(ROOT_INO, "f"));
    assert.equal(await verbs.create(ROOT_INO, "g", FILE), EROFS);
    assert.equal(await verbs.unlink(ROOT_INO, "f"), EROFS);
    await verbs.settle(false);
    assert.equal(await control.writeFence({ ...fence, state: "active", epoch: 1 }), false);
    assert.equal(await control.writeFence({ ...fence, state: "active", epoch: 3 }), true);
    found(await verbs.create(ROOT_INO, "g", FILE));
    await verbs.settle(false);
    assert.equal(await control.writeFence({ ...fence, state: "purging", epoch: 4 }), true);
    const gone = { code: "volume.not-exist", details: { wireCode: 100_404, volume: verbs.volumeUuid, epoch: 4 } };
    await assert.rejects(async () => verbs.create(ROOT_INO, "h", FILE), gone);
    await assert.rejects(async () => verbs.getattr(ROOT_INO), gone);
    await assert.rejects(async () => verbs.statfs(), gone);
  });
}

const lock = (more: Partial<LockRequest>): LockRequest => ({
  family: "posix",
  type: "write",
  owner: "1",
  pid: 11,
  start: 0,
  end: 99,
  ...more,
});

/** What an engine elsewhere has to do when its answers are lost. */
export function lossyVerbsConformance(engine: string, make: () => Promise<LossyFixture>): void {
  interface LossyScene {
    readonly verbs: VolumeVerbs;
    readonly other: VolumeVerbs;
    /** Loses the answer to the call, of that request. */
    readonly lost: (loss: Loss, request: number, call: () => unknown) => Promise<void>;
    readonly lose: (loss: Loss) => void;
  }
  const scenario = (title: string, run: (one: LossyScene) => Promise<void>): void =>
    void test(`${engine}: ${title}`, async () => {
      await using fixture = await make();
      const session = (): Promise<number> => fixture.control.beginSession(info);
      const { verbs, lose } = await fixture.openLossy(await session());
      const other = await fixture.open(await session());
      await run({
        verbs,
        other,
        lose,
        async lost(loss, request, call) {
          lose(loss);
          verbs.asRequest(request);
          await assert.rejects(async () => call(), { code: "volume.unreachable" });
        },
      });
    });

  for (const loss of LOSSES)
    scenario(`a repeated request answers as if its answer had not been lost: ${loss}`, async ({ verbs, lost }) => {
      const file = found(await verbs.create(ROOT_INO, "f", FILE));
      found(await verbs.create(ROOT_INO, "d", DIRECTORY));
      const value = Buffer.from("value");
      const cases: readonly (readonly [call: () => unknown, again: Errno])[] = [
        [() => verbs.create(ROOT_INO, "new", FILE), EEXIST],
        [() => verbs.create(ROOT_INO, "made", DIRECTORY), EEXIST],
        [() => verbs.create(ROOT_INO, "symlink", { ...FILE, kind: "symlink", target: "t" }), EEXIST],
        [() => verbs.link(file.ino, ROOT_INO, "link"), EEXIST],
        [() => verbs.rename(ROOT_INO, "new", ROOT_INO, "moved", 0), ENOENT],
        [() => verbs.rename(ROOT_INO, "moved", ROOT_INO, "unique", 1), ENOENT],
        [() => verbs.unlink(ROOT_INO, "link"), ENOENT],
        [() => verbs.rmdir(ROOT_INO, "d"), ENOENT],
        [() => verbs.setxattr(file.ino, "user.x", value, 1), EEXIST],
        [() => verbs.removexattr(file.ino, "user.x"), ENODATA],
      ];
      for (const [index, [call, again]] of cases.entries()) {
        await lost(loss, index, call);
        if (index % 2 === 1) {
          verbs.asRequest(100 + index); // another one comes in between
          found(await verbs.create(ROOT_INO, `between ${index}`, FILE));
        }
        verbs.asRequest(index);
        const answer = await call();
        if (typeof answer === "number") assert.equal(answer, 0, String(call));
        assert.equal(await call(), again, "once it has answered, it is another call");
      }
      verbs.asRequest(NO_REQUEST);
      assert.equal(found(await verbs.getattr(file.ino)).nlink, 1);
      const left = (await names(verbs, ROOT_INO)).filter((name) => !name.startsWith("between"));
      assert.deepEqual(left.toSorted(), ["f", "made", "symlink", "unique"]);
    });

  scenario("what was done for one request is not done for another", async ({ verbs, lost }) => {
    await lost("made", 1, () => verbs.create(ROOT_INO, "f", FILE));
    verbs.asRequest(2);
    assert.equal(await verbs.create(ROOT_INO, "f", FILE), EEXIST);
    verbs.asRequest(NO_REQUEST);
    assert.equal(await verbs.create(ROOT_INO, "f", FILE), EEXIST);
    found(await verbs.create(ROOT_INO, "without a request", FILE));
    verbs.asRequest(1);
    assert.equal(found(await verbs.create(ROOT_INO, "f", FILE)).ino, found(await verbs.lookup(ROOT_INO, "f")).ino);
  });

  scenario("several requests may wait for their answers", async ({ verbs, lost }) => {
    for (const [index, loss] of LOSSES.entries()) await lost(loss, index, () => verbs.create(ROOT_INO, loss, FILE));
    for (const [index, loss] of LOSSES.entries()) {
      verbs.asRequest(index);
      found(await verbs.create(ROOT_INO, loss, FILE));
    }
    assert.deepEqual((await names(verbs, ROOT_INO)).toSorted(), LOSSES.toSorted());
  });

  scenario("what is made after it was asked after is done once", async ({ verbs, lose }) => {
    verbs.asRequest(1);
    lose("made after all");
    const made = found(await verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await verbs.create(ROOT_INO, "f", FILE), EEXIST);
    assert.equal(found(await verbs.lookup(ROOT_INO, "f")).ino, made.ino);
    lose("made after all");
    assert.equal(await verbs.unlink(ROOT_INO, "f"), 0);
    assert.equal(await verbs.unlink(ROOT_INO, "f"), ENOENT);
  });

  scenario("whose name another session has taken first is refused", async ({ verbs, other, lost }) => {
    for (const loss of ["not made", "made late"] as const) {
      await lost(loss, 1, () => verbs.create(ROOT_INO, loss, FILE));
      found(await other.create(ROOT_INO, loss, FILE));
      assert.equal(await verbs.create(ROOT_INO, loss, FILE), EEXIST);
    }
    await lost("made", 2, () => verbs.create(ROOT_INO, "f", FILE));
    assert.equal(await other.unlink(ROOT_INO, "f"), 0);
    found(await other.create(ROOT_INO, "f", FILE));
    found(await verbs.create(ROOT_INO, "f", FILE)); // it was, before the other came
  });
}

interface Scene {
  readonly verbs: TestedVerbs;
  readonly sessionId: number;
  readonly control: VolumeControl;
  /** Verbs of another session. */
  readonly second: () => Promise<TestedVerbs>;
  /** Commits content that one new blob holds; its id. */
  readonly write: (ino: number, position: number, length: number) => Promise<number>;
  /** Position, length, blob and offset in it of all extents. */
  readonly layout: (ino: number) => Promise<readonly (readonly [number, number, number, number])[]>;
}

async function sceneOf(fixture: VolumeFixture): Promise<Scene> {
  const { control } = fixture;
  const sessionId = await control.beginSession(info);
  const verbs = await fixture.open(sessionId);
  return {
    verbs,
    sessionId,
    control,
    second: async () => fixture.open(await control.beginSession(info)),
    async write(ino, position, length) {
      const ids = await verbs.reserveBlobs([{ sha256: SHA, bytes: length }]);
      assert.ok(typeof ids !== "number");
      found(
        await verbs.commit(ino, {
          size: position + length,
          mtimeMs: realClock.wallMs(),
          extents: [{ position, length, blobId: ids[0]!, blobOffset: 0 }],
        }),
      );
      return ids[0]!;
    },
    async layout(ino) {
      const { extents } = mapped(await verbs.extents(ino, 0, 2 ** 40));
      return extents.map(({ position, length, blob, blobOffset }) => [position, length, blob.id, blobOffset] as const);
    },
  };
}

function found(answer: Attributes | Errno): Attributes {
  if (typeof answer === "number") assert.fail(`errno ${answer}`);
  return answer;
}

function listed<T>(answer: readonly T[] | Errno): readonly T[] {
  if (typeof answer === "number") assert.fail(`errno ${answer}`);
  return answer;
}

function mapped(answer: FileMap | Errno): FileMap {
  if (typeof answer === "number") assert.fail(`errno ${answer}`);
  return answer;
}

const pick = ({ nlink, size }: Attributes): { nlink: number; size: number } => ({ nlink, size });

async function names(verbs: VolumeVerbs, ino: number): Promise<readonly string[]> {
  return listed(await verbs.readdir(ino, 0, 1000, false)).map(({ name }) => name);
}
