import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { realClock } from "../../src/base/clock.ts";
import { Volumes, type AccessKey } from "../../src/volume/lifecycle/volumes.ts";
import { startAnax, startAnaxS3, type AnaxProcess } from "../kit/anax.ts";
import { aVolumePlace, unmountable, VOLUME as MOUNTED } from "../kit/mounted-volume.ts";
import { missingPrograms, must, run, waitFor } from "../kit/process.ts";
import { NEW_VOLUME, VOLUME } from "../kit/s3-gateway.ts";
import { signedHeaders } from "../kit/sign-request.ts";
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
      AWS_CA_BUNDLE: "", // its SDK cannot have one
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

const clientOf = ({ listeners }: AnaxProcess): S3Client =>
  new S3Client({
    endpoint: listeners["s3"] ?? "",
    region: "eu-central-1",
    forcePathStyle: true,
    credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
  });

describe("the SDK of AWS", () => {
  test("finds what was answered when the gateway was killed, and nothing of what was not", async () => {
    const dataDir = join(dir, "killed");
    const volumes = new Volumes(dataDir, realClock);
    ({ key } = await volumes.create(NEW_VOLUME));
    const contents = new Map(Array.from({ length: 20 }, (_, index) => [`k/${index}`, randomBytes(index * 10_000)]));
    {
      await using first = await startAnaxS3({ dataDir });
      const s3 = clientOf(first);
      for (const [Key, Body] of contents) await s3.send(new PutObjectCommand({ Bucket: VOLUME, Key, Body }));
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket: VOLUME, Key: "k/never" }));
      await s3.send(new UploadPartCommand({ Bucket: VOLUME, Key: "k/never", UploadId, PartNumber: 1, Body: "part" }));
      const url = `${first.listeners["s3"]}/${VOLUME}/k/half`;
      const headers = await signedHeaders(key, { method: "PUT", url, headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" } });
      const half = request(url, { method: "PUT", headers: { ...headers, "content-length": 10_000_000 } });
      half.on("error", () => undefined);
      half.write(randomBytes(5_000_000));
      await waitFor(async () => ((await volumes.usage(volumes.get(VOLUME)))?.usedInodes ?? 0) > contents.size + 6); // its draft is there
      first.kill("SIGKILL");
      await first.exited;
      s3.destroy();
    }
    await using second = await startAnaxS3({ dataDir });
    const s3 = clientOf(second);
    const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket: VOLUME }));
    assert.deepEqual(Contents?.map(({ Key }) => Key).toSorted(), [...contents.keys()].toSorted());
    for (const [Key, content] of contents) {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: VOLUME, Key }));
      assert.ok(content.equals(await Body!.transformToByteArray()), Key);
    }
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket: VOLUME }));
    await s3.send(new AbortMultipartUploadCommand({ Bucket: VOLUME, Key: "k/never", UploadId: Uploads?.[0]?.UploadId }));
    s3.destroy();
    assert.deepEqual((await volumes.fsck(VOLUME, { data: true, repair: false })).flaws, []);
    assert.deepEqual(second.stderr().match(/"level":"(error|warn)".*/g), null);
  });

  test("is served by `anax up`, too, where that is set, with its metrics", async () => {
    const dataDir = join(dir, "up");
    ({ key } = await new Volumes(dataDir, realClock).create(NEW_VOLUME));
    await using up = await startAnax("up", { dataDir, set: { "volume.s3.enabled": true } });
    const s3 = clientOf(up);
    await s3.send(new PutObjectCommand({ Bucket: VOLUME, Key: "k", Body: "content" }));
    s3.destroy();
    const metrics = await (await fetch(`${up.listeners["status"]}/metrics`)).text();
    assert.match(metrics, /anax_s3_requests_total\{operation="PutObject",status="2xx"\} 1/);
    assert.match(metrics, /anax_s3_received_bytes_total 7/);
    up.kill("SIGTERM");
    assert.equal(await up.exited, 0);
  });

  test("and a mount see the same files", { skip: unmountable() ?? false }, async () => {
    await using place = await aVolumePlace();
    key = place.volumes.addKey(MOUNTED);
    await using mount = await place.mount();
    await using gateway = await startAnaxS3({ dataDir: place.dataDir });
    const s3 = clientOf(gateway);
    await s3.send(new PutObjectCommand({ Bucket: MOUNTED, Key: "a/b", Body: "from s3" }));
    assert.equal(readFileSync(join(mount.dir, "a/b"), "utf8"), "from s3");
    writeFileSync(join(mount.dir, "a/c"), "from the mount");
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: MOUNTED, Key: "a/c" }));
    assert.equal(await Body!.transformToString(), "from the mount");
    await s3.send(new PutObjectCommand({ Bucket: MOUNTED, Key: "a/b", Body: "and again" }));
    await waitFor(async () => readFileSync(join(mount.dir, "a/b"), "utf8") === "and again"); // the kernel is told
    rmSync(join(mount.dir, "a"), { recursive: true });
    await waitFor(async () => (await s3.send(new ListObjectsV2Command({ Bucket: MOUNTED }))).KeyCount === 0); // some milliseconds later
    s3.destroy();
  });
});
