import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { generate } from "../../../test/kit/generated-content.ts";
import { startOrigin, type Fault } from "../../../test/kit/origin.ts";
import { aRequest, aSources, bytesOf } from "../../../test/kit/sources.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { fails } from "./source.conformance.ts";

const CONTENT = { bytes: 300_000, seed: 7 };

const originWith = (fault: Fault) => startOrigin({ content: { "/a": CONTENT }, faults: { "/a": fault } });

for (const status of [400, 403, 405, 501]) {
  test(`stat asks for the first byte when HEAD is refused with ${status}`, async () => {
    await using origin = await originWith({ headStatus: status });
    await using sources = aSources();
    const stat = await sources.stat(aRequest(origin.url("/a")));
    assert.deepEqual([stat.contentLength, stat.acceptsRanges, stat.responseHeader["content-length"]], [CONTENT.bytes, true, "300000"]);
    assert.deepEqual(origin.stats("/a"), { heads: 1, gets: 1, bytesSent: 1 });
  });
}

test("stat asks for the first byte when HEAD tells no length", async () => {
  await using origin = await originWith({ chunked: true, methods: ["HEAD"] });
  await using sources = aSources();
  const stat = await sources.stat(aRequest(origin.url("/a")));
  assert.deepEqual([stat.contentLength, stat.acceptsRanges], [CONTENT.bytes, true]);
});

test("stat of content without a length, from a source without ranges, says so and does not read the content", async () => {
  await using origin = await startOrigin({
    content: { "/a": { bytes: 500_000_000, seed: 7 } },
    faults: { "/a": { chunked: true, ignoreRange: true } },
  });
  await using sources = aSources();
  const stat = await sources.stat(aRequest(origin.url("/a")));
  assert.deepEqual([stat.contentLength, stat.acceptsRanges], [undefined, false]);
  assert.ok(origin.stats("/a").bytesSent < 50_000_000);
});

test("stat of empty content behind a refused HEAD is 0 bytes", async () => {
  await using origin = await startOrigin({ content: { "/a": "" }, faults: { "/a": { headStatus: 405 } } });
  await using sources = aSources();
  assert.equal((await sources.stat(aRequest(origin.url("/a")))).contentLength, 0);
});

test("a chunked reply has no length and comes whole", async () => {
  await using origin = await originWith({ chunked: true });
  await using sources = aSources();
  const body = await sources.read(aRequest(origin.url("/a")));
  assert.deepEqual([body.contentLength, body.totalLength], [undefined, undefined]);
  assert.ok((await bytesOf(body)).equals(generate(CONTENT)));
});

test("the GET after a HEAD uses its connection", async () => {
  await using origin = await originWith({});
  await using sources = aSources();
  await sources.stat(aRequest(origin.url("/a")));
  await bytesOf(await sources.read(aRequest(origin.url("/a"))));
  assert.equal(origin.connections, 1);
});

for (const [title, fault] of [
  ["the whole content", { ignoreRange: true }],
  ["the whole content without a length", { ignoreRange: true, chunked: true }],
  ["another range", { shiftRangeBytes: 1 }],
  ["206 without Content-Range", { status: 206 }],
] as const) {
  test(`${title} in answer to a range is source.range-ignored`, async () => {
    await using origin = await originWith(fault);
    await using sources = aSources();
    await fails(sources.read({ ...aRequest(origin.url("/a")), range: { start: 10, length: 10 } }), "source.range-ignored");
  });
}

test("a range that is the whole content may be answered with 200", async () => {
  await using origin = await originWith({ ignoreRange: true });
  await using sources = aSources();
  const body = await sources.read({ ...aRequest(origin.url("/a")), range: { start: 0, length: CONTENT.bytes } });
  assert.equal((await bytesOf(body)).length, CONTENT.bytes);
});

test("206 to a request for the whole is refused, since it is a part", async () => {
  await using origin = await originWith({ status: 206 });
  await using sources = aSources();
  await fails(sources.read(aRequest(origin.url("/a"))), "source.refused");
});

for (const [status, code] of [
  [401, "source.unauthorized"],
  [403, "source.forbidden"],
  [404, "source.not-found"],
  [410, "source.not-found"],
  [416, "task.range-unsatisfiable"],
  [418, "source.refused"],
  [304, "source.refused"],
  [302, "source.refused"],
  [500, "source.bad-status"],
  [503, "source.bad-status"],
  [429, "source.bad-status"],
] as const) {
  test(`status ${status} is ${code}, for stat and for read`, async () => {
    await using origin = await originWith({ status, headers: { "www-authenticate": 'Bearer realm="r"' } });
    await using sources = aSources({ attemptsMax: 1 });
    const request = aRequest(origin.url("/a"));
    for (const call of [() => sources.stat(request), () => sources.read(request)]) {
      const error = await fails(call(), code);
      assert.equal(error.details["status"], status);
      if (status === 401) assert.equal(error.details["wwwAuthenticate"], 'Bearer realm="r"');
    }
  });
}

test("a body that breaks off is source.truncated and says how far it came", async () => {
  await using origin = await originWith({ truncateAfterBytes: 100_000 });
  await using sources = aSources();
  const error = await fails(sources.read(aRequest(origin.url("/a"))).then(bytesOf), "source.truncated");
  assert.deepEqual([error.details["expectedBytes"], error.details["gotBytes"]], [CONTENT.bytes, 100_000]);
  assert.equal(origin.stats("/a").gets, 1, "going on is the caller's part");
});

test("a chunked body that breaks off is source.truncated too", async () => {
  await using origin = await originWith({ truncateAfterBytes: 100_000, chunked: true });
  await using sources = aSources();
  const error = await fails(sources.read(aRequest(origin.url("/a"))).then(bytesOf), "source.truncated");
  assert.equal(error.details["gotBytes"], 100_000);
});

test("a body shorter than announced is source.truncated", async () => {
  await using origin = await originWith({ contentLengthError: 5 });
  await using sources = aSources();
  const error = await fails(sources.read(aRequest(origin.url("/a"))).then(bytesOf), "source.truncated");
  assert.deepEqual([error.details["expectedBytes"], error.details["gotBytes"]], [CONTENT.bytes + 5, CONTENT.bytes]);
});

test("the rest of a broken body can be read with a range", async () => {
  await using origin = await originWith({ truncateAfterBytes: 100_000, times: 1 });
  await using sources = aSources();
  const body = await sources.read(aRequest(origin.url("/a")));
  const parts: Uint8Array[] = [];
  let got = 0;
  await assert.rejects(async () => {
    for await (const chunk of body.chunks) {
      parts.push(chunk);
      got += chunk.length;
    }
  });
  const rest = await sources.read({ ...aRequest(origin.url("/a")), range: { start: got, length: CONTENT.bytes - got } });
  parts.push(await bytesOf(rest));
  assert.ok(Buffer.concat(parts).equals(generate(CONTENT)));
});

test("a source that falls silent in the middle of a body is given up after idleTimeoutMs", async () => {
  const clock = new VirtualClock();
  await using origin = await originWith({ stallAfterBytes: 1000 });
  await using sources = aSources({ idleTimeoutMs: "20s" }, clock);
  const chunks = (await sources.read(aRequest(origin.url("/a")))).chunks[Symbol.asyncIterator]();
  let got = 0;
  while (got < 1000) got += (await chunks.next()).value?.length ?? assert.fail("the body ended");
  const next = fails(chunks.next(), "source.truncated");
  await clock.advance(20_000);
  assert.deepEqual((await next).details["gotBytes"], 1000);
  assert.equal(clock.pending, 0);
});

test("a slow consumer is not mistaken for a silent source", async () => {
  const clock = new VirtualClock();
  await using origin = await originWith({});
  await using sources = aSources({ idleTimeoutMs: "20s" }, clock);
  const body = await sources.read(aRequest(origin.url("/a")));
  let bytes = 0;
  for await (const chunk of body.chunks) {
    bytes += chunk.length;
    await clock.advance(60_000);
  }
  assert.equal(bytes, CONTENT.bytes);
});

test("a source that never answers is given up after headersTimeoutMs", async () => {
  const clock = new VirtualClock();
  await using origin = await originWith({ stallAfterBytes: -1 });
  await using sources = aSources({ headersTimeoutMs: "9s", attemptsMax: 1 }, clock);
  const error = fails(sources.read(aRequest(origin.url("/a"))), "source.unreachable");
  await origin.until(() => origin.stats("/a").gets === 1);
  await clock.advance(9000);
  assert.equal((await error).details["systemCode"], "ETIMEDOUT");
  assert.equal(clock.pending, 0);
});

test("a handshake that never ends is given up after connectTimeoutMs", async () => {
  const clock = new VirtualClock();
  const silent = createServer();
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const sockets: Socket[] = [];
  const connected = new Promise<void>((resolve) => silent.on("connection", (socket) => (sockets.push(socket), resolve())));
  await using sources = aSources({ connectTimeoutMs: "3s", attemptsMax: 1 }, clock);
  const error = fails(sources.stat(aRequest(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/a`)), "source.unreachable");
  await connected;
  await clock.advance(3000);
  assert.match(String((await error).details["reason"]), /no connection in 3000 ms/);
  for (const socket of sockets) socket.destroy();
  silent.close();
});

test("a refused connection is source.unreachable with the system's code", async () => {
  const origin = await originWith({});
  const url = origin.url("/a");
  await origin[Symbol.asyncDispose]();
  await using sources = aSources();
  assert.equal((await fails(sources.stat(aRequest(url)), "source.unreachable")).details["systemCode"], "ECONNREFUSED");
});

test("a name that does not exist is source.unreachable with the resolver's code", async () => {
  await using sources = aSources({ attemptsMax: 1 });
  const error = await fails(sources.stat(aRequest("http://nothing.invalid/a")), "source.unreachable");
  assert.match(String(error.details["systemCode"]), /^(ENOTFOUND|EAI_AGAIN)$/);
});

test("a reset before the reply is source.unreachable, and tried again", async () => {
  await using origin = await originWith({ reset: true });
  await using sources = aSources({ attemptsMax: 3 });
  await fails(sources.read(aRequest(origin.url("/a"))), "source.unreachable");
  assert.equal(origin.stats("/a").gets, 3);
});

test("an abort ends a request that waits for the reply", async () => {
  await using origin = await originWith({ stallAfterBytes: -1 });
  await using sources = aSources();
  const controller = new AbortController();
  const work = sources.read(aRequest(origin.url("/a"), { signal: controller.signal }));
  await origin.until(() => origin.stats("/a").gets === 1);
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(work, (thrown) => thrown === reason);
});

test("content-encoding is neither asked for nor undone", async () => {
  await using origin = await originWith({ headers: { "content-encoding": "gzip" } });
  await using sources = aSources();
  const body = await sources.read(aRequest(origin.url("/a")));
  assert.equal(body.responseHeader["content-encoding"], "gzip");
  assert.ok((await bytesOf(body)).equals(generate(CONTENT)));
  assert.equal(origin.requests.at(-1)?.headers["accept-encoding"], "identity");
  await sources.stat(aRequest(origin.url("/a"), { headers: { "Accept-Encoding": "zstd" } }));
  assert.equal(origin.requests.at(-1)?.headers["accept-encoding"], "zstd");
});

test("headers of the caller are sent, those that are ours to set are not, and connection fields do not come back", async () => {
  await using origin = await originWith({});
  await using sources = aSources();
  const given = {
    "X-Custom": "1",
    Host: "evil",
    Connection: "close",
    Range: "bytes=0-1",
    "Transfer-Encoding": "chunked",
    "User-Agent": "me",
  };
  const body = await sources.read(aRequest(origin.url("/a"), { headers: given }));
  assert.equal((await bytesOf(body)).length, CONTENT.bytes);
  const sent = origin.requests.at(-1)?.headers ?? {};
  assert.deepEqual([sent["x-custom"], sent["host"], sent["range"], sent["user-agent"]], ["1", `127.0.0.1:${origin.port}`, undefined, "me"]);
  assert.equal(body.responseHeader["connection"], undefined);
});

test("a header that cannot be sent is input.invalid", async () => {
  await using sources = aSources();
  await fails(sources.stat(aRequest("http://127.0.0.1:1/", { headers: { "x-bad": "a\r\nb: c" } })), "input.invalid");
});

test("user and password in the URL become basic authentication and do not show in errors", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" }, auth: { kind: "basic", user: "me", password: "p@ss" } });
  await using sources = aSources();
  const url = origin.url("/a?signature=s3cret").replace("//", "//me:p%40ss@");
  assert.equal((await sources.stat(aRequest(url))).contentLength, 1);
  const error = await fails(sources.stat(aRequest(url.replace("p%40ss", "wrong"))), "source.unauthorized");
  assert.doesNotMatch(error.message, /wrong|s3cret/);
});

test("a body that nobody reads frees its place when the signal aborts", async () => {
  await using origin = await originWith({ stallAfterBytes: 10 });
  await using sources = aSources({ connectionsPerHostMax: 1 });
  const controller = new AbortController();
  await sources.read(aRequest(origin.url("/a"), { signal: controller.signal }));
  origin.setFault("/a", undefined);
  const waiting = sources.stat(aRequest(origin.url("/a")));
  controller.abort();
  assert.equal((await waiting).contentLength, CONTENT.bytes);
});

test("requests beyond the places and the line of a host are refused", async () => {
  await using origin = await originWith({ stallAfterBytes: 10 });
  await using sources = aSources({ connectionsPerHostMax: 1, waitingPerHostMax: 1, attemptsMax: 1 });
  const controller = new AbortController();
  await sources.read(aRequest(origin.url("/a"), { signal: controller.signal }));
  const second = sources.stat(aRequest(origin.url("/a"), { signal: controller.signal }));
  await fails(sources.stat(aRequest(origin.url("/a"))), "limit.exceeded");
  controller.abort();
  await assert.rejects(second);
});
