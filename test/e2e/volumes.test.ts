import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openVolume } from "../../src/volume/lifecycle/open-volume.ts";
import { writeFile } from "node:fs/promises";
import { runAnax, startAnaxVolumes, type Ran } from "../kit/anax.ts";
import { createTestCertificate } from "../kit/certificates.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

test("volume: create, fill, limit, mark, take back, check, collect and delete, each a command of its own", async () => {
  await using dir = await temporaryDirectory();
  const dataDir = join(dir.path, "data");
  await lifeOfAVolume(dataDir, (...args) => runAnax(["volume", ...args, "--data-dir", dataDir]));
});

test("volume --server: the same with the volumes of a service elsewhere, over TLS", async () => {
  await using dir = await temporaryDirectory();
  const [dataDir, ...files] = ["data", "ca.pem", "cert.pem", "key.pem"].map((name) => join(dir.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  const { ca, cert, key } = createTestCertificate(["127.0.0.1"]);
  await Promise.all([ca, cert, key].map((pem, index) => writeFile(files[index]!, pem))); // as many
  const [caFile, certFile, keyFile] = files;
  await using service = await startAnaxVolumes({
    dataDir,
    env: { ANAX_VOLUME_SERVICE_TLS_CERT_FILE: certFile, ANAX_VOLUME_SERVICE_TLS_KEY_FILE: keyFile },
  });
  const server = service.listeners["volumes"]!; // it has one
  assert.match(server, /^https:/);
  const elsewhere = ["--server", server, "--ca-file", caFile, "--token-file", join(dataDir, "volumes/service.token")];
  const env = { ANAX_DATA_DIR: join(dir.path, "nothing here") };
  await lifeOfAVolume(dataDir, (...args) => runAnax(["volume", ...args, ...elsewhere], { env }));
  const untrusted = await runAnax(["volume", "list", "--server", server, "--json"], { env: { ...env, ANAX_VOLUME_TOKEN: "x".repeat(20) } });
  assert.equal((JSON.parse(untrusted.stderr) as { error: { code: string } }).error.code, "volume.service-unreachable");
  const denied = await runAnax(["volume", "list", "--ca-file", caFile, "--json"], {
    env: { ...env, ANAX_VOLUME_SERVER: server, ANAX_VOLUME_TOKEN: "x".repeat(20) },
  });
  assert.deepEqual([denied.code, (JSON.parse(denied.stderr) as { error: { code: string } }).error.code], [6, "volume.service-denied"]);
});

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
