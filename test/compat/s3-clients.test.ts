import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { realClock } from "../../src/base/clock.ts";
import { Volumes, type AccessKey } from "../../src/volume/lifecycle/volumes.ts";
import { startAnaxS3, type AnaxProcess } from "../kit/anax.ts";
import { missingPrograms, must, run } from "../kit/process.ts";
import { NEW_VOLUME, VOLUME } from "../kit/s3-gateway.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// Foreign clients of S3, unmodified, against the program as users get it.

const scope = new AsyncDisposableStack();
let [dir, anax, key]: [string, AnaxProcess, AccessKey] = ["", undefined as never, undefined as never]; // set before the first test

before(async () => {
  ({ path: dir } = scope.use(await temporaryDirectory()));
  const dataDir = join(dir, "data");
  ({ key } = await new Volumes(dataDir, realClock).create(NEW_VOLUME));
  anax = scope.use(await startAnaxS3({ dataDir, args: ["--set", "volume.s3.createBuckets=true"] }));
});
after(() => scope.disposeAsync());

/** A folder with files of several sizes and awkward names. */
function aTree(name: string): string {
  const tree = join(dir, name);
  for (const [path, bytes] of [
    ["empty", 0],
    ["small.txt", 100],
    ["deep/er/file with blanks + ä.bin", 70_000],
    ["deep/large", 21_000_000],
  ] as const) {
    mkdirSync(join(tree, path, ".."), { recursive: true });
    writeFileSync(join(tree, path), randomBytes(bytes));
  }
  return tree;
}

const skipWithout = (program: string): string | false => (missingPrograms([program]).length > 0 ? `${program} is not installed` : false);

const rclone = (...args: readonly string[]): Promise<string> =>
  must("rclone", ["--s3-upload-cutoff", "10M", "--s3-chunk-size", "5M", ...args], {
    env: {
      RCLONE_CONFIG: join(dir, "no-rclone.conf"),
      RCLONE_CONFIG_ANAX_TYPE: "s3",
      RCLONE_CONFIG_ANAX_PROVIDER: "Other",
      RCLONE_CONFIG_ANAX_ENDPOINT: anax.listeners["s3"] ?? "",
      RCLONE_CONFIG_ANAX_ACCESS_KEY_ID: key.id,
      RCLONE_CONFIG_ANAX_SECRET_ACCESS_KEY: key.secret,
    },
  });

describe("rclone", { skip: skipWithout("rclone") }, () => {
  test("copies a tree up and down, compares it, copies within, and removes it", async () => {
    const tree = aTree("rclone");
    await rclone("copy", tree, `anax:${VOLUME}/rclone`);
    await rclone("check", "--download", tree, `anax:${VOLUME}/rclone`);
    await rclone("check", tree, `anax:${VOLUME}/rclone`);
    const listed = (await rclone("lsf", "-R", `anax:${VOLUME}/rclone`)).trim().split("\n").toSorted();
    assert.deepEqual(listed, ["deep/", "deep/er/", "deep/er/file with blanks + ä.bin", "deep/large", "empty", "small.txt"]);
    writeFileSync(join(tree, "small.txt"), "changed");
    assert.equal(await rclone("sync", tree, `anax:${VOLUME}/rclone`), "");
    assert.equal(await rclone("cat", `anax:${VOLUME}/rclone/small.txt`), "changed");
    await rclone("copy", `anax:${VOLUME}/rclone`, `anax:${VOLUME}/again`);
    await rclone("check", tree, `anax:${VOLUME}/again`);
    await rclone("copy", `anax:${VOLUME}/again`, join(dir, "back"));
    assert.ok(readFileSync(join(dir, "back/deep/large")).equals(readFileSync(join(tree, "deep/large"))));
    for (const folder of ["rclone", "again"]) await rclone("purge", `anax:${VOLUME}/${folder}`);
    assert.equal(await rclone("lsf", `anax:${VOLUME}`), "");
    await rclone("mkdir", "anax:by-rclone");
    assert.match(await rclone("lsd", "anax:"), /by-rclone/);
    await rclone("rmdir", "anax:by-rclone");
  });
});

const s3cmd = async (...args: readonly string[]): Promise<string> => must("s3cmd", ["-c", config(), ...args]);
function config(): string {
  const path = join(dir, "s3cfg");
  const { host } = new URL(anax.listeners["s3"] ?? "");
  if (!existsSync(path))
    writeFileSync(
      path,
      `[default]\naccess_key = ${key.id}\nsecret_key = ${key.secret}\nhost_base = ${host}\nhost_bucket = ${host}\nuse_https = False\nmultipart_chunk_size_mb = 5\n`,
    );
  return path;
}

const PLACE = `s3://${VOLUME}/s3cmd/`;

describe("s3cmd", { skip: skipWithout("s3cmd") }, () => {
  test("puts, lists, reads, compares, copies, and removes", async () => {
    const tree = aTree("s3cmd");
    assert.match(await s3cmd("ls"), new RegExp(`s3://${VOLUME}`));
    await s3cmd("sync", `${tree}/`, `s3://${VOLUME}/s3cmd/`);
    const listed = (await s3cmd("ls", "-r", `s3://${VOLUME}/s3cmd/`)).trim().split("\n");
    assert.deepEqual(listed.map((line) => line.slice(line.indexOf(PLACE) + PLACE.length)).toSorted(), [
      "deep/er/file with blanks + ä.bin",
      "deep/large",
      "empty",
      "small.txt",
    ]);
    await s3cmd("get", `s3://${VOLUME}/s3cmd/deep/large`, join(dir, "large"));
    assert.ok(readFileSync(join(dir, "large")).equals(readFileSync(join(tree, "deep/large"))));
    assert.match(await s3cmd("info", `s3://${VOLUME}/s3cmd/small.txt`), /File size: 100/);
    assert.match(await s3cmd("info", `s3://${VOLUME}`), /s3:\/\//);
    await s3cmd("cp", `s3://${VOLUME}/s3cmd/small.txt`, `s3://${VOLUME}/s3cmd/copy.txt`);
    await s3cmd("mv", `s3://${VOLUME}/s3cmd/copy.txt`, `s3://${VOLUME}/s3cmd/moved.txt`);
    await s3cmd("get", `s3://${VOLUME}/s3cmd/moved.txt`, join(dir, "moved"));
    assert.ok(readFileSync(join(dir, "moved")).equals(readFileSync(join(tree, "small.txt"))));
    assert.equal((await s3cmd("sync", "--dry-run", `${tree}/`, `s3://${VOLUME}/s3cmd/`)).includes("upload:"), false, "nothing has changed");
    await s3cmd("del", "-r", "-f", `s3://${VOLUME}/s3cmd/`);
    assert.equal((await s3cmd("ls", "-r", `s3://${VOLUME}/`)).trim(), "");
    assert.notEqual((await run("s3cmd", ["-c", config(), "get", `s3://${VOLUME}/never`, join(dir, "never")])).code, 0);
    await s3cmd("mb", "s3://by-s3cmd");
    await s3cmd("rb", "s3://by-s3cmd");
  });
});
