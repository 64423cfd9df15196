import assert from "node:assert/strict";
import { userInfo } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";
import { readdir, stat, writeFile } from "node:fs/promises";
import { anaxCommand, runAnax, startAnaxVolumes, type Ran } from "../kit/anax.ts";
import { createTestCertificate } from "../kit/certificates.ts";
import { must } from "../kit/process.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

test("volume: create, fill, limit, mark, take back, check, collect and delete, each a command of its own", async () => {
  await using dir = await temporaryDirectory();
  const dataDir = join(dir.path, "data");
  await lifeOfAVolume(dataDir, (...args) => runAnax(["volume", ...args, "--data-dir", dataDir]));
});

test("volume --server: the same with the volumes of a service elsewhere, over TLS", async () => {
  await using place = await aSecureService();
  const { dataDir, server, caFile, elsewhere, env } = place;
  await lifeOfAVolume(dataDir, (...args) => runAnax(["volume", ...args, ...elsewhere], { env }));
  const untrusted = await runAnax(["volume", "list", "--server", server, "--json"], { env: { ...env, ANAX_VOLUME_TOKEN: "x".repeat(20) } });
  assert.equal((JSON.parse(untrusted.stderr) as { error: { code: string } }).error.code, "volume.service-unreachable");
  const denied = await runAnax(["volume", "list", "--ca-file", caFile, "--json"], {
    env: { ...env, ANAX_VOLUME_SERVER: server, ANAX_VOLUME_TOKEN: "x".repeat(20) },
  });
  assert.deepEqual([denied.code, (JSON.parse(denied.stderr) as { error: { code: string } }).error.code], [6, "volume.service-denied"]);
});

test("volume dump and load --server: metadata go to a file, through pipes, and come back on another service", async () => {
  await using from = await aSecureService();
  await using to = await aSecureService();
  const { dir } = from;
  const { uuid } = await on(from, "create", "data");
  {
    await using open = await openVolume({ dataDir: from.dataDir, volumeUuid: String(uuid), sessionId: 1 });
    for (let index = 0; index < 3000; index++)
      assert.ok(typeof (await open.verbs.create(1, `file ${index}`, { kind: "file", permissions: 0o644, uid: 0, gid: 0 })) === "object");
  }
  const file = join(dir, "data.dump");
  assert.deepEqual(await on(from, "dump", "data", file), { volume: "data", uuid, file });
  assert.equal((await stat(file)).mode & 0o777, 0o600);

  // From one service to the other, with nothing in between but a pipe.
  const loaded = await must(
    "sh",
    ["-c", `${command(from, "dump", "data", "-")} | ${command(to, "load", "-", "--name", "copy", "--json")}`],
    {
      env: from.env,
    },
  );
  assert.deepEqual([(JSON.parse(loaded) as { uuid: string }).uuid, (JSON.parse(loaded) as { name: string }).name], [uuid, "copy"]);
  assert.equal(((await on(to, "info", "copy"))["usage"] as { usedInodes: number }).usedInodes, 3001);
  assert.deepEqual(await on(to, "fsck", "copy"), { clean: true, repaired: 0, flaws: [] });

  const refused = async (...args: readonly string[]): Promise<readonly [Ran["code"], string]> => {
    const { code, stderr } = await runAnax(["volume", ...args, ...to.elsewhere, "--json"], { env: to.env });
    return [code, (JSON.parse(stderr) as { error: { code: string } }).error.code];
  };
  assert.deepEqual(await refused("load", file), [6, "volume.exists"]);
  await on(to, "delete", "copy", "--yes", "--now");
  assert.deepEqual(await refused("load", file), [4, "volume.not-exist"]);
  await writeFile(file, "no dump");
  assert.deepEqual(await refused("load", file), [5, "disk.corrupt"]);
  assert.deepEqual(await refused("load", join(dir, "missing")), [5, "disk.io"]);
  assert.deepEqual(await refused("dump", "missing", join(dir, "other.dump")), [4, "volume.not-found"]);
  assert.deepEqual(
    (await readdir(dir)).filter((name) => name.startsWith("other")),
    [],
  );
});

/** Of the volume whose life is told, as options take them. */
const SETTINGS = {
  name: "data",
  owner: userInfo().username,
  capacity: "1GiB",
  inodes: "0",
  "read-only": "false",
  "undelete-window": "1h",
  "on-delete": "detach-now",
  trash: "0",
};

const on = async ({ elsewhere, env }: SecureService, ...args: readonly string[]): Promise<Record<string, unknown>> => {
  const { code, stdout, stderr } = await runAnax(["volume", ...args, ...elsewhere, "--json"], { env });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Record<string, unknown>; // one line of JSON
};

/** For a shell. */
const command = ({ elsewhere }: SecureService, ...args: readonly string[]): string =>
  [...anaxCommand(["volume", ...args, ...elsewhere])].map((word) => `'${word}'`).join(" ");

interface SecureService extends AsyncDisposable {
  /** For files of the test. */
  readonly dir: string;
  /** Of the service. */
  readonly dataDir: string;
  readonly server: string;
  readonly caFile: string;
  /** Options that name it, and its token. */
  readonly elsewhere: readonly string[];
  /** Of who calls it: nothing of it is found on this machine. */
  readonly env: Readonly<Record<string, string>>;
}

async function aSecureService(): Promise<SecureService> {
  await using scope = new AsyncDisposableStack();
  const { path: dir } = scope.use(await temporaryDirectory());
  const [dataDir, caFile, certFile, keyFile] = ["data", "ca.pem", "cert.pem", "key.pem"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ];
  const { ca, cert, key } = createTestCertificate(["127.0.0.1"]);
  await Promise.all([writeFile(caFile, ca), writeFile(certFile, cert), writeFile(keyFile, key)]);
  const service = scope.use(
    await startAnaxVolumes({
      dataDir,
      env: { ANAX_VOLUME_SERVICE_TLS_CERT_FILE: certFile, ANAX_VOLUME_SERVICE_TLS_KEY_FILE: keyFile },
    }),
  );
  const server = service.listeners["volumes"]!; // it has one
  assert.match(server, /^https:/);
  const owned = scope.move();
  return {
    dir,
    dataDir,
    server,
    caFile,
    elsewhere: ["--server", server, "--ca-file", caFile, "--token-file", join(dataDir, "volumes/service.token")],
    env: { ANAX_DATA_DIR: join(dir, "nothing here") },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function lifeOfAVolume(dataDir: string, volume: (...args: readonly string[]) => Promise<Ran>): Promise<void> {
  const json = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await volume(...args, "--json");
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Record<string, unknown>; // one line of JSON
  };
  const failure = async (...args: readonly string[]): Promise<readonly [Ran["code"], string]> => {
    const { code, stderr } = await volume(...args, "--json");
    return [code, (JSON.parse(stderr) as { error: { code: string } }).error.code];
  };

  assert.match((await volume("list")).stdout, /No volumes here yet/);
  assert.deepEqual(await failure("info", "data"), [4, "volume.not-found"]);
  const created = await json("create", "data", "--capacity", "1GiB", "--undelete-window", "1h");
  assert.deepEqual([created["name"], created["state"], created["capacityBytes"]], ["data", "active", 2 ** 30]);
  assert.match((created["key"] as { secret: string }).secret, /^[A-Za-z0-9_-]{43}$/);
  assert.deepEqual(await failure("create", "data"), [6, "volume.exists"]);

  {
    await using open = await openVolume({ dataDir, volumeUuid: String(created["uuid"]), sessionId: 1 });
    const made = await open.verbs.create(1, "f", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
    assert.ok(typeof made === "object");
    assert.equal(await open.files.write(made.ino, 0, Buffer.alloc(100_000, 7)), 0);
    assert.equal(await open.files.fsync(made.ino), 0);
    assert.equal(await open.verbs.unlink(1, "f"), 0);
  }
  assert.deepEqual(((await json("info", "data"))["usage"] as { usedInodes: number }).usedInodes, 1);
  assert.equal((await json("quota", "data", "/", "--bytes", "5MiB"))["bytesMax"], 5 * 2 ** 20);
  assert.deepEqual(await failure("quota", "data", "/nothing", "--bytes", "5MiB"), [2, "input.invalid"]);
  assert.equal((await json("stats", "data"))["doomed"], 1);
  assert.equal((await json("gc", "data", "--grace", "0s"))["blobs"], 1);
  assert.deepEqual(await json("fsck", "data", "--data"), { clean: true, repaired: 0, flaws: [] });

  const { changeable, fixed } = await json("config", "data");
  assert.deepEqual([changeable, fixed], [SETTINGS, { meta: "sqlite" }]);
  assert.match((await volume("config", "data")).stdout, /^--capacity +1GiB$/m);

  assert.equal((await json("snapshot", "data", "kept"))["readOnly"], true);
  assert.deepEqual(await failure("clone", "data", "kept"), [6, "volume.exists"]);
  assert.deepEqual(await failure("delete", "data"), [2, "input.invalid"]);
  assert.equal((await json("delete", "data", "--yes"))["state"], "deleting");
  assert.deepEqual(await failure("update", "data", "--capacity", "0"), [6, "volume.wrong-state"]);
  assert.deepEqual(await failure("purge", "data", "--yes"), [6, "volume.wrong-state"]);
  assert.equal((await json("undelete", "data"))["state"], "active");
  assert.equal((await json("update", "data", "--name", "other", "--read-only"))["readOnly"], true);
  assert.equal((await json("delete", "other", "--yes", "--now"))["state"], "deleted");
  const gone = await volume("info", String(created["uuid"]), "--json");
  const { error } = JSON.parse(gone.stderr) as { error: { code: string; details: Record<string, unknown> } };
  assert.deepEqual([error.code, error.details["wireCode"], error.details["volume"]], ["volume.not-exist", 100_404, created["uuid"]]);
}
