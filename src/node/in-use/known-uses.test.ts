import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { silentLog, type Log } from "../../base/log.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { Use } from "../../p2p/pieces/in-use.ts";
import { ContainerdSource } from "./containerd.ts";
import { CriSource } from "./cri.ts";
import { KnownUses } from "./known-uses.ts";
import { imageBlobsOf, usesOf, type Look, type UseSource } from "./use-source.ts";

const CONFIG = { timeoutMs: 2000, retryMs: 30_000, unknownKeepMs: 3_600_000 };
const UNKNOWN = imageBlobsOf("test");
const USES = usesOf("web (app:1)", ["sha256:aa"]);
const seen = (uses: readonly Use[], withoutLayers: readonly string[] = []): Look => ({ kind: "seen", uses, containers: 1, withoutLayers });
const DOWN = new AnaxError("rpc.unavailable");

/** A source that does what it is told, and what became of it. */
function aSource() {
  let answer: Look | Error | "hang" = { kind: "absent" };
  let looks = 0;
  const clock = new VirtualClock();
  const said: string[] = [];
  const note = (event: string): void => void said.push(event);
  const log: Log = { error: note, warn: note, info: note, debug: note, child: () => log };
  const look = async (): Promise<Look> => {
    looks++;
    if (answer instanceof Error) throw answer;
    return answer === "hang" ? Promise.withResolvers<Look>().promise : answer;
  };
  const source: UseSource = { name: "test", unknown: UNKNOWN, look };
  return {
    clock,
    said,
    known: new KnownUses({ source, config: CONFIG, clock, log }),
    will: (next: Look | Error | "hang") => void (answer = next),
    looks: () => looks,
  };
}

test("where nothing of the kind is, nothing is in use, and nothing is said", async () => {
  const { known, said } = aSource();
  assert.deepEqual(await known.uses(), []);
  assert.deepEqual(said, []);
});

test("who stops answering is believed what he said last, and asked again later", async () => {
  const { known, will, said, clock, looks } = aSource();
  will(seen(USES));
  assert.deepEqual(await known.uses(), USES);
  for (const trouble of [DOWN, { kind: "absent" } as const]) {
    will(trouble);
    assert.deepEqual(await known.uses(), USES);
    const before = looks();
    assert.deepEqual(await known.uses(), USES);
    assert.equal(looks(), before, "not at once");
    await clock.advance(CONFIG.retryMs);
  }
  await clock.advance(CONFIG.unknownKeepMs);
  assert.deepEqual(await known.uses(), USES, "however long that takes");
  await clock.advance(CONFIG.retryMs);
  will(seen([]));
  assert.deepEqual(await known.uses(), []);
  assert.deepEqual(said, ["in-use.unanswered", "in-use.answers"], "once each");
});

test("until somebody has answered once, every image is in use, but not for ever", async () => {
  const { known, will, clock } = aSource();
  will(DOWN);
  assert.deepEqual(await known.uses(), UNKNOWN);
  await clock.advance(CONFIG.unknownKeepMs - 1);
  assert.deepEqual(await known.uses(), UNKNOWN);
  await clock.advance(CONFIG.retryMs);
  assert.deepEqual(await known.uses(), []);
});

test("who may not be asked says so once, and keeps nothing from being collected", async () => {
  for (const denied of [Object.assign(new Error("no"), { code: "EACCES" }), new AnaxError("rpc.permission-denied")]) {
    const { known, will, said, clock } = aSource();
    will(denied);
    assert.deepEqual(await known.uses(), []);
    await clock.advance(CONFIG.retryMs);
    assert.deepEqual(await known.uses(), []);
    assert.deepEqual(said, ["in-use.denied"]);
  }
});

test("layers that are not known are said once", async () => {
  const { known, will, said } = aSource();
  will(seen(USES, ["web (app:1)"]));
  for (let i = 0; i < 2; i++) assert.deepEqual(await known.uses(), USES);
  assert.deepEqual(said, ["in-use.layers-unknown"]);
});

test("who hangs is waited for until the deadline, and not asked a second time beside", async () => {
  const { known, will, clock, looks } = aSource();
  will("hang");
  for (let i = 0; i < 2; i++) {
    const asked = known.uses();
    await clock.advance(CONFIG.timeoutMs);
    assert.deepEqual(await asked, UNKNOWN);
    await clock.advance(CONFIG.retryMs);
  }
  assert.equal(looks(), 1);
});

/** A socket on which somebody listens who does with each connection what is said here. */
async function aSocket(greet: (socket: Socket) => void): Promise<AsyncDisposable & { readonly path: string }> {
  const dir = await mkdtemp(join(tmpdir(), "anax-runtime-"));
  const path = join(dir, "runtime.sock");
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    greet(socket);
  });
  server.listen(path);
  await once(server, "listening");
  return {
    path,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const STRANGERS: readonly [title: string, greet: (socket: Socket) => void][] = [
  ["takes the connection and says nothing", () => undefined],
  ["hangs up", (socket) => socket.destroy()],
  ["speaks something else", (socket) => socket.end("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
  ["sends noise without an end", (socket) => void socket.write(Buffer.alloc(1024 * 1024, 0xff))],
];
for (const [title, greet] of STRANGERS) {
  test(`a runtime's socket where somebody ${title} counts as one that does not answer`, async () => {
    await using socket = await aSocket(greet);
    const place = { path: socket.path, usual: true, clock: realClock, timeoutMs: 200 };
    const config = { ...CONFIG, timeoutMs: 200 };
    for (const source of [new ContainerdSource(place), new CriSource(place, [])]) {
      const uses = await new KnownUses({ source, config, clock: realClock, log: silentLog }).uses();
      assert.deepEqual(uses, source.unknown);
    }
  });
}

test("a socket in its usual place need not be there, one in another place should be", async () => {
  const place = { path: "/nowhere/runtime.sock", clock: realClock, timeoutMs: 200 };
  for (const Source of [ContainerdSource, CriSource]) {
    const signal = new AbortController().signal;
    assert.deepEqual(await new Source({ ...place, usual: true }, []).look(signal), { kind: "absent" });
    await assert.rejects(new Source({ ...place, usual: false }, []).look(signal), { code: "ENOENT" });
  }
});
