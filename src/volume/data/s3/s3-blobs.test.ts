import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../../base/clock.ts";
import { BUCKET, BUCKET_ENV, startS3Bucket, type BucketFault, type S3Bucket } from "../../../../test/kit/s3-bucket.ts";
import { aBlob, blobStoreConformance } from "../blob-store.conformance.ts";
import { parseVolumeData, s3DataOf } from "../volume-data.ts";
import { S3Blobs } from "./s3-blobs.ts";

Object.assign(process.env, BUCKET_ENV); // where users have them, too

const UUID = "00000000-0000-4000-8000-000000000001";
const content = Buffer.from("what a blob holds");
const blob = aBlob(77, content);

const openIn = ({ endpoint }: S3Bucket, bucket = BUCKET): Promise<S3Blobs> =>
  S3Blobs.open(s3DataOf({ url: `s3://${bucket}/some/where`, endpoint }), UUID, realClock);

blobStoreConformance("a bucket", async () => {
  const bucket = await startS3Bucket({ pageEntriesMax: 2 });
  return {
    open: () => openIn(bucket),
    plant: async (key, planted) => void bucket.objects.set(`some/where/${UUID}/blobs/${key}`, planted),
    [Symbol.asyncDispose]: () => bucket[Symbol.asyncDispose](),
  };
});

/** Fails the first so many requests. */
function failFirst(bucket: S3Bucket, times: number, fault: BucketFault, method?: string): void {
  let left = times;
  bucket.fault = (request) => ((method === undefined || request.method === method) && left-- > 0 ? fault : undefined);
}

test("a store that is busy, cuts connections or bodies for a moment is asked again", async () => {
  await using bucket = await startS3Bucket();
  await using store = await openIn(bucket);
  for (const fault of [503, 500, "reset", "truncate"] as const) {
    failFirst(bucket, 2, fault);
    await store.put(blob, [content]);
    failFirst(bucket, 2, fault);
    assert.deepEqual(await store.content(blob), content, String(fault));
    failFirst(bucket, 1, fault);
    assert.equal(await store.inspect(blob, { content: false }), "good");
  }
});

test("one that refuses, or knows no such bucket, is unreachable: never an absence of blobs", async () => {
  await using bucket = await startS3Bucket();
  await using store = await openIn(bucket);
  await using elsewhere = await openIn(bucket, "nobodys");
  await store.put(blob, [content]);
  const unreachable = { code: "volume.unreachable" };
  const asks = (where: S3Blobs): readonly (() => Promise<unknown>)[] => [
    () => where.content(blob),
    () => where.inspect(blob, { content: false }),
    () => where.inspect(blob, { content: true }),
    () => where.put(blob, [content]),
    () => where.remove(blob),
    async () => {
      for await (const _ of where.list());
    },
  ];
  for (const ask of asks(elsewhere)) await assert.rejects(ask, unreachable);
  bucket.fault = () => 403;
  for (const ask of asks(store)) await assert.rejects(ask, unreachable);
});

test("a list that breaks off in the middle throws", async () => {
  await using bucket = await startS3Bucket({ pageEntriesMax: 2 });
  await using store = await openIn(bucket);
  for (let id = 1; id <= 6; id++) await store.put(aBlob(id, content), [content]);
  let pages = 0;
  bucket.fault = ({ key }) => (key === "" && ++pages > 2 ? 503 : undefined);
  const seen: number[] = [];
  await assert.rejects(
    async () => {
      for await (const { blobId } of store.list()) seen.push(blobId ?? 0);
    },
    { code: "volume.unreachable" },
  );
  assert.equal(seen.length, 4);
});

test("what is moved aside stays in the bucket, and when it cannot be copied stays where it is", async () => {
  await using bucket = await startS3Bucket();
  await using store = await openIn(bucket);
  const stranger = `some/where/${UUID}/blobs/1/a stranger`;
  bucket.objects.set(stranger, content);
  bucket.fault = ({ method }) => (method === "PUT" ? 503 : undefined);
  await assert.rejects(store.quarantine("1/a stranger"), { code: "volume.unreachable" });
  assert.ok(bucket.objects.has(stranger));
  bucket.fault = undefined;
  await store.quarantine("1/a stranger");
  assert.deepEqual([...bucket.objects.keys()], [`some/where/${UUID}/quarantine/1/a stranger`]);
});

test("a place that was written down before peers could be asked asks none", () => {
  const { peers: _, ...before } = s3DataOf({ url: "s3://my-bucket", peers: true });
  assert.deepEqual(parseVolumeData(JSON.stringify(before)), { ...before, peers: false });
});

test("places are taken apart, and none holds a secret", () => {
  const { bucket, prefix } = s3DataOf({ url: "s3://my-bucket/a/b/" });
  assert.deepEqual([bucket, prefix], ["my-bucket", "a/b/"]);
  assert.equal(s3DataOf({ url: "s3://my-bucket" }).prefix, "");
  for (const url of ["s3://", "my-bucket", "s3://AK:SK@my-bucket/x", "s3://B_/x", "http://x/y", "s3://my-bucket/x?secret=1"])
    assert.throws(() => s3DataOf({ url }), { code: "input.invalid" }, url);
  for (const endpoint of ["http://user:pass@127.0.0.1", "HTTPS://key:secret@127.0.0.1", "http://127.0.0.1?token=x", "ftp://x", "nonsense"])
    assert.throws(() => s3DataOf({ url: "s3://my-bucket", endpoint }), { code: "input.invalid" }, endpoint);
});

test("an address lets whoever has it read one blob, and nothing else", async () => {
  await using bucket = await startS3Bucket();
  await using store = await openIn(bucket);
  const odd = aBlob(78, Buffer.from("another"));
  await store.put(blob, [content]);
  await store.put(odd, [Buffer.from("another")]);
  const url = await store.readUrl(blob, 60_000);
  assert.deepEqual(Buffer.from(await (await fetch(url)).arrayBuffer()), content);
  assert.equal((await fetch(url, { method: "PUT", body: "x" })).status, 403);
  assert.equal((await fetch(url.replace(blob.sha256, odd.sha256).replace("-77", "-78"))).status, 403);
});

test("what nobody waits for any more is let go", async () => {
  await using bucket = await startS3Bucket();
  await using store = await openIn(bucket);
  await store.put(blob, [content]);
  bucket.fault = () => "hang";
  const stop = new AbortController();
  const reading = store.content(blob, stop.signal);
  stop.abort(new Error("let go"));
  await assert.rejects(reading, /let go/);
});
