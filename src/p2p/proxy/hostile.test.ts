import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { aProxy, ask, sendRaw } from "../../../test/kit/proxy.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";

const HEAD = "Host: x\r\nConnection: close\r\n";

test("requests whose end two programs could see in different places are refused", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const rows = {
    "length and chunks": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "chunks and length": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n`,
    "two lengths": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
    "a negative length": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Content-Length: -1\r\n\r\n`,
    "a length with words": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Content-Length: 3 bytes\r\n\r\nabc`,
    "an unknown coding": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Transfer-Encoding: gzip, identity\r\n\r\nabc`,
    "a space before the colon": `GET /v2/a/tags/list HTTP/1.1\r\n${HEAD}Content-Length : 3\r\n\r\nabc`,
    "a folded line": `GET /v2/a/tags/list HTTP/1.1\r\n${HEAD}X-A: b\r\n c\r\n\r\n`,
    "a bare line feed": `GET /v2/a/tags/list HTTP/1.1\nHost: x\nX: y\n\n`,
    "a bad chunk size": `POST /v2/a/tags/list HTTP/1.1\r\n${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n`,
    "no host": `GET /v2/a/tags/list HTTP/1.1\r\nConnection: close\r\n\r\n`,
    "no HTTP at all": "\u0016\u0003\u0001\u0002\u0000",
  };
  for (const [what, bytes] of Object.entries(rows)) {
    const reply = await sendRaw(kit.proxy.port, bytes);
    assert.match(reply, /^(HTTP\/1\.1 (400|502) [^]*)?$/, what);
    assert.equal((reply.match(/HTTP\/1\.1/g) ?? []).length <= 1, true, what);
  }
  const whole = registry.requests.filter((request) => request.body.length > 0);
  assert.deepEqual(whole, [], "none of them reached the registry with a body");
});

test("a second request hidden behind the first is only ever one request of its own", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const inner = "GET /v2/secret/tags/list HTTP/1.1\r\nHost: y\r\nConnection: close\r\n\r\n";
  const outer = `POST /v2/a/tags/list HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\nConnection: close, Content-Length\r\n\r\n${inner}`;
  await sendRaw(kit.proxy.port, outer);
  assert.deepEqual(
    registry.requests.map(({ method, path, body }) => [method, path, body.toString()]),
    [["POST", "/v2/a/tags/list", inner]],
  );
});

test("a head that is too long is refused, and so is one that does not come", async () => {
  await using kit = await aProxy({ config: { headerBytesMax: "8KiB", headersTimeoutMs: "1s" } });
  const long = await sendRaw(kit.proxy.port, `GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Long: ${"a".repeat(10_000)}\r\n\r\n`);
  assert.match(long, /^HTTP\/1\.1 431 /);
  const slow = await sendRaw(kit.proxy.port, "GET /v2/ HTTP/1.1\r\nHost: x\r\n");
  assert.match(slow, /^HTTP\/1\.1 408 /);
});

test("strange targets are errors of the client", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const rows = [
    ["*", "OPTIONS", 400],
    ["ftp://host/x", "GET", 400],
    ["http://", "GET", 400],
    ["http://host:99999/", "GET", 400],
    ["/v2/a/tags/list?ns=user%40host", "GET", 400],
    ["/v2/a/tags/list?ns=host%2Fpath", "GET", 400],
    ["/v2/a/tags/list?ns=%0d%0aX: y", "GET", 400],
  ] as const;
  for (const [target, method, status] of rows) {
    const reply = await sendRaw(kit.proxy.port, `${method} ${target.replaceAll(" ", "%20")} HTTP/1.1\r\n${HEAD}\r\n`);
    assert.match(reply, new RegExp(`^HTTP/1\\.1 ${status} `), target);
  }
  const header = await ask(`${kit.url}/v2/a/tags/list`, { headers: { "X-Dragonfly-Registry": "http://user:pass@host" } });
  assert.equal(header.status, 400);
  assert.equal(registry.requests.length, 0);
});

test("more requests than settings allow are told to come back", async () => {
  await using registry = await startTestRegistry();
  const { promise: held, resolve: release } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  registry.answer("/v2/slow", (_, response) => {
    arrive();
    void held.then(() => response.end("done"));
  });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host, requestsMax: 1 } });
  const first = ask(`${kit.url}/v2/slow`);
  await arrived;
  const second = await ask(`${kit.url}/v2/slow`);
  assert.equal(second.status, 429);
  assert.equal(second.headers["retry-after"], "1");
  release();
  assert.equal((await first).body.toString(), "done");
});

test("a client that takes nothing is dropped after a while, from the kernel's path and from ours", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putBlob(randomBytes(40 * 1024 * 1024));
  const clock = new VirtualClock();
  await using kit = await aProxy({ clock, config: { defaultRegistry: registry.host, clientStallMs: "1m" } });
  const path = `/v2/a/blobs/${digest}`;
  assert.equal((await ask(kit.url + path)).status, 200);
  const socket = connect(kit.proxy.port, "127.0.0.1");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
  await once(socket, "readable"); // the head is here; nothing is read from now on
  const closed = once(socket, "close");
  const isDropped = async (): Promise<boolean> => /outcome="aborted"\} 1/.test(await kit.metrics.metrics());
  // The clock waits for the sockets between them to be full.
  for (let i = 0; i < 500 && !(await isDropped()); i++) {
    await sleep(20);
    await clock.advance(61_000);
  }
  socket.resume();
  await closed;
  assert.ok(socket.bytesRead < 40 * 1024 * 1024);
  assert.ok(await isDropped());
});

test("requests sent without waiting for answers are answered in their order, up to a bound", async () => {
  await using registry = await startTestRegistry();
  const bytes = [randomBytes(300_000), randomBytes(200_000), randomBytes(100_000)];
  const digests = bytes.map((content) => registry.putBlob(content));
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  for (let round = 0; round < 2; round++) {
    const socket = connect(kit.proxy.port, "127.0.0.1");
    socket.write(request(digests[0]) + request(digests[1]) + request(digests[2], "Connection: close\r\n"));
    const chunks: Buffer[] = [];
    for await (const chunk of socket) chunks.push(chunk as Buffer);
    const all = Buffer.concat(chunks);
    const places = bytes.map((content) => all.indexOf(content));
    assert.deepEqual(
      places,
      places.toSorted((a, b) => a - b),
    );
    assert.ok(places.every((place) => place > 0));
  }
  const flood = connect(kit.proxy.port, "127.0.0.1");
  flood.on("error", () => undefined);
  flood.end(request(digests[0]).repeat(100));
  flood.resume();
  await once(flood, "close");
  assert.equal((await ask(`${kit.url}/v2/a/blobs/${digests[0]}`)).status, 200);
});

const request = (digest: string | undefined, more = ""): string => `GET /v2/a/blobs/${digest} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
