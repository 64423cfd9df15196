import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";
import { runAnax, startAnaxVolumes, type AnaxProcess } from "../kit/anax.ts";
import { createTestCertificate } from "../kit/certificates.ts";
import { isMounted, jsonFile, mounted, recordsOf, unmountable, VOLUME } from "../kit/mounted-volume.ts";
import { freePort, listens, missingPrograms, start, waitFor } from "../kit/process.ts";
import { BUCKET, BUCKET_ENV } from "../kit/s3-bucket.ts";
import { startBucketServer, type BucketServer } from "../kit/s3-bucket-server.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

// Volumes of a service, mounted on another machine: what the service tells is all that one has to know.

Object.assign(process.env, BUCKET_ENV); // mounts, commands and the service inherit it

const PASSWORD = "only-for-the-engine-4711";

const lack = unmountable() ?? (missingPrograms(["redis-server"]).length > 0 ? "redis-server is not installed" : undefined);

describe("mount and warmup --server", { skip: lack ?? false }, () => {
  const scope = new AsyncDisposableStack();
  let root: string;
  let bucket: BucketServer;
  let service: AnaxProcess;
  let serviceDir: string;
  let elsewhere: readonly string[];
  let meta: string;
  /** The same, for commands whose arguments everybody sees. */
  let metaFile: string;

  before(async () => {
    root = scope.use(await temporaryDirectory()).path;
    bucket = scope.use(await startBucketServer());
    const engineDir = join(root, "engine");
    await mkdir(engineDir);
    const port = await freePort();
    const parameters = { port, dir: engineDir, save: "", appendonly: "yes", appendfsync: "always", requirepass: PASSWORD };
    const args = Object.entries(parameters).flatMap(([name, value]) => [`--${name}`, String(value)]);
    scope.use(await start("redis-server", args, { logFile: join(engineDir, "log"), ready: () => listens(port) }));
    meta = `redis://:${PASSWORD}@127.0.0.1:${port}`;
    metaFile = `@${join(root, "meta.url")}`;
    await writeFile(metaFile.slice(1), `${meta}\n`, { mode: 0o600 });
    const pem = createTestCertificate(["127.0.0.1"]);
    const [ca, cert, key] = ["ca", "cert", "key"].map((name) => join(root, `${name}.pem`)) as [string, string, string];
    await Promise.all([writeFile(ca, pem.ca), writeFile(cert, pem.cert), writeFile(key, pem.key)]);
    serviceDir = join(root, "service");
    const env = { ANAX_VOLUME_SERVICE_TLS_CERT_FILE: cert, ANAX_VOLUME_SERVICE_TLS_KEY_FILE: key };
    service = scope.use(await startAnaxVolumes({ dataDir: serviceDir, env }));
    elsewhere = ["--server", service.listeners["volumes"]!, "--ca-file", ca, "--token-file", join(serviceDir, "volumes/service.token")]; // it has one
  });
  after(() => scope.disposeAsync());

  const aMachine = async (name: string) => {
    const [dataDir, dir] = [join(root, name, "data"), join(root, name, "mnt")];
    await mkdir(dataDir, { recursive: true });
    await mkdir(dir);
    return { dataDir, dir, env: { ANAX_DATA_DIR: dataDir } };
  };
  const aVolume = async (name: string) =>
    json(["volume", "create", name, "--meta", metaFile, "--data", `s3://${BUCKET}/x`, "--endpoint", bucket.endpoint, ...elsewhere]);

  test("a volume is mounted by its name alone, warmed, seen by others, and ends with its deletion", async () => {
    const { uuid } = await aVolume(VOLUME);
    const [one, other] = [await aMachine("one"), await aMachine("other")];
    await using here = await mounted(one.dataDir, one.dir, elsewhere);
    assert.equal(here.volumeUuid, uuid);
    const content = Buffer.alloc(5_000_000, "0123456789abcdef");
    writeFileSync(join(one.dir, "file"), content);

    const warmed = await json(["volume", "warmup", VOLUME, "/file", ...elsewhere], other.env);
    assert.deepEqual([warmed["bytes"], warmed["storeBytes"]], [content.length, content.length]);
    const there = await json(["volume", "warmup", VOLUME, "--there", ...elsewhere], other.env);
    assert.deepEqual([there["bytes"], there["storeBytes"]], [content.length, content.length]);
    assert.equal((await json(["volume", "stats", VOLUME, ...elsewhere]))["reads"] !== undefined, true);

    // What has been made known is known: without the service, and to the commands of this machine.
    const given = (await bucket.order({})).givenBytes;
    await using there2 = await mounted(other.dataDir, other.dir, []);
    assert.ok(readFileSync(join(other.dir, "file")).equals(content));
    assert.equal((await bucket.order({})).givenBytes, given); // it was warmed
    writeFileSync(join(other.dir, "from there"), "x");
    await waitFor(async () => existsSync(join(one.dir, "from there")));
    const { clients } = (await json(["volume", "info", VOLUME, ...elsewhere])) as { clients: { mountpoint: string }[] };
    assert.deepEqual(clients.map(({ mountpoint }) => mountpoint).toSorted(), [one.dir, other.dir]);

    // The password is in one file that only its owner reads, and nowhere else.
    const url = join(one.dataDir, "volumes", String(uuid), "meta.url");
    assert.deepEqual([readFileSync(url, "utf8"), statSync(url).mode & 0o777], [`${meta}\n`, 0o600]);
    for (const pid of [here.supervisorPid, here.mountPid()]) assert.ok(!readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(PASSWORD));
    assert.ok(!`${here.log()}${service.stderr()}`.includes(PASSWORD));

    await json(["volume", "delete", VOLUME, "--yes", "--now", ...elsewhere]);
    assert.deepEqual([await here.exited, await there2.exited], [143, 143]);
  });

  test("in the background, at a relative path, under a name that another volume has here, and with another password since", async () => {
    const { uuid } = await aVolume("twice");
    const { dataDir, dir, env } = await aMachine("third");
    await json(["volume", "create", "twice"], env);
    const attached = async (): Promise<string> => {
      const { code, stderr } = await runAnax(["mount", "twice", "mnt", "-c", "settings.yaml", ...elsewhere], { env, cwd: join(dir, "..") });
      assert.equal(code, 0, stderr);
      const { volumeUuid } = await jsonFile(join(recordsOf(dataDir, dir), "mount.json"));
      return String(volumeUuid);
    };
    await writeFile(join(dir, "../settings.yaml"), "logLevel: info\n");
    const unmounted = async (): Promise<void> => {
      assert.equal((await runAnax(["umount", dir])).code, 0);
      await waitFor(async () => !(await isMounted(dir)) && !existsSync(join(recordsOf(dataDir, dir), "mount.json")));
    };
    assert.equal(await attached(), uuid);
    await unmounted();
    await writeFile(join(dataDir, "volumes", String(uuid), "meta.url"), "redis://:old@127.0.0.1:1\n");
    assert.equal(await attached(), uuid);
    await unmounted();
    const list = await runAnax(["volume", "list", "--json"], { env });
    assert.deepEqual(list.stdout.split("\n").filter((line) => line.includes(String(uuid))).length, 1);
  });

  test("what was in SQLite is dumped by one service, loaded by another into an engine, and mounted elsewhere", async () => {
    const dataDir = join(root, "second");
    const env = { ANAX_VOLUME_SERVICE_TLS_CERT_FILE: join(root, "cert.pem"), ANAX_VOLUME_SERVICE_TLS_KEY_FILE: join(root, "key.pem") };
    await using second = await startAnaxVolumes({ dataDir, env });
    const token = join(dataDir, "volumes/service.token");
    const to = ["--server", second.listeners["volumes"]!, "--ca-file", join(root, "ca.pem"), "--token-file", token]; // it has one
    const inBucket = ["--data", `s3://${BUCKET}/alone`, "--endpoint", bucket.endpoint];
    const { uuid } = await json(["volume", "create", "alone", ...inBucket, ...elsewhere]);
    const content = Buffer.alloc(300_000, "content");
    {
      await using open = await openVolume({ dataDir: serviceDir, volumeUuid: String(uuid), sessionId: 1 });
      const made = await open.verbs.create(1, "file", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
      assert.ok(typeof made === "object");
      assert.equal(await open.files.write(made.ino, 0, content), 0);
      assert.equal(await open.files.fsync(made.ino), 0);
    }
    const file = join(root, "alone.dump");
    await json(["volume", "dump", "alone", file, ...elsewhere]);
    assert.equal((await json(["volume", "load", file, "--name", VOLUME, "--meta", metaFile, ...to]))["uuid"], uuid);
    const machine = await aMachine("sixth");
    await using _mount = await mounted(machine.dataDir, machine.dir, to);
    assert.ok(readFileSync(join(machine.dir, "file")).equals(content));
  });

  test("what only the machine of the service can use is refused with what to do, and so is who may not", async () => {
    const machine = await aMachine("fourth");
    await json(["volume", "create", "local", ...elsewhere]);
    for (const command of [
      ["mount", "local", machine.dir],
      ["volume", "warmup", "local"],
    ]) {
      const { exit, code, details } = await refusal([...command, ...elsewhere], machine.env);
      assert.deepEqual(
        [exit, code, (details as { reason: string }).reason],
        [3, "volume.mount-failed", "its metadata are in SQLite on the machine of the service"],
      );
      assert.match((details as { hint: string }).hint, /serve-s3/);
    }
    const withToken = elsewhere.slice(0, 4);
    const denied = await refusal(["mount", "local", machine.dir, ...withToken], { ...machine.env, ANAX_VOLUME_TOKEN: "x".repeat(30) });
    assert.deepEqual([denied["exit"], denied["code"]], [6, "volume.service-denied"]);
    assert.equal((await refusal(["volume", "warmup", "local", "--there"], machine.env))["code"], "input.invalid");
    assert.deepEqual(
      readdirSync(machine.dataDir).filter((name) => name === "volumes"),
      [],
    );

    await using closed = await startAnaxVolumes({ dataDir: serviceDir, env: { ANAX_VOLUME_SERVICE_MOUNTS: "false" } });
    const to = ["--server", closed.listeners["volumes"]!, ...elsewhere.slice(4)]; // it has one
    await aVolume("secret");
    const { code, details } = await refusal(["mount", "secret", machine.dir, ...to], machine.env);
    assert.deepEqual([code, (details as { setting: string }).setting], ["volume.mount-failed", "volume.service.mounts"]);
  });

  test("who has no way into the bucket learns it before anything is mounted", async () => {
    const unreadable = await runAnax(["volume", "create", "x", "--meta", "@/missing", ...elsewhere]);
    assert.deepEqual([unreadable.code, unreadable.stderr.includes("cannot be read")], [2, true]);
    await aVolume("nobucket");
    const machine = await aMachine("fifth");
    const { code } = await refusal(["mount", "nobucket", machine.dir, ...elsewhere], {
      ...machine.env,
      AWS_ACCESS_KEY_ID: "nobody",
      AWS_SECRET_ACCESS_KEY: "nothing",
    });
    assert.equal(code, "volume.unreachable");
    assert.equal(await isMounted(machine.dir), false);
  });
});

const json = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await runAnax([...args, "--json"], { env });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Record<string, unknown>; // at least one line
};

const refusal = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<Record<string, unknown>> => {
  const { code, stderr } = await runAnax([...args, "--json"], { env });
  const { error } = JSON.parse(stderr.trim().split("\n").at(-1)!) as { error: Record<string, unknown> };
  return { exit: code, ...error };
};
