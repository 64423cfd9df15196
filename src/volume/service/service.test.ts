import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { after, before, test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { realClock } from "../../base/clock.ts";
import { createRegistry } from "../../base/metrics.ts";
import { createLog } from "../../base/log.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { BUCKET, BUCKET_ENV, startS3Bucket } from "../../../test/kit/s3-bucket.ts";
import { s3DataOf } from "../data/volume-data.ts";
import type { Warmed } from "../lifecycle/warm-volume.ts";
import { waitFor } from "../../../test/kit/process.ts";
import { openVolume } from "../lifecycle/open-volume.ts";
import { VolumeServiceConfig } from "./config.ts";
import { RemoteVolumes } from "./remote-volumes.ts";
import { startVolumeServer, type VolumeServer } from "./server.ts";
import { readToken, tokenFileIn } from "./token.ts";

Object.assign(process.env, BUCKET_ENV);

const NEW = {
  owner: "ann",
  capacityBytes: 0,
  inodesMax: 0,
  readOnly: false,
  onDelete: "detach-now",
  undeleteMs: 1000,
  uid: 0,
  gid: 0,
  permissions: 0o755,
} as const;

const scope = new AsyncDisposableStack();
const registry = createRegistry({ runtime: false });
let dataDir: string;
let server: VolumeServer;
let url: string;
let token: string;

const started = async (settings: Readonly<Record<string, unknown>>, at = dataDir): Promise<VolumeServer> =>
  startVolumeServer({
    config: VolumeServiceConfig.parse({ port: 0, ...settings }),
    dataDir: at,
    clock: realClock,
    log: createLog("silent"),
    registry,
  });

before(async () => {
  dataDir = scope.use(await temporaryDirectory()).path;
  server = scope.use(await started({}));
  url = `http://127.0.0.1:${server.port}`;
  token = readToken(tokenFileIn(dataDir));
});
after(() => scope.disposeAsync());

const ask = (method: string, { body = "[]", authorization = `Bearer ${token}`, verb = "POST" } = {}): Promise<Response> =>
  fetch(`${url}/v1/volumes/${method}`, { method: verb, headers: { authorization }, ...(verb === "POST" && { body }) });

const codeOf = async (response: Response): Promise<unknown> => ((await response.json()) as { error?: { code: string } }).error?.code;

test("volumes are made, changed, checked and deleted from elsewhere, and failures have their codes and details", async () => {
  const remote = new RemoteVolumes({ server: url, token });
  const { volume, key } = await remote.call("create", [{ ...NEW, name: "there" }]);
  assert.deepEqual([volume.name, volume.state, key.id.slice(0, 4)], ["there", "active", "ANAX"]);
  await assert.rejects(remote.call("create", [{ ...NEW, name: "there" }]), {
    code: "volume.exists",
    details: { volume: "there", uuid: volume.uuid, state: "active" },
  });
  assert.deepEqual((await remote.call("update", ["there", { capacityBytes: 1000 }])).capacityBytes, 1000);
  const { usage, clients, meta, keys } = await remote.call("info", ["there"]);
  assert.deepEqual([usage?.capacityBytes, clients, meta, keys.map(({ id }) => id)], [1000, [], "sqlite", [key.id]]);
  assert.equal((await remote.call("setQuota", ["there", "/", { bytesMax: 5, inodesMax: 0 }]))?.bytesMax, 5);
  assert.equal(await remote.call("setQuota", ["there", "/", { bytesMax: 0, inodesMax: 0 }]), undefined);
  assert.deepEqual(await remote.call("fsck", ["there", { data: true, repair: false }]), { flaws: [], repaired: 0 });
  assert.equal((await remote.call("gc", ["there", { graceMs: 0, scan: true, quarantine: false }])).strangers?.strangers, 0);
  assert.deepEqual(await remote.call("trashList", ["there", "/"]), []);
  assert.equal((await remote.call("delete", ["there", { now: false, by: "ann" }])).volume.deletedBy, "ann");
  assert.equal((await remote.call("undelete", ["there"])).state, "active");
  assert.equal((await remote.call("delete", ["there", { now: true, by: "ann" }])).volume.state, "deleted");
  await assert.rejects(remote.call("get", ["there"]), { code: "volume.not-exist" });
});

test("a dump goes out and comes in as a stream, and what is wrong with one is told by name", async () => {
  const remote = new RemoteVolumes({ server: url, token });
  const { volume } = await remote.call("create", [{ ...NEW, name: "dumped" }]);
  const dump = new Collected();
  assert.equal((await remote.dump("dumped", dump)).uuid, volume.uuid);
  await assert.rejects(remote.dump("nothing", new Collected()), { code: "volume.not-found" });
  await assert.rejects(remote.load(Readable.from([dump.content])), { code: "volume.exists" });
  await assert.rejects(remote.load(Readable.from([Buffer.alloc(0)])), { code: "disk.corrupt" });
  await assert.rejects(remote.load(Readable.from([Buffer.alloc(0)]), { name: "../x" }), { code: "input.invalid" });
  await assert.rejects(new RemoteVolumes({ server: url, token: `${token}x` }).load(Readable.from(endless(5_000_000))), {
    code: "volume.service-denied",
  });
  await assert.rejects(remote.load(Readable.from(failing())), { code: "disk.io" });
  await using second = await started({}, join(dataDir, "second"));
  const there = new RemoteVolumes({
    server: `http://127.0.0.1:${second.port}`,
    token: readToken(tokenFileIn(join(dataDir, "second"))),
  });
  await assert.rejects(there.load(Readable.from([dump.content.subarray(0, -20)])), { code: "disk.corrupt" });
  const loaded = await there.load(Readable.from([dump.content.subarray(0, 100), dump.content.subarray(100)]), { name: "again" });
  assert.deepEqual([loaded.volume.uuid, loaded.volume.name, loaded.key.id.slice(0, 4)], [volume.uuid, "again", "ANAX"]);
  assert.deepEqual(await there.call("fsck", ["again", { data: true, repair: false }]), { flaws: [], repaired: 0 });
  assert.deepEqual(
    readdirSync(join(dataDir, "volumes")).filter((name) => name.startsWith("incoming")),
    [],
  );
  await remote.call("delete", ["dumped", { now: true, by: "ann" }]);
});

test("who takes a dump slowly, or not at all, is waited for without holding what comes in memory", async () => {
  const remote = new RemoteVolumes({ server: url, token });
  const { volume } = await remote.call("create", [{ ...NEW, name: "large" }]);
  await filled(volume.uuid, 30_000);
  const first = Promise.withResolvers<void>();
  let bytes = 0;
  let release: ((error?: Error | null) => void) | undefined;
  let isHeld = true;
  const slow = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      first.resolve();
      if (isHeld) return void (release = done);
      done();
    },
  });
  const dumping = remote.dump("large", slow);
  await first.promise;
  assert.equal((await remote.call("get", ["large"])).state, "active"); // others are served
  const seen = bytes;
  isHeld = false;
  release?.();
  await dumping;
  assert.ok(bytes > 300_000 && seen < 100_000, `${seen} of ${bytes} bytes`);
  const full = new Writable({ write: (_chunk, _encoding, done) => done(new Error("no room")) });
  await assert.rejects(remote.dump("large", full), { code: "disk.io" });
  // The service learns of it when the connection ends.
  await waitFor(async () => readdirSync(join(dataDir, "volumes", volume.uuid)).every((name) => !name.includes("dump")));
  await remote.call("delete", ["large", { now: true, by: "ann" }]);
});

test("a warm-up of the service's machine ends with its caller", async () => {
  await using bucket = await startS3Bucket();
  const data = s3DataOf({ url: `s3://${BUCKET}`, endpoint: bucket.endpoint });
  const remote = new RemoteVolumes({ server: url, token });
  const { volume } = await remote.call("create", [{ ...NEW, name: "bucket", data }]);
  {
    await using open = await openVolume({ dataDir, volumeUuid: volume.uuid, sessionId: 1 });
    const made = await open.verbs.create(1, "f", { kind: "file", permissions: 0o644, uid: 0, gid: 0 });
    assert.ok(typeof made === "object");
    assert.equal(await open.files.write(made.ino, 0, randomBytes(1_000_000)), 0);
    assert.equal(await open.files.fsync(made.ino), 0);
  }
  rmSync(join(dataDir, "volumes", volume.uuid, "cache"), { recursive: true });
  const asked = Promise.withResolvers<void>();
  bucket.fault = ({ method }) => {
    if (method !== "GET") return undefined;
    asked.resolve();
    return "hang";
  };
  const stop = new AbortController();
  const options = { signal: stop.signal, onProgress: () => undefined };
  const warming = remote.warm("bucket", { path: "/", peerWaitMs: 1000 }, options);
  await asked.promise;
  stop.abort(new AnaxError("download.cancelled"));
  await assert.rejects(warming, { code: "download.cancelled" });
  await waitFor(async () => server.callsInFlight === 0);
  bucket.fault = undefined;
  const told: Warmed[] = [];
  const warmed = await remote.warm(
    "bucket",
    { path: "/f", peerWaitMs: 1000 },
    { signal: new AbortController().signal, onProgress: (each) => void told.push(each) },
  );
  assert.deepEqual([warmed.storeBytes, told.length > 0], [1_000_000, true]);
  await remote.call("delete", ["bucket", { now: true, by: "ann" }]);
});

/** So many empty files, whose names cannot be compressed. */
async function filled(volumeUuid: string, files: number): Promise<void> {
  await using open = await openVolume({ dataDir, volumeUuid, sessionId: 1 });
  for (let index = 0; index < files; index++) {
    const name = createHash("sha256").update(String(index)).digest("hex");
    assert.ok(typeof (await open.verbs.create(1, name, { kind: "file", permissions: 0o644, uid: 0, gid: 0 })) === "object");
  }
}

class Collected extends Writable {
  #chunks: Buffer[] = [];

  get content(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }
}

function* endless(bytes: number): Iterable<Buffer> {
  for (let sent = 0; sent < bytes; sent += 65_536) yield randomBytes(65_536);
}

async function* failing(): AsyncGenerator<Buffer> {
  yield await Promise.resolve(Buffer.from("x"));
  throw new Error("the source fails");
}

test("who does not know the token gets nothing, and the token is its owner's alone", async () => {
  assert.equal(statSync(tokenFileIn(dataDir)).mode & 0o777, 0o600);
  for (const authorization of ["", "Bearer", `Basic ${token}`, `Bearer ${token}x`, `Bearer ${token.slice(1)}`]) {
    const response = await ask("list", { authorization });
    assert.deepEqual([response.status, await codeOf(response)], [401, "volume.service-denied"], authorization);
  }
  await assert.rejects(new RemoteVolumes({ server: url, token: `${token}x` }).call("list", []), { code: "volume.service-denied" });
});

const living = async (remote: RemoteVolumes) => (await remote.call("list", [])).filter(({ state }) => state !== "deleted");

test("whatever else is sent is refused with a code", async () => {
  for (const method of ["", "toString", "__proto__", "constructor", "create/", "../list", "missing"])
    assert.equal(await codeOf(await ask(method)), "input.invalid", method);
  for (const body of ["", "{", "null", "{}", "[1]", '["v"]', `["${"x".repeat(200)}"]`, '[["v"]]'])
    assert.equal(await codeOf(await ask("get", { body: body === '["v"]' ? '["v",1]' : body })), "input.invalid", body);
  assert.equal(await codeOf(await ask("create", { body: JSON.stringify([{ ...NEW, name: "v", more: 1 }]) })), "input.invalid");
  assert.equal(await codeOf(await ask("create", { body: JSON.stringify([{ ...NEW, name: "../v" }]) })), "input.invalid");
  assert.equal(await codeOf(await ask("list", { body: JSON.stringify(["x".repeat(70_000)]) })), "input.invalid");
  assert.equal(await codeOf(await ask("list", { verb: "PUT" })), "input.invalid");
  assert.deepEqual(await living(new RemoteVolumes({ server: url, token })), []);
});

test("it listens beyond this machine with TLS only", async () => {
  await assert.rejects(started({ listenHost: "0.0.0.0" }), { code: "config.invalid" });
  await assert.rejects(started({ listenHost: "::" }), { code: "config.invalid" });
  await assert.rejects(started({ tlsCertFile: "/missing" }), { code: "config.invalid" });
  const file = join(dataDir, "short");
  writeFileSync(file, "short\n");
  await assert.rejects(started({ tokenFile: file }), { code: "config.invalid" });
});

test("a server that is not there, ends an answer early or talks nonsense is told from one that has answered", async () => {
  await using closing = createServer(
    (socket) => void socket.once("data", () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"result":[]}\n')),
  );
  await using nonsense = createServer((socket) => void socket.once("data", () => socket.end("nonsense\r\n\r\n")));
  for (const other of [closing, nonsense]) {
    other.listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as { port: number };
    await assert.rejects(new RemoteVolumes({ server: `http://127.0.0.1:${port}`, token }).call("list", []), {
      code: "volume.service-unreachable",
    });
  }
  await assert.rejects(new RemoteVolumes({ server: "http://127.0.0.1:1", token }).call("list", []), { code: "volume.service-unreachable" });
  for (const address of ["", "host", "ftp://host", "http://user@host", "http://host/path"])
    assert.throws(() => new RemoteVolumes({ server: address, token }), { code: "input.invalid" }, address);
});

test("calls are counted, and requests that are none", async () => {
  const remote = new RemoteVolumes({ server: url, token });
  const names = {
    done: 'anax_volume_calls_total{method="list",outcome="done"}',
    failed: 'anax_volume_calls_total{method="get",outcome="failed"}',
    seconds: 'anax_volume_call_seconds_count{method="list"}',
    token: 'anax_volume_refused_total{reason="token"}',
    request: 'anax_volume_refused_total{reason="request"}',
  };
  const counted = Object.fromEntries(
    await Promise.all(Object.entries(names).map(async ([key, name]) => [key, await valueOf(name)] as const)),
  );
  await remote.call("list", []);
  await assert.rejects(remote.call("get", ["nothing"]), { code: "volume.not-found" });
  await ask("list", { authorization: "" });
  await ask("nothing");
  for (const [key, name] of Object.entries(names)) assert.equal(await valueOf(name), counted[key]! + 1, name); // one for each
  assert.equal(await valueOf("anax_volume_calls_in_flight"), 0);
});

const valueOf = async (line: string): Promise<number> =>
  Number(
    (await registry.metrics())
      .split("\n")
      .find((each) => each.startsWith(`${line} `))
      ?.split(" ")
      .at(-1) ?? 0,
  ); // split never gives an empty list
