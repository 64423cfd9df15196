import assert from "node:assert/strict";
import { test } from "node:test";
import { startOrigin } from "../../../test/kit/origin.ts";
import { advanceUntilSettled, aRequest, aSources, bytesOf } from "../../../test/kit/sources.ts";
import { formatHttpDate } from "../../base/http-date.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { fails } from "./source.conformance.ts";

test("a scheme that no source speaks is source.unsupported and names those that are", async () => {
  await using sources = aSources();
  const error = await fails(sources.stat(aRequest("hdfs://name/path")), "source.unsupported");
  assert.deepEqual(error.details["known"], ["http", "https", "file", "s3"]);
});

for (const url of ["", "no-scheme", "http://", "http://a:b:c/", "//host/path", "s3:bucket/key", "file:relative"]) {
  test(`"${url}" is input.invalid`, async () => {
    await using sources = aSources({ fileRoots: ["/"] });
    await fails(sources.stat(aRequest(url)), "input.invalid");
    await fails(sources.read(aRequest(url)), "input.invalid");
  });
}

test("schemes are read in any case", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" } });
  await using sources = aSources();
  assert.equal((await sources.stat(aRequest(origin.url("/a").replace("http", "HTTP")))).contentLength, 1);
});

for (const range of [
  { start: -1, length: 5 },
  { start: 0, length: 0 },
  { start: 0.5, length: 1 },
  { start: Number.MAX_SAFE_INTEGER, length: 2 },
]) {
  test(`the range ${JSON.stringify(range)} is input.invalid`, async () => {
    await using sources = aSources();
    await fails(sources.read({ ...aRequest("http://127.0.0.1:1/"), range }), "input.invalid");
  });
}

test("a passing failure is tried again until it works", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" }, faults: { "/a": { status: 503, times: 2 } } });
  await using sources = aSources({ attemptsMax: 3 });
  assert.equal((await bytesOf(await sources.read(aRequest(origin.url("/a"))))).toString(), "x");
  assert.equal(origin.stats("/a").gets, 3);
});

test("after attemptsMax tries the last error is thrown", async () => {
  await using origin = await startOrigin({ faults: { "/a": { status: 500 } } });
  await using sources = aSources({ attemptsMax: 2 });
  await fails(sources.stat(aRequest(origin.url("/a"))), "source.bad-status");
  assert.equal(origin.stats("/a").heads, 2);
});

test("a lasting failure is not tried again", async () => {
  await using origin = await startOrigin({});
  await using sources = aSources();
  await fails(sources.read(aRequest(origin.url("/a"))), "source.not-found");
  assert.equal(origin.stats("/a").gets, 1);
});

for (const [title, retryAfter, waitMs] of [
  ["seconds", "12", 12_000],
  ["a date", formatHttpDate(1_700_000_000_000 + 9000), 9000],
  ["far too much", "86400", 30_000],
  ["a date that is over", formatHttpDate(0), 0],
  ["nonsense", "soon", 0],
] as const) {
  test(`Retry-After with ${title} is waited for, within retryAfterMaxMs`, async () => {
    const clock = new VirtualClock();
    const headers = { "retry-after": retryAfter };
    await using origin = await startOrigin({ content: { "/a": "x" }, faults: { "/a": { status: 429, headers, times: 1 } } });
    await using sources = aSources({ retryAfterMaxMs: "30s" }, clock);
    await advanceUntilSettled(clock, sources.stat(aRequest(origin.url("/a"))));
    const secondAtMs = clock.nowMs();
    assert.ok(secondAtMs >= waitMs && secondAtMs < waitMs + 1000, `${secondAtMs}`);
    assert.equal(clock.pending, 0);
  });
}

test("an abort ends the wait between two tries", async () => {
  await using origin = await startOrigin({ faults: { "/a": { status: 503, headers: { "retry-after": "600" } } } });
  await using sources = aSources({ retryAfterMaxMs: "10m" });
  const controller = new AbortController();
  const work = sources.stat(aRequest(origin.url("/a"), { signal: controller.signal }));
  await origin.until(() => origin.stats("/a").heads === 1);
  const reason = new Error("enough");
  controller.abort(reason);
  await assert.rejects(work, (thrown) => thrown === reason);
});

test("requests, retries and bytes are counted by scheme and outcome", async () => {
  await using origin = await startOrigin({ content: { "/a": "12345" }, faults: { "/b": { status: 503 } } });
  await using sources = aSources({ attemptsMax: 2 });
  await bytesOf(await sources.read(aRequest(origin.url("/a"))));
  await fails(sources.stat(aRequest(origin.url("/b"))), "source.bad-status");
  await assert.rejects(sources.stat(aRequest(origin.url("/a"), { signal: AbortSignal.abort() })));
  const text = await sources.registry.metrics();
  for (const line of [
    'anax_source_requests_total{scheme="http",operation="read",outcome="ok"} 1',
    'anax_source_requests_total{scheme="http",operation="stat",outcome="source.bad-status"} 1',
    'anax_source_requests_total{scheme="http",operation="stat",outcome="cancelled"} 1',
    'anax_source_retries_total{scheme="http",reason="source.bad-status"} 1',
    'anax_source_read_bytes_total{scheme="http"} 5',
  ]) {
    assert.ok(text.includes(line), `${line}\n${text}`);
  }
});

test("disposing breaks off what is under way", async () => {
  await using origin = await startOrigin({ content: { "/a": { bytes: 1000, seed: 1 } }, faults: { "/a": { stallAfterBytes: 10 } } });
  const sources = aSources();
  const body = sources.read(aRequest(origin.url("/a"))).then(bytesOf);
  const cancelled = fails(body, "download.cancelled");
  await origin.until(() => origin.stats("/a").bytesSent === 10);
  await sources[Symbol.asyncDispose]();
  await cancelled;
  await fails(sources.stat(aRequest(origin.url("/a"))), "download.cancelled");
});
