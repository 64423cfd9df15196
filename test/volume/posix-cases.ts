import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { join } from "node:path";

/** What POSIX and Linux want of a file system, on the ground of pjdfstest: each case in an empty directory of its own, as root. */
export const CASES: Readonly<Record<string, (dir: string) => void>> = {
  "names may have 255 bytes, and not one more": (dir) => {
    const [longest, longer] = ["x".repeat(255), "x".repeat(256)];
    for (const make of MAKERS) {
      make(join(dir, longest));
      fs.rmSync(join(dir, longest), { recursive: true });
      fails("ENAMETOOLONG", () => make(join(dir, longer)));
    }
    fs.writeFileSync(join(dir, "f"), "");
    fs.renameSync(join(dir, "f"), join(dir, longest));
    fails("ENAMETOOLONG", () => fs.renameSync(join(dir, longest), join(dir, longer)));
    fails("ENAMETOOLONG", () => fs.statSync(join(dir, longer)));
    fails("ENAMETOOLONG", () => fs.symlinkSync("t".repeat(4096), join(dir, "l")));
    fs.symlinkSync("t".repeat(4095), join(dir, "l"));
    assert.equal(fs.readlinkSync(join(dir, "l")).length, 4095);
  },
  "what exists is not made again, and what is missing cannot be used": (dir) => {
    fs.mkdirSync(join(dir, "d"));
    fs.writeFileSync(join(dir, "f"), "");
    for (const name of ["d", "f"]) for (const make of MAKERS) fails("EEXIST", () => make(join(dir, name)));
    for (const make of MAKERS) {
      fails("ENOENT", () => make(join(dir, "missing/x")));
      fails("ENOTDIR", () => make(join(dir, "f/x")));
    }
    for (const use of USERS) {
      fails("ENOENT", () => use(join(dir, "missing")));
      fails("ENOTDIR", () => use(join(dir, "f/x")));
    }
    fails("ENOTDIR", () => fs.rmdirSync(join(dir, "f")));
    fails("EISDIR", () => fs.unlinkSync(join(dir, "d")));
    fails("EISDIR", () => fs.openSync(join(dir, "d"), "w"));
    fails("EINVAL", () => fs.rmdirSync(`${join(dir, "d")}/.`));
    fails("EINVAL", () => fs.readlinkSync(join(dir, "f")));
    fails("EPERM", () => fs.linkSync(join(dir, "d"), join(dir, "e")));
  },
  "symbolic links that go in circles end": (dir) => {
    fs.symlinkSync("two", join(dir, "one"));
    fs.symlinkSync("one", join(dir, "two"));
    fails("ELOOP", () => fs.openSync(join(dir, "one"), "r"));
    fails("ELOOP", () => fs.mkdirSync(join(dir, "one/x")));
    assert.equal(fs.lstatSync(join(dir, "one")).size, 3);
    assert.equal(fs.lstatSync(join(dir, "one")).mode & 0o777, 0o777);
  },
  "directories with something in them stay": (dir) => {
    fs.mkdirSync(join(dir, "d/e"), { recursive: true });
    fails("ENOTEMPTY", () => fs.rmdirSync(join(dir, "d")));
    fs.mkdirSync(join(dir, "other"));
    fails("ENOTEMPTY", () => fs.renameSync(join(dir, "other"), join(dir, "d")));
    fs.rmdirSync(join(dir, "d/e"));
    fs.renameSync(join(dir, "other"), join(dir, "d"));
    assert.deepEqual(fs.readdirSync(dir), ["d"]);
  },
  "a rename replaces like with like only, and never puts a directory into itself": (dir) => {
    fs.mkdirSync(join(dir, "d/e"), { recursive: true });
    fs.writeFileSync(join(dir, "f"), "f");
    fails("EISDIR", () => fs.renameSync(join(dir, "f"), join(dir, "d")));
    fails("ENOTDIR", () => fs.renameSync(join(dir, "d"), join(dir, "f")));
    fails("EINVAL", () => fs.renameSync(join(dir, "d"), join(dir, "d/e/x")));
    fails("ENOENT", () => fs.renameSync(join(dir, "missing"), join(dir, "f")));
    fs.linkSync(join(dir, "f"), join(dir, "g"));
    fs.renameSync(join(dir, "f"), join(dir, "g")); // two names of one file: nothing happens
    assert.deepEqual(fs.readdirSync(dir).toSorted(), ["d", "f", "g"]);
    fs.writeFileSync(join(dir, "h"), "h");
    const fd = fs.openSync(join(dir, "h"), "r");
    fs.renameSync(join(dir, "f"), join(dir, "h"));
    assert.equal(fs.readFileSync(fd, "utf8"), "h", "who has the replaced file open goes on reading it");
    assert.equal(fs.fstatSync(fd).nlink, 0);
    fs.closeSync(fd);
    assert.equal(fs.readFileSync(join(dir, "h"), "utf8"), "f");
    assert.equal(fs.statSync(join(dir, "h")).nlink, 2);
  },
  "links are counted": (dir) => {
    fs.writeFileSync(join(dir, "f"), "x");
    const before = fs.statSync(join(dir, "f"), { bigint: true });
    fs.linkSync(join(dir, "f"), join(dir, "g"));
    const after = fs.statSync(join(dir, "g"), { bigint: true });
    assert.deepEqual([after.ino, after.nlink, after.ctimeNs > before.ctimeNs], [before.ino, 2n, true]);
    fs.unlinkSync(join(dir, "f"));
    assert.equal(fs.statSync(join(dir, "g")).nlink, 1);
    const nlink = fs.statSync(dir).nlink;
    fs.mkdirSync(join(dir, "d"));
    assert.equal(fs.statSync(dir).nlink, nlink + 1);
    fs.mkdirSync(join(dir, "e"));
    fs.renameSync(join(dir, "d"), join(dir, "e/d"));
    assert.equal(fs.statSync(dir).nlink, nlink + 1);
    assert.equal(fs.statSync(join(dir, "e")).nlink, 3);
  },
  "a file without a name lives until it is closed": (dir) => {
    const fd = fs.openSync(join(dir, "f"), "w+");
    fs.writeSync(fd, "still here");
    fs.unlinkSync(join(dir, "f"));
    assert.deepEqual(fs.readdirSync(dir), []);
    fs.writeSync(fd, "!", 10);
    const { nlink, size } = fs.fstatSync(fd);
    assert.deepEqual([nlink, size], [0, 11]);
    const bytes = Buffer.alloc(20);
    assert.equal(bytes.toString("utf8", 0, fs.readSync(fd, bytes, 0, 20, 0)), "still here!");
    fs.ftruncateSync(fd, 5);
    fs.fchmodSync(fd, 0o600);
    fs.fsyncSync(fd);
    fs.writeFileSync(join(dir, "f"), "new");
    assert.equal(fs.fstatSync(fd).size, 5);
    fs.closeSync(fd);
    assert.equal(fs.readFileSync(join(dir, "f"), "utf8"), "new");
  },
  "times tell what happened": (dir) => {
    const d = join(dir, "d");
    fs.mkdirSync(d);
    const steps: readonly (readonly [string, () => void, string])[] = [
      ["create", () => fs.writeFileSync(join(d, "f"), "x"), "mc"],
      ["link", () => fs.linkSync(join(d, "f"), join(d, "g")), "mc"],
      ["rename", () => fs.renameSync(join(d, "g"), join(d, "h")), "mc"],
      ["unlink", () => fs.unlinkSync(join(d, "h")), "mc"],
      ["mkdir", () => fs.mkdirSync(join(d, "e")), "mc"],
      ["rmdir", () => fs.rmdirSync(join(d, "e")), "mc"],
      ["symlink", () => fs.symlinkSync("t", join(d, "s")), "mc"],
      ["chmod", () => fs.chmodSync(d, 0o700), "c"],
      ["chown", () => fs.chownSync(d, 1, 1), "c"],
      ["a failure", () => fails("EEXIST", () => fs.mkdirSync(join(d, "s"))), ""],
    ];
    for (const [name, step, expected] of steps) assert.equal(changedTimes(d, step), expected, name);
    const f = join(d, "f");
    const fileSteps: readonly (readonly [string, () => void, string])[] = [
      ["write", () => fs.writeFileSync(f, "yy"), "mc"],
      ["truncate", () => fs.truncateSync(f, 1), "mc"],
      ["append", () => fs.appendFileSync(f, "z"), "mc"],
      ["chmod", () => fs.chmodSync(f, 0o640), "c"],
      ["link", () => fs.linkSync(f, join(d, "k")), "c"],
      ["unlink", () => fs.unlinkSync(join(d, "k")), "c"],
      ["rename", () => fs.renameSync(f, `${f}2`), ""],
    ];
    for (const [name, step, expected] of fileSteps) {
      const at = name === "rename" ? [f, `${f}2`] : [f, f];
      assert.equal(changedTimes(at[0]!, step, at[1]).replace(name === "rename" ? "c" : "", ""), expected, name); // Linux may or may not set ctime
    }
    spawnSync("touch", ["-d", "1965-03-04T05:06:07.123456789Z", `${f}2`]);
    assert.equal(fs.statSync(`${f}2`, { bigint: true }).mtimeNs, -152_391_232_876_543_211n);
    spawnSync("touch", ["-d", "2150-01-01T00:00:00.5Z", `${f}2`]);
    assert.equal(fs.statSync(`${f}2`, { bigint: true }).mtimeNs, 5_680_281_600_500_000_000n);
  },
  "files are truncated, grown and sparse": (dir) => {
    const f = join(dir, "f");
    fs.writeFileSync(f, "0123456789");
    fs.truncateSync(f, 5);
    fs.truncateSync(f, 8);
    assert.deepEqual(fs.readFileSync(f), Buffer.from("01234\0\0\0"));
    fs.truncateSync(f, 2 ** 40);
    assert.ok(fs.statSync(f).blocks * 512 < 2 ** 20);
    const fd = fs.openSync(f, "r+");
    fs.writeSync(fd, "end", 2 ** 40 - 3);
    const bytes = Buffer.alloc(6);
    fs.readSync(fd, bytes, 0, 6, 2 ** 40 - 6);
    assert.deepEqual(bytes, Buffer.from("\0\0\0end"));
    fs.closeSync(fd);
    fails("EISDIR", () => fs.truncateSync(dir, 0));
    fs.writeFileSync(f, "short");
    assert.equal(fs.statSync(f).size, 5);
  },
  "special files keep their kind and number": (dir) => {
    for (const [name, ...args] of [
      ["pipe", "p"],
      ["tty", "c", "5", "1"],
      ["disk", "b", "259", "1048575"],
    ] as const)
      assert.equal(spawnSync("mknod", ["-m", "640", join(dir, name), ...args]).status, 0);
    const stat = (name: string): fs.Stats => fs.lstatSync(join(dir, name));
    assert.ok(stat("pipe").isFIFO() && stat("tty").isCharacterDevice() && stat("disk").isBlockDevice());
    assert.equal(stat("tty").rdev, 0x501);
    assert.equal(
      spawnSync("stat", ["-c", "%Hr %Lr %a", join(dir, "disk")])
        .stdout.toString()
        .trim(),
      "259 1048575 640",
    );
  },
  "permissions hold for others": (dir) => {
    fs.chmodSync(dir, 0o755);
    fs.mkdirSync(join(dir, "closed"), { mode: 0o700 });
    fs.writeFileSync(join(dir, "closed/f"), "");
    fs.writeFileSync(join(dir, "f"), "secret", { mode: 0o640 });
    fs.mkdirSync(join(dir, "sticky"));
    fs.chmodSync(join(dir, "sticky"), 0o1777);
    fs.writeFileSync(join(dir, "sticky/root"), "");
    fs.chmodSync(join(dir, "sticky/root"), 0o666);
    fs.mkdirSync(join(dir, "own"));
    fs.chownSync(join(dir, "own"), USER, USER);
    const results = asUser([
      ["readFileSync", join(dir, "f")],
      ["writeFileSync", join(dir, "f"), "x"],
      ["statSync", join(dir, "closed/f")],
      ["readdirSync", join(dir, "closed")],
      ["mkdirSync", join(dir, "new")],
      ["chmodSync", join(dir, "f"), 0o777],
      ["chownSync", join(dir, "f"), USER, USER],
      ["utimesSync", join(dir, "f"), 1, 1],
      ["unlinkSync", join(dir, "sticky/root")],
      ["renameSync", join(dir, "sticky/root"), join(dir, "sticky/mine")],
      ["writeFileSync", join(dir, "sticky/root"), "x"],
      ["writeFileSync", join(dir, "sticky/mine"), "x"],
      ["unlinkSync", join(dir, "sticky/mine")],
      ["mkdirSync", join(dir, "own/d")],
      ["chownSync", join(dir, "own/d"), 0, 0],
      ["chmodSync", join(dir, "own/d"), 0o711],
      ["linkSync", join(dir, "f"), join(dir, "own/f")],
    ]);
    assert.deepEqual(results.slice(0, -1), [
      "EACCES",
      "EACCES",
      "EACCES",
      "EACCES",
      "EACCES",
      "EPERM",
      "EPERM",
      "EPERM",
      "EPERM",
      "EPERM",
      "ok",
      "ok",
      "ok",
      "ok",
      "EPERM",
      "ok",
    ]);
    assert.deepEqual([fs.statSync(join(dir, "own/d")).uid, fs.statSync(join(dir, "own/d")).mode & 0o7777], [USER, 0o711]);
  },
  "setuid and setgid go when somebody else writes or the owner changes": (dir) => {
    fs.chmodSync(dir, 0o755);
    const f = join(dir, "f");
    fs.writeFileSync(f, "x");
    const mode = (): number => fs.statSync(f).mode & 0o7777;
    fs.chmodSync(f, 0o6777);
    assert.deepEqual(asUser([["appendFileSync", f, "y"]]), ["ok"]);
    assert.equal(mode(), 0o777);
    fs.chmodSync(f, 0o6777);
    assert.deepEqual(asUser([["truncateSync", f, 1]]), ["ok"]);
    assert.equal(mode(), 0o777);
    fs.chmodSync(f, 0o6755);
    fs.chownSync(f, USER, USER);
    assert.equal(mode(), 0o755);
    fs.chmodSync(f, 0o6755);
    fs.appendFileSync(f, "root may");
    assert.equal(mode(), 0o6755);
    fs.mkdirSync(join(dir, "d"));
    fs.chownSync(join(dir, "d"), 0, USER);
    fs.chmodSync(join(dir, "d"), 0o2777);
    fs.mkdirSync(join(dir, "d/e"));
    fs.writeFileSync(join(dir, "d/f"), "");
    assert.deepEqual(
      [fs.statSync(join(dir, "d/e")).gid, fs.statSync(join(dir, "d/e")).mode & 0o2000, fs.statSync(join(dir, "d/f")).gid],
      [USER, 0o2000, USER],
    );
  },
  "a large directory is listed whole, and once": (dir) => {
    const names = Array.from({ length: 3000 }, (_, index) => `entry-${"x".repeat(index % 60)}-${index}`);
    for (const name of names) fs.writeFileSync(join(dir, name), "");
    const seen = fs.readdirSync(dir);
    assert.equal(new Set(seen).size, seen.length);
    assert.deepEqual(seen.toSorted(), names.toSorted());
    const handle = fs.opendirSync(dir, { bufferSize: 16 });
    const met: string[] = [];
    for (let entry = handle.readSync(); entry !== null; entry = handle.readSync()) {
      met.push(entry.name);
      fs.unlinkSync(join(dir, entry.name));
    }
    handle.closeSync();
    assert.deepEqual(met.toSorted(), names.toSorted(), "removing while reading misses nothing");
    assert.deepEqual(fs.readdirSync(dir), []);
  },
};

const USER = 65_533;

const MAKERS: readonly ((path: string) => unknown)[] = [
  (path) => fs.mkdirSync(path),
  (path) => fs.closeSync(fs.openSync(path, "wx")),
  (path) => fs.symlinkSync("target", path),
];

const USERS: readonly ((path: string) => unknown)[] = [
  (path) => fs.statSync(path),
  (path) => fs.unlinkSync(path),
  (path) => fs.rmdirSync(path),
  (path) => fs.chmodSync(path, 0o600),
  (path) => fs.lchownSync(path, 0, 0),
  (path) => fs.readlinkSync(path),
  (path) => fs.truncateSync(path, 0),
  (path) => fs.utimesSync(path, 1, 1),
  (path) => fs.readdirSync(path),
  (path) => fs.renameSync(path, `${path}2`),
];

function fails(code: string, work: () => unknown): void {
  assert.throws(work, (thrown: NodeJS.ErrnoException) => {
    assert.equal(thrown.code, code);
    return true;
  });
}

/** Which of mtime and ctime of a path a step changes. */
function changedTimes(path: string, step: () => void, pathAfter = path): string {
  const before = fs.statSync(path, { bigint: true });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 12); // the kernel's own clock for files goes in steps of up to 10 ms
  step();
  const after = fs.statSync(pathAfter, { bigint: true });
  return `${after.mtimeNs > before.mtimeNs ? "m" : ""}${after.ctimeNs > before.ctimeNs ? "c" : ""}`;
}

/** Calls functions of node:fs as somebody else; what each came to: `ok` or an error code. */
function asUser(calls: readonly (readonly [string, ...(string | number)[]])[]): readonly string[] {
  const script = `
    const fs = require("node:fs");
    process.umask(0o22);
    console.log(JSON.stringify(${JSON.stringify(calls)}.map(([name, ...args]) => {
      try { fs[name](...args); return "ok"; } catch (error) { return error.code; }
    })));`;
  const ran = spawnSync(process.execPath, ["-e", script], { uid: USER, gid: USER, cwd: "/", encoding: "utf8" });
  if (ran.status !== 0) throw new Error(ran.stderr);
  return JSON.parse(ran.stdout) as string[];
}
