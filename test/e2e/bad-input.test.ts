import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createRandom, type Random } from "../../src/base/random.ts";
import { taskIdOf } from "../../src/p2p/model/ids.ts";
import { DaemonService } from "../../src/wire/grpc/gen/anax/v1/daemon.ts";
import { DfdaemonDownloadService, DfdaemonUploadService } from "../../src/wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { SchedulerService } from "../../src/wire/grpc/gen/scheduler/v2/scheduler.ts";
import { exitOf, spawnAnax, type AnaxProcess } from "../kit/anax.ts";
import { aDesk, errorCodeOf, jsonLines, type Desk } from "../kit/cli.ts";
import { generate, sha256OfGenerated } from "../kit/generated-content.ts";
import type { Fault } from "../kit/origin.ts";
import { freePort } from "../kit/process.ts";
import { aSmallDisk } from "../kit/small-disk.ts";
import { sha256OfFile } from "../kit/terminal.ts";

const MIB = 1024 * 1024;
const FILE = { bytes: 9 * MIB + 1, seed: 51 };
const SMALL = { bytes: 100_000, seed: 52 };
const LARGE = { bytes: 40 * MIB, seed: 1 };

/** Short patience, so that what is hopeless ends soon. */
const IMPATIENT = {
  "p2p.source.retryFirstMs": "1ms",
  "p2p.source.retryMaxMs": "10ms",
  "p2p.source.idleTimeoutMs": "300ms",
  "p2p.source.headersTimeoutMs": "1s",
  "p2p.source.connectTimeoutMs": "1s",
  "p2p.daemon.sourceBackoffMs": "10ms",
  "p2p.daemon.sourceAttemptsMax": 3,
};

let desk: Desk;
before(async () => {
  desk = await aDesk({ set: IMPATIENT, content: { "/good": FILE } });
});
after(() => desk[Symbol.asyncDispose]());

/** Nothing is left beside the outputs, and the daemon still does its work. */
async function assertUnharmed(at: Desk, tag: string): Promise<void> {
  assert.deepEqual(await at.outputs(), []);
  const ran = await at.get("/good", "good", "--tag", tag);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal(await sha256OfFile(join(at.out, "good")), sha256OfGenerated(FILE));
  assert.equal((await at.run(["rm", String(jsonLines(ran.stdout).at(-1)?.["taskId"])])).code, 0);
  await rm(join(at.out, "good"));
}

const FAULTS: readonly (readonly [what: string, fault: Fault, code: string, exit: number])[] = [
  ["401", { status: 401 }, "source.unauthorized", 6],
  ["403", { status: 403 }, "source.forbidden", 6],
  ["404", { status: 404 }, "source.not-found", 4],
  ["410", { status: 410 }, "source.not-found", 4],
  ["418", { status: 418 }, "source.refused", 6],
  ["500", { status: 500 }, "source.bad-status", 3],
  ["503", { status: 503, headers: { "retry-after": "0" } }, "source.bad-status", 3],
  ["a connection that is reset", { reset: true }, "source.unreachable", 3],
  ["a reply that never begins", { stallAfterBytes: -1 }, "source.unreachable", 3],
  ["a body that ends early each time", { truncateAfterBytes: 50_000 }, "source.truncated", 5],
  ["a Content-Length that is too large", { contentLengthError: 10 }, "source.truncated", 5],
  ["a stall in the middle", { stallAfterBytes: 50_000 }, "source.truncated", 5],
  ["a redirect to itself", { redirectTo: "/bad" }, "source.refused", 6],
  ["a redirect to another scheme", { redirectTo: "file:///etc/passwd" }, "source.refused", 6],
  ["a redirect to a link-local address", { redirectTo: "http://169.254.169.254/latest/meta-data" }, "source.denied", 6],
];
for (const [what, fault, code, exit] of FAULTS) {
  test(`an origin with ${what} ends as ${code}, and nothing is at the output`, async () => {
    desk.origin.put("/bad", SMALL);
    desk.origin.setFault("/bad", fault);
    for (const how of [[], ["--transfer-from-daemon"]]) {
      const ran = await desk.get("/bad", "bad", "--timeout", "30s", ...how);
      assert.deepEqual([errorCodeOf(ran), ran.code], [code, exit], ran.stderr);
    }
    await assertUnharmed(desk, what);
  });
}

test("an origin that nobody listens at, an unknown name and a link-local address are named as that", async () => {
  const port = await freePort();
  const expected: readonly (readonly [url: string, code: string, exit: number])[] = [
    [`http://127.0.0.1:${port}/x`, "source.unreachable", 3],
    ["http://no-such-host.invalid/x", "source.unreachable", 3],
    ["http://169.254.169.254/latest/meta-data", "source.denied", 6],
    ["http://[fe80::1]/x", "source.denied", 6],
    ["file:///etc/passwd", "source.denied", 6],
  ];
  for (const [url, code, exit] of expected) {
    const ran = await desk.get(url, "bad");
    assert.deepEqual([errorCodeOf(ran), ran.code], [code, exit], ran.stderr);
  }
  await assertUnharmed(desk, "unreachable");
});

const HEALED: readonly (readonly [what: string, fault: Fault])[] = [
  ["ends its body early once", { truncateAfterBytes: 5 * MIB, times: 1 }],
  ["stalls once", { stallAfterBytes: 5 * MIB, times: 1 }],
  ["answers 503 once", { status: 503, times: 1 }],
  ["ignores ranges", { ignoreRange: true }],
  ["sends chunks without a length", { chunked: true }],
  ["sends chunks without a length and ignores ranges", { chunked: true, ignoreRange: true }],
  ["redirects", { redirectTo: "/good" }],
  ["refuses HEAD", { headStatus: 405 }],
];
for (const [what, fault] of HEALED) {
  test(`an origin that ${what} is no reason to fail`, async () => {
    const path = `/${what.replaceAll(" ", "-")}`;
    desk.origin.put(path, FILE);
    desk.origin.setFault(path, fault);
    const ran = await desk.get(path, "healed", "--overwrite");
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(await sha256OfFile(join(desk.out, "healed")), sha256OfGenerated(FILE));
    await rm(join(desk.out, "healed"));
  });
}

test("a broken download of an origin that ignores ranges is taken up from the start", async () => {
  desk.origin.put("/resume", FILE);
  desk.origin.setFault("/resume", { ignoreRange: true, truncateAfterBytes: 6 * MIB, times: 1 });
  const ran = await desk.get("/resume", "resume", "--digest", `sha256:${sha256OfGenerated(FILE)}`);
  assert.equal(ran.code, 0, ran.stderr);
  await rm(join(desk.out, "resume"));
});

test("a wrong digest ends as task.digest-mismatch, and nothing is at the output", async () => {
  const ran = await desk.get("/good", "bad", "--digest", `sha256:${"0".repeat(64)}`);
  assert.deepEqual([errorCodeOf(ran), ran.code], ["task.digest-mismatch", 5]);
  await assertUnharmed(desk, "digest");
});

test("an output that cannot be written is refused before anything is downloaded", async () => {
  const file = join(desk.dir, "a-file");
  await writeFile(file, "mine");
  await mkdir(join(desk.dir, "a-directory"));
  const sent = desk.origin.totals();
  for (const output of [join(desk.dir, "missing/x"), join(file, "x"), join(desk.dir, "a-directory"), "/dev/full/x"]) {
    for (const how of [[], ["--transfer-from-daemon"], ["--overwrite"]]) {
      const ran = await desk.run(["get", desk.origin.url("/good"), "-O", output, "--tag", "unwritable", ...how]);
      assert.deepEqual([errorCodeOf(ran), ran.code], ["output.unwritable", 6], `${output} ${how.join()}: ${ran.stderr}`);
    }
  }
  assert.deepEqual(desk.origin.totals(), sent);
  assert.equal(await readFile(file, "utf8"), "mine");
});

test("what does not fit under the data directory comes straight from its source, else it ends as disk.full, and what fits still arrives", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 24 * MIB });
  if (disk === undefined) return;
  await using small = await aDesk({
    dataDir: join(disk.dir, "data"),
    set: IMPATIENT,
    content: { "/good": FILE, "/large": LARGE },
  });
  const digest = sha256OfGenerated(LARGE);
  const passed = await small.get("/large", "large", "--digest", `sha256:${digest}`);
  assert.equal(passed.code, 0, passed.stderr);
  assert.equal(await sha256OfFile(join(small.out, "large")), digest);
  assert.match(
    (await small.run(["explain", taskIdOf({ url: small.origin.url("/large") })])).stdout,
    /download\.passed-through +.*no space left/,
  );
  assert.equal((await small.get("/large", "part", "--range", "5000000-5000999")).code, 0);
  assert.deepEqual(await readFile(join(small.out, "part")), generate(LARGE).subarray(5_000_000, 5_001_000));
  const wrong = await small.get("/large", "wrong", "--digest", `sha256:${"0".repeat(64)}`);
  assert.equal(errorCodeOf(wrong), "task.digest-mismatch");
  for (const [fault, ...how] of [
    [{ chunked: true }], // its length is not known before all of it is here
    [undefined, "--transfer-from-daemon"],
    [undefined, "--force-hard-link"],
  ] as const) {
    small.origin.setFault("/large", fault);
    const ran = await small.get("/large", "refused", ...how);
    assert.deepEqual([errorCodeOf(ran), ran.code], ["disk.full", 7], ran.stderr);
  }
  assert.deepEqual(await small.outputs(), ["large", "part"]);
  for (const name of ["large", "part"]) await rm(join(small.out, name));
  await assertUnharmed(small, "disk");
});

test("a full disk under the output ends as disk.full with nothing left, and standard output too", async (t) => {
  await using disk = await aSmallDisk(t, { bytes: 4 * MIB });
  if (disk === undefined) return;
  for (const how of [[], ["--transfer-from-daemon"]]) {
    const ran = await desk.run(["get", desk.origin.url("/good"), "-O", join(disk.dir, "x"), ...how]);
    assert.deepEqual([errorCodeOf(ran), ran.code], ["disk.full", 7], ran.stderr);
    assert.deepEqual(await readdir(disk.dir), []);
  }
  await assertUnharmed(desk, "output-disk");
});

// --- bytes that are no protocol

type Mangle = (random: Random) => Buffer;

const noise: Mangle = (random) => bytesOf(random, random.below(3000));
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** HTTP/2 that begins well: a preface, and frames with lengths, types and flags at random. */
const frames: Mangle = (random) => {
  const parts = [PREFACE, frame({ type: SETTINGS, flags: 0, stream: 0, announced: 0 }, Buffer.alloc(0))];
  for (let count = random.below(6); count >= 0; count--) {
    const body = bytesOf(random, random.below(200));
    const announced = random.next() < 0.3 ? random.below(1 << 24) : body.length;
    parts.push(frame({ type: random.below(12), flags: random.below(256), stream: random.below(8), announced }, body));
  }
  return Buffer.concat(parts);
};

const SETTINGS = 4;

interface FrameHead {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  /** The length that the head tells. */
  readonly announced: number;
}

function frame({ type, flags, stream, announced }: FrameHead, body: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(announced, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
}

/** Vortex packets (id, tag, 32-bit length, value) with sound and unsound tags and lengths. */
const packets: Mangle = (random) => {
  const parts: Buffer[] = [];
  for (let count = random.below(4); count >= 0; count--) {
    const head = Buffer.alloc(6);
    const body = bytesOf(random, random.below(100));
    head.writeUInt8(random.below(256), 0);
    head.writeUInt8(random.next() < 0.5 ? random.below(4) : random.below(256), 1);
    head.writeUInt32BE(random.next() < 0.5 ? body.length : random.below(2 ** 31), 2);
    parts.push(head, body);
  }
  return Buffer.concat(parts);
};

/** HTTP/1 with long, many or broken header lines. */
const headers: Mangle = (random) => {
  const lines = Array.from({ length: random.below(20) }, () => {
    const name = random.next() < 0.8 ? `X-${random.below(1e6)}` : bytesOf(random, 10).toString("latin1");
    return `${name}${random.next() < 0.9 ? ": " : ""}${"v".repeat(random.below(random.next() < 0.1 ? 200_000 : 200))}`;
  });
  const targets = [
    "/v2/",
    "http://127.0.0.1:1/x",
    "/v2/a/../../etc/passwd",
    "*",
    `/${"a".repeat(random.below(100_000))}`,
    "http://[::",
    "\u0000",
  ];
  const method = ["GET", "CONNECT", "PUT", "G\u0000T", ""][random.below(5)]!; // within the list
  return Buffer.from([`${method} ${targets[random.below(targets.length)]!} HTTP/1.1`, "Host: a", ...lines, "", ""].join("\r\n"), "latin1"); // likewise
};

const ATTACKS: readonly (readonly [what: string, listener: string, mangle: Mangle])[] = [
  ["noise at the upload port", "upload", noise],
  ["malformed gRPC frames at the upload port", "upload", frames],
  ["noise at the Unix socket", "socket", noise],
  ["malformed gRPC frames at the Unix socket", "socket", frames],
  ["malformed gRPC frames at the scheduler", "scheduler", frames],
  ["malformed Vortex at the transfer port", "transfer", packets],
  ["noise at the transfer port", "transfer", noise],
  ["broken and oversized headers at the proxy", "proxy", headers],
  ["noise at the proxy", "proxy", noise],
  ["broken and oversized headers at the status pages", "status", headers],
];
const CONNECTIONS = 100;
const AT_ONCE = 10;
const CALLS_PER_METHOD = 5;

for (const [what, listener, mangle] of ATTACKS) {
  test(`${what} hurts nobody`, async () => {
    const seed = 7;
    const random = createRandom(seed);
    const rssBefore = rssBytesOf(await readFile(`/proc/${desk.daemon.pid}/status`, "utf8"));
    for (let sent = 0; sent < CONNECTIONS; sent += AT_ONCE) {
      const attacks = Array.from({ length: AT_ONCE }, () => ({ bytes: mangle(random), resets: random.next() < 0.3 }));
      await Promise.all(attacks.map(({ bytes, resets }) => attack(desk.daemon, listener, bytes, resets)));
    }
    const rssAfter = rssBytesOf(await readFile(`/proc/${desk.daemon.pid}/status`, "utf8"));
    assert.ok(rssAfter - rssBefore < 100 * MIB, `memory went from ${rssBefore} to ${rssAfter} bytes (seed ${seed})`);
    await assertUnharmed(desk, what);
    assert.deepEqual(
      jsonLines(desk.daemon.stderr()).filter(({ level }) => level === "error"),
      [],
    );
  });
}

const METHODS: Readonly<Record<string, readonly { readonly path: string }[]>> = {
  upload: Object.values(DfdaemonUploadService),
  socket: [...Object.values(DfdaemonDownloadService), ...Object.values(DaemonService)],
  scheduler: Object.values(SchedulerService),
};
for (const [listener, methods] of Object.entries(METHODS)) {
  test(`calls with messages that are none hurt nobody at the ${listener}`, async () => {
    const random = createRandom(8);
    for (const { path } of methods) for (let i = 0; i < CALLS_PER_METHOD; i++) await callWith(desk.daemon, listener, path, message(random));
    await assertUnharmed(desk, `messages-${listener}`);
    assert.deepEqual(
      jsonLines(desk.daemon.stderr()).filter(({ level }) => level === "error"),
      [],
    );
  });
}

test("after all that the daemon ends well", async () => {
  const child = spawnAnax(["doctor", "--json", "--data-dir", desk.daemon.dataDir]);
  child.stdout!.resume();
  assert.equal(await exitOf(child), 0);
  desk.daemon.kill("SIGTERM");
  assert.equal(await desk.daemon.exited, 0);
});

/** Sends bytes and ends; resolves when the connection is closed, which the other side has to do. */
function attack(daemon: AnaxProcess, listener: string, bytes: Buffer, resets: boolean): Promise<void> {
  const socket = connectTo(daemon, listener);
  return new Promise((resolve) => {
    socket.on("error", () => undefined); // a reset is an answer, too
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(bytes, () => (resets ? socket.destroy() : socket.end()));
  });
}

const bytesOf = (random: Random, count: number): Buffer => Buffer.from(Array.from({ length: count }, () => random.below(256)));

const rssBytesOf = (status: string): number => Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;

/** A gRPC message (flag, 32-bit length, bytes) that is no protobuf, or not as long as it says. */
function message(random: Random): Buffer {
  const body = bytesOf(random, random.below(300));
  const head = Buffer.alloc(5);
  head.writeUInt8(random.next() < 0.8 ? 0 : random.below(256), 0);
  head.writeUInt32BE(random.next() < 0.7 ? body.length : random.below(2 ** 32), 1);
  return Buffer.concat([head, body]);
}

/** Makes a call in sound HTTP/2, and hangs up once the server has had it: some calls are answered for as long as the caller stays. */
async function callWith(daemon: AnaxProcess, listener: string, path: string, bytes: Buffer): Promise<void> {
  const session = connectHttp2("http://anax", { createConnection: () => connectTo(daemon, listener) });
  session.on("error", () => undefined);
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" });
  stream.on("error", () => undefined);
  const closed = new Promise<void>((resolve) => stream.once("close", () => resolve()));
  stream.resume();
  stream.end(bytes, () => session.ping(() => stream.close(constants.NGHTTP2_CANCEL)));
  await closed;
  session.destroy();
}

function connectTo(daemon: AnaxProcess, listener: string): Socket {
  const address = daemon.listeners[listener] ?? "";
  return address.startsWith("unix:") ? connect(address.slice("unix:".length)) : connect(Number(address.split(":").at(-1)), "127.0.0.1");
}
