import assert from "node:assert/strict";
import { test } from "node:test";
import { generate } from "../../../test/kit/generated-content.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { startS3Origin, type S3OriginOptions } from "../../../test/kit/s3-origin.ts";
import { advanceUntilSettled, aRequest, aSources, bytesOf } from "../../../test/kit/sources.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { parseS3Url } from "./s3.ts";
import { fails } from "./source.conformance.ts";

const KEYS = { accessKeyId: "AK", accessKeySecret: "SK" };
const CONTENT = { bytes: 2_000_000, seed: 3 };

const startBucket = (more: Partial<S3OriginOptions> = {}) =>
  startS3Origin({ buckets: { bucket: { key: CONTENT } }, credentials: KEYS, ...more });

test("keys of the settings are used for the endpoint of the settings", async () => {
  await using s3 = await startBucket();
  await using sources = aSources({ s3Endpoint: s3.endpoint, s3AccessKeyId: KEYS.accessKeyId, s3AccessKeySecret: KEYS.accessKeySecret });
  assert.equal((await sources.stat(aRequest("s3://bucket/key"))).contentLength, CONTENT.bytes);
});

test("keys of the settings are not sent to an endpoint that a request chose", async () => {
  await using s3 = await startBucket();
  await using sources = aSources({
    s3Endpoint: "http://127.0.0.1:1",
    s3AccessKeyId: KEYS.accessKeyId,
    s3AccessKeySecret: KEYS.accessKeySecret,
    s3SessionToken: "token",
    s3MachineCredentials: true,
  });
  await fails(sources.stat(aRequest("s3://bucket/key", { objectStorage: { endpoint: s3.endpoint } })), "source.forbidden");
  const { authorization, "x-amz-security-token": token } = s3.origin.requests.at(-1)?.headers ?? {};
  assert.deepEqual([authorization, token], [undefined, undefined]);
});

test("without keys the request is anonymous", async () => {
  await using s3 = await startS3Origin({ buckets: { bucket: { key: "open" } } });
  await using sources = aSources({ s3Endpoint: s3.endpoint });
  assert.equal((await bytesOf(await sources.read(aRequest("s3://bucket/key")))).toString(), "open");
  assert.equal(s3.origin.requests.at(-1)?.headers["authorization"], undefined);
});

test("a wrong secret and an unknown key are source.forbidden with the service's code", async () => {
  await using s3 = await startBucket();
  await using sources = aSources();
  const read = (keys: object) => sources.read(aRequest("s3://bucket/key", { objectStorage: { endpoint: s3.endpoint, ...KEYS, ...keys } }));
  assert.match(String((await fails(read({ accessKeySecret: "no" }), "source.forbidden")).details["reason"]), /SignatureDoesNotMatch/);
  assert.match(String((await fails(read({ accessKeyId: "no" }), "source.forbidden")).details["reason"]), /InvalidAccessKeyId/);
});

const request = (s3: { readonly endpoint: string }, url: string) => aRequest(url, { objectStorage: { endpoint: s3.endpoint, ...KEYS } });

test("an object, or a range of it, takes one request that is signed right, whatever its key looks like", async () => {
  const keys = ["a b", "ü+(1)*'!", "x/y//z~", "50%&=?"];
  const content = "0123456789";
  await using s3 = await startS3Origin({
    buckets: { bucket: Object.fromEntries(keys.map((key) => [key, content])) },
    credentials: { ...KEYS, sessionToken: "token" },
  });
  await using sources = aSources();
  for (const [place, key] of keys.entries()) {
    const url = `s3://bucket/${key.split("/").map(encodeURIComponent).join("/")}`;
    const wanted = aRequest(url, { objectStorage: { endpoint: s3.endpoint, ...KEYS, sessionToken: "token" } });
    const body = await sources.read(place % 2 === 0 ? wanted : { ...wanted, range: { start: 2, length: 3 } });
    assert.equal((await bytesOf(body)).toString(), place % 2 === 0 ? content : "234");
    assert.equal(s3.origin.requests.length, place + 1, key);
  }
});

test("a bucket that takes the library's requests only is not asked by ours again", async () => {
  await using s3 = await startBucket({ faults: { "/bucket/key": { status: 400, times: 1 } } });
  await using sources = aSources();
  const counts: number[] = [];
  for (let read = 0; read < 3; read++) {
    await bytesOf(await sources.read(request(s3, "s3://bucket/key")));
    counts.push(s3.origin.requests.length);
  }
  assert.deepEqual(counts, [2, 3, 4]);
});

test("a missing bucket is source.not-found and named", async () => {
  await using s3 = await startBucket();
  await using sources = aSources();
  const error = await fails(sources.read(request(s3, "s3://nobody/key")), "source.not-found");
  assert.match(String(error.details["reason"]), /NoSuchBucket/);
  await fails(sources.stat(request(s3, "s3://bucket/nothing/")), "source.not-found");
});

test("a busy service is tried again, and its Retry-After is kept", async () => {
  const clock = new VirtualClock();
  await using s3 = await startBucket({ faults: { "/bucket/key": { status: 503, headers: { "retry-after": "7" }, times: 1 } } });
  await using sources = aSources({}, clock);
  const stat = await advanceUntilSettled(clock, sources.stat(request(s3, "s3://bucket/key")));
  assert.ok(clock.nowMs() >= 7000);
  assert.equal(stat.contentLength, CONTENT.bytes);
});

test("a broken body is source.truncated, a range that is ignored source.range-ignored", async () => {
  await using s3 = await startBucket({ faults: { "/bucket/key": { truncateAfterBytes: 1000 } } });
  await using sources = aSources();
  const error = await fails(sources.read(request(s3, "s3://bucket/key")).then(bytesOf), "source.truncated");
  assert.deepEqual([error.details["expectedBytes"], error.details["gotBytes"]], [CONTENT.bytes, 1000]);
  s3.origin.setFault("/bucket/key", { ignoreRange: true });
  await fails(sources.read({ ...request(s3, "s3://bucket/key"), range: { start: 1, length: 2 } }), "source.range-ignored");
});

test("an object streams with back-pressure: what nobody reads is not fetched", async () => {
  await using s3 = await startBucket({ buckets: { bucket: { big: { bytes: 200_000_000, seed: 1 } } } });
  await using sources = aSources();
  const controller = new AbortController();
  const body = await sources.read({ ...request(s3, "s3://bucket/big"), signal: controller.signal });
  const chunks = body.chunks[Symbol.asyncIterator]();
  await chunks.next();
  await sources.stat(request(s3, "s3://bucket/big")); // gives the origin time to send what the buffers take
  assert.ok(s3.origin.stats("/bucket/big").bytesSent < 50_000_000);
  controller.abort();
});

test("a silent object is given up after idleTimeoutMs", async () => {
  const clock = new VirtualClock();
  await using s3 = await startBucket({ faults: { "/bucket/key": { stallAfterBytes: 10 } } });
  await using sources = aSources({ idleTimeoutMs: "5s" }, clock);
  const chunks = (await sources.read(request(s3, "s3://bucket/key"))).chunks[Symbol.asyncIterator]();
  await chunks.next();
  const next = fails(chunks.next(), "source.truncated");
  await clock.advance(5000);
  await next;
});

test("a directory of many pages lists completely, within listEntriesMax", async () => {
  const keys = Object.fromEntries(Array.from({ length: 25 }, (_, i) => [`d/${String(i).padStart(2, "0")}`, "x"]));
  await using s3 = await startBucket({
    buckets: { bucket: { ...keys, "d/sub/one": "x", "d/sub/two": "x", "d/": "" } },
    pageEntriesMax: 10,
  });
  await using sources = aSources();
  const entries = await sources.list(request(s3, "s3://bucket/d"));
  assert.deepEqual([entries.length, entries.filter((entry) => entry.isDirectory).length], [26, 1]);
  assert.equal((await sources.list(request(s3, "s3://bucket"))).length, 1);
  await using few = aSources({ listEntriesMax: 20, attemptsMax: 1 });
  await fails(few.list(request(s3, "s3://bucket/d")), "limit.exceeded");
});

for (const [title, content] of [
  ["is not XML", "not xml <<<"],
  ["never ends", { bytes: 100_000_000, seed: 1 }],
] as const) {
  test(`a listing that ${title} is source.refused`, async () => {
    await using origin = await startOrigin({ content: { "/bucket": content, "/bucket/": content } });
    await using sources = aSources();
    await fails(sources.list(aRequest("s3://bucket/x", { objectStorage: { endpoint: origin.url(""), ...KEYS } })), "source.refused");
    assert.ok(origin.totals().bytesSent < 40_000_000);
    assert.equal(origin.requests.length, 1);
  });
}

test("the address policy holds for S3 as well", async () => {
  await using sources = aSources();
  const objectStorage = { endpoint: "http://169.254.169.254", ...KEYS };
  await fails(sources.read(aRequest("s3://bucket/key", { objectStorage })), "source.denied");
});

test("whole objects are bit-exact", async () => {
  await using s3 = await startBucket();
  await using sources = aSources();
  assert.ok((await bytesOf(await sources.read(request(s3, "s3://bucket/key")))).equals(generate(CONTENT)));
});

test("S3 URLs are taken apart", () => {
  assert.deepEqual(parseS3Url("s3://b.c-d/a/../%C3%A9%3F?versionId=v1&x=y"), { bucket: "b.c-d", key: "a/../é?", versionId: "v1" });
  assert.deepEqual(parseS3Url("s3://bucket"), { bucket: "bucket", key: "", versionId: undefined });
  for (const bad of ["s3:///key", "s3://", "s3://b@d/key", "s3://bucket/%ff", "s3://bucket/%"]) {
    assert.throws(() => parseS3Url(bad), { code: "input.invalid" }, bad);
  }
});
