import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import { connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type ChecksumAlgorithm,
} from "@aws-sdk/client-s3";
import { realClock } from "../../base/clock.ts";
import { createTestCertificate } from "../../../test/kit/certificates.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { waitFor } from "../../../test/kit/process.ts";
import { signedHeaders } from "../../../test/kit/sign-request.ts";
import { aGateway, NEW_VOLUME, VOLUME as Bucket, type GatewayPlace } from "../../../test/kit/s3-gateway.ts";
import { openVolume } from "../lifecycle/open-volume.ts";
import { ROOT_INO } from "../meta/verbs.ts";

let place: GatewayPlace;
before(async () => {
  place = await aGateway({ createBuckets: true });
});
after(() => place[Symbol.asyncDispose]());

const named = (name: string, status?: number) => (error: unknown) => {
  const { name: found, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } };
  assert.equal(found, name);
  if (status !== undefined) assert.equal($metadata?.httpStatusCode, status);
  return true;
};
const put = (Key: string, Body: string | Buffer, more = {}) => place.s3.send(new PutObjectCommand({ Bucket, Key, Body, ...more }));
const get = async (Key: string, more = {}) => {
  const { Body, ...answer } = await place.s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return { ...answer, content: Buffer.from(await Body!.transformToByteArray()) };
};
const md5 = (content: string | Buffer): string => `"${createHash("md5").update(content).digest("hex")}"`;

describe("objects", () => {
  test("what a mount writes into the gateway's own attribute is believed only where it could be the gateway's", async () => {
    await put("noted", "content");
    const volume = place.volumes.get(Bucket);
    await using control = await place.volumes.control(volume);
    const sessionId = await control.beginSession({ host: "", pid: process.pid, mountpoint: "test", readOnly: false });
    await using mount = await openVolume({ dataDir: place.volumes.dataDir, volumeUuid: volume.uuid, sessionId });
    const found = await mount.verbs.lookup(ROOT_INO, "noted");
    assert.ok(typeof found === "object");
    const { ino, size, mtimeSec, mtimeNsec } = found;
    for (const content of [
      { size, mtimeSec, mtimeNsec, etag: "a\nb" },
      { size, mtimeSec, mtimeNsec, etag: "0".repeat(32), parts: [[2 ** 32 - 1, 1]] },
    ]) {
      assert.equal(await mount.verbs.setxattr(ino, "user.anax.s3", Buffer.from(JSON.stringify({ content })), 0), 0);
      await mount.verbs.settle(true);
      assert.match((await get("noted")).ETag!, /^"[0-9a-f]{32}-0"$/);
      assert.equal(String((await get("noted", { PartNumber: 1 })).content), "content");
    }
  });

  test("an answer has no header that a query makes up", async () => {
    await put("plain", "content");
    await assert.rejects(get("plain", { ResponseContentDisposition: "a\r\nb: c" }), named("InvalidArgument", 400));
    assert.ok((await get("plain", { ResponseContentDisposition: 'attachment; filename="\u0444"' })).ContentDisposition);
  });

  test("come back as they were put, with their headers and metadata, small and large", async () => {
    for (const [Key, bytes] of [
      ["none", 0],
      ["small", 5],
      ["inline", 4096],
      ["large", 9_000_000],
    ] as const) {
      const content = randomBytes(bytes);
      const more = { ContentType: "text/x", CacheControl: "no-store", ContentDisposition: "inline", Metadata: { "one-two": "three" } };
      assert.equal((await put(Key, content, more)).ETag, md5(content));
      const found = await get(Key);
      assert.ok(found.content.equals(content));
      const { ETag, ContentLength, ContentType, CacheControl, ContentDisposition, Metadata } = found;
      const { ETag: tag, ...sent } = { ETag: md5(content), ContentLength: bytes, ...more };
      assert.deepEqual({ ContentLength, ContentType, CacheControl, ContentDisposition, Metadata }, sent);
      assert.equal(ETag, tag);
    }
  });

  test("are compared with every checksum that the client may choose", async () => {
    for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] satisfies ChecksumAlgorithm[]) {
      const content = randomBytes(100_000);
      const { [`Checksum${ChecksumAlgorithm}` as const]: checksum } = await put("checked", content, { ChecksumAlgorithm });
      assert.ok(checksum !== undefined, ChecksumAlgorithm);
      assert.equal((await get("checked", { ChecksumMode: "ENABLED" }))[`Checksum${ChecksumAlgorithm}` as const], checksum);
    }
    await put("checked", "right");
    const wrong = { ChecksumSHA256: createHash("sha256").update("wrong").digest("base64") };
    await assert.rejects(put("checked", "not right", wrong), named("BadDigest", 400));
    await assert.rejects(
      put("checked", "not right", { ContentMD5: createHash("md5").update("wrong").digest("base64") }),
      named("BadDigest", 400),
    );
    assert.equal((await get("checked")).content.toString(), "right", "what is there stays");
  });

  test("are read in parts, and under conditions", async () => {
    const { ETag } = await put("ranged", "0123456789");
    const range = async (Range: string) => get("ranged", { Range });
    for (const [Range, content, ContentRange] of [
      ["bytes=2-4", "234", "bytes 2-4/10"],
      ["bytes=7-", "789", "bytes 7-9/10"],
      ["bytes=-2", "89", "bytes 8-9/10"],
      ["bytes=9-100", "9", "bytes 9-9/10"],
    ] as const) {
      const found = await range(Range);
      assert.deepEqual([found.content.toString(), found.ContentRange, found.$metadata.httpStatusCode], [content, ContentRange, 206]);
    }
    await assert.rejects(range("bytes=10-"), named("InvalidRange", 416));
    assert.equal((await get("ranged", { IfMatch: ETag })).content.length, 10);
    await assert.rejects(get("ranged", { IfMatch: '"other"' }), named("PreconditionFailed", 412));
    await assert.rejects(
      get("ranged", { IfNoneMatch: ETag }),
      (error: { $metadata: { httpStatusCode: number } }) => error.$metadata.httpStatusCode === 304,
    );
    const [past, future] = [-3_600_000, 3_600_000].map((ms) => new Date(realClock.wallMs() + ms)); // oxlint-disable-line no-restricted-globals -- the SDK wants one
    await assert.rejects(get("ranged", { IfUnmodifiedSince: past }), named("PreconditionFailed", 412));
    assert.equal((await get("ranged", { IfModifiedSince: past, IfUnmodifiedSince: future })).content.length, 10);
  });

  test("are only written where the client's condition holds", async () => {
    const { ETag } = await put("once", "first", { IfNoneMatch: "*" });
    await assert.rejects(put("once", "second", { IfNoneMatch: "*" }), named("PreconditionFailed", 412));
    await assert.rejects(put("once", "second", { IfMatch: '"other"' }), named("PreconditionFailed", 412));
    await put("once", "second", { IfMatch: ETag });
    assert.equal((await get("once")).content.toString(), "second");
  });

  test("are gone when they are deleted, and their folders with the last of them", async () => {
    await put("x/y/one", "1");
    await put("x/two", "2");
    await place.s3.send(new DeleteObjectCommand({ Bucket, Key: "x/y/one" }));
    await assert.rejects(get("x/y/one"), named("NoSuchKey", 404));
    const { Contents } = await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "x/" }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ["x/two"],
    );
    const Objects = [{ Key: "x/two" }, { Key: "x/never" }];
    const { Deleted, Errors } = await place.s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    assert.deepEqual([Deleted?.map(({ Key }) => Key), Errors], [["x/two", "x/never"], undefined]);
    assert.equal((await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "x" }))).KeyCount, 0);
  });

  test("cannot have keys that are no paths, or are in each other's way", async () => {
    await put("way/in", "1");
    for (const Key of ["a//b", "/a", "a/../b", "./a", ".anax-s3/x", "a/\0"])
      await assert.rejects(put(Key, ""), named("InvalidArgument", 400), Key);
    for (const Key of ["x".repeat(256), `${"y".repeat(200)}/`.repeat(6)]) await assert.rejects(put(Key, ""), named("KeyTooLongError", 400));
    for (const Key of ["way/in/deeper", "way"]) await assert.rejects(put(Key, "2"), named("InvalidRequest", 400));
    for (const Key of ["way", "way/in/deeper", "a//b", "../../etc/passwd"]) await assert.rejects(get(Key), named("NoSuchKey", 404));
    const { Contents } = await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "way" }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ["way/in"],
      "what failed leaves nothing behind",
    );
  });
});

describe("listings", () => {
  test("are in pages, by both versions, with what names may hold", async () => {
    const keys = ["l/a b", 'l/a&<">', "l/a+%", "l/ä", "l/z/1", "l/z/2"];
    for (const key of keys) await put(key, key);
    const paged: string[] = [];
    for (let ContinuationToken: string | undefined; ;) {
      const page = await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "l/", Delimiter: "/", MaxKeys: 2, ContinuationToken }));
      paged.push(...(page.Contents ?? []).map(({ Key }) => Key!), ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!));
      ContinuationToken = page.NextContinuationToken;
      if (ContinuationToken === undefined) break;
    }
    assert.deepEqual(paged, ["l/a b", 'l/a&<">', "l/a+%", "l/z/", "l/ä"]);
    const first = await place.s3.send(new ListObjectsCommand({ Bucket, Prefix: "l/", MaxKeys: 3 }));
    const rest = await place.s3.send(new ListObjectsCommand({ Bucket, Prefix: "l/", Marker: first.Contents?.at(-1)?.Key }));
    assert.deepEqual(
      [...first.Contents!, ...rest.Contents!].map(({ Key }) => Key),
      ["l/a b", 'l/a&<">', "l/a+%", "l/z/1", "l/z/2", "l/ä"],
    );
    assert.deepEqual([first.IsTruncated, rest.IsTruncated], [true, false]);
    const encoded = await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "l/a", EncodingType: "url", StartAfter: "l/a b" }));
    assert.deepEqual(
      encoded.Contents?.map(({ Key, Size, ETag }) => [Key, Size, ETag]),
      [
        ["l/a%26%3C%22%3E", 7, md5('l/a&<">')],
        ["l/a%2B%25", 5, md5("l/a+%")],
      ],
    );
  });
});

describe("a volume", () => {
  test("has the same files for a mount and for S3", async () => {
    await put("shared/by-s3", "from s3");
    const volume = place.volumes.get(Bucket);
    const control = await place.volumes.control(volume);
    const sessionId = await control.beginSession({ host: "", pid: process.pid, mountpoint: "test", readOnly: false });
    {
      await using mount = await openVolume({ dataDir: place.volumes.dataDir, volumeUuid: volume.uuid, sessionId });
      const folder = (await mount.verbs.lookup(ROOT_INO, "shared")) as { ino: number; mode: number };
      const found = (await mount.verbs.lookup(folder.ino, "by-s3")) as { ino: number; size: number };
      const content = Buffer.alloc(found.size);
      await mount.files.read(found.ino, 0, content);
      assert.equal(content.toString(), "from s3");
      const made = (await mount.verbs.create(folder.ino, "by-mount", { kind: "file", permissions: 0o644, uid: 0, gid: 0 })) as {
        ino: number;
      };
      for (const [ino, text] of [
        [made.ino, "from the mount"],
        [found.ino, "changed"],
      ] as const) {
        await mount.files.open(ino);
        await mount.files.write(ino, 0, Buffer.from(text));
        await mount.files.close(ino);
      }
      await mount.verbs.settle(true);
    }
    await control.endSession(sessionId);
    await control[Symbol.asyncDispose]();
    assert.equal((await get("shared/by-mount")).content.toString(), "from the mount");
    const changed = await get("shared/by-s3");
    assert.equal(changed.content.toString(), "changed");
    assert.match(changed.ETag ?? "", /^"[0-9a-f]{32}-0"$/, "no MD5 is claimed of what was not read");
  });

  test("is opened by its own keys, and by no others", async () => {
    const { key } = await place.volumes.create({ ...NEW_VOLUME, name: "other" });
    const other = place.clientOf(key);
    assert.deepEqual(
      (await other.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name),
      ["other"],
    );
    await assert.rejects(other.send(new ListObjectsV2Command({ Bucket })), named("AccessDenied", 403));
    await assert.rejects(place.clientOf({ ...key, secret: "x" }).send(new ListBucketsCommand({})), named("SignatureDoesNotMatch", 403));
    await assert.rejects(
      place.clientOf({ ...key, id: "ANAX0123456789ABCDEF" }).send(new ListBucketsCommand({})),
      named("SignatureDoesNotMatch", 403),
    );
    await assert.rejects(
      place.clientOf({ ...key, id: "AKIAIOSFODNN7EXAMPLE" }).send(new ListBucketsCommand({})),
      named("InvalidAccessKeyId", 403),
    );
    await place.volumes.delete("other", { now: true, by: "test" });
    const gone = place.clientOf(key);
    await assert.rejects(gone.send(new ListObjectsV2Command({ Bucket: "other" })), named("NoSuchBucket", 404));
    assert.ok(!place.log().includes(key.secret) && !place.log().includes(place.key.secret));
  });

  test("that is marked is read and not written; read-only and full ones say so", async () => {
    const { key } = await place.volumes.create({ ...NEW_VOLUME, name: "marked", capacityBytes: 20_000 });
    const client = place.clientOf(key);
    const write = (Body: string) => client.send(new PutObjectCommand({ Bucket: "marked", Key: "k", Body }));
    await write("content");
    await assert.rejects(write("x".repeat(30_000)), named("QuotaExceeded", 403));
    await place.volumes.update("marked", { readOnly: true });
    await assert.rejects(write("more"), named("AccessDenied", 403));
    await place.volumes.update("marked", { readOnly: false });
    await place.volumes.delete("marked", { now: false, by: "test" });
    await assert.rejects(write("more"), named("AccessDenied", 403));
    await assert.rejects(client.send(new DeleteObjectCommand({ Bucket: "marked", Key: "k" })), named("AccessDenied", 403));
    const { Body } = await client.send(new GetObjectCommand({ Bucket: "marked", Key: "k" }));
    assert.equal(await Body!.transformToString(), "content");
    await place.volumes.undelete("marked");
    await write("again");
  });

  test("has the quotas of its folders, and a trash for what is deleted", async () => {
    await put("limited/one", "x".repeat(5000));
    await place.volumes.setQuota(Bucket, "/limited", { bytesMax: 10_000, inodesMax: 0 });
    await assert.rejects(put("limited/two", "y".repeat(6000)), named("QuotaExceeded", 403));
    await put("limited/two", "y".repeat(4000));
    const { Contents } = await place.s3.send(new ListObjectsV2Command({ Bucket, Prefix: "limited/" }));
    assert.deepEqual(
      Contents?.map(({ Key }) => Key),
      ["limited/one", "limited/two"],
    );
    await place.volumes.update(Bucket, { trashMs: 3_600_000 });
    await assert.rejects(put("limited/three", "z".repeat(6000)), named("QuotaExceeded", 403));
    await place.s3.send(new DeleteObjectCommand({ Bucket, Key: "limited/one" }));
    const trash = [];
    for await (const { path, size } of place.volumes.trash(Bucket).list("")) if (size > 0) trash.push(path);
    assert.deepEqual(trash, ["/limited/one"], "and nothing of what never was an object");
    await place.volumes.trash(Bucket).restore("/limited/one");
    assert.equal((await get("limited/one")).content.toString(), "x".repeat(5000));
    await place.volumes.update(Bucket, { trashMs: 0 });
  });

  test("is created and deleted over S3 where that is allowed", async () => {
    const { s3 } = place;
    await s3.send(new CreateBucketCommand({ Bucket: "new-one" }));
    await assert.rejects(s3.send(new CreateBucketCommand({ Bucket: "new-one" })), named("BucketAlreadyOwnedByYou", 409));
    await assert.rejects(s3.send(new CreateBucketCommand({ Bucket: "No" })), named("InvalidBucketName", 400));
    assert.equal((await s3.send(new GetBucketLocationCommand({ Bucket: "new-one" }))).LocationConstraint, undefined);
    await s3.send(new PutObjectCommand({ Bucket: "new-one", Key: "k", Body: "" }));
    await assert.rejects(s3.send(new DeleteBucketCommand({ Bucket: "new-one" })), named("BucketNotEmpty", 409));
    await s3.send(new DeleteObjectCommand({ Bucket: "new-one", Key: "k" }));
    await s3.send(new DeleteBucketCommand({ Bucket: "new-one" }));
    await assert.rejects(s3.send(new HeadBucketCommand({ Bucket: "new-one" })), named("NotFound", 404));
    await using strict = await aGateway();
    await assert.rejects(strict.s3.send(new CreateBucketCommand({ Bucket: "new-one" })), named("AccessDenied", 403));
  });
});

describe("hostile clients", () => {
  test("get one clear answer to what is no request of S3", async () => {
    const { endpoint } = place;
    for (const [path, status, code] of [
      ["/", 403, "AccessDenied"],
      ["/%zz", 400, "InvalidURI"],
      ["//x", 400, "InvalidBucketName"],
      [`/${Bucket}/k?uploads&torrent`, 501, "NotImplemented"],
      [`/${Bucket}?X-Amz-Algorithm=AWS4-HMAC-SHA256`, 400, "AuthorizationQueryParametersError"],
    ] as const) {
      const answer = await fetch(endpoint + path);
      const text = await answer.text();
      assert.deepEqual([answer.status, /<Code>(\w+)<\/Code>/.exec(text)?.[1]], [status, code], path);
      assert.equal(/<RequestId>(\w+)<\/RequestId>/.exec(text)?.[1], answer.headers.get("x-amz-request-id"));
    }
    assert.equal((await fetch(`${endpoint}/${Bucket}/k`, { method: "PATCH", body: "x" })).status, 405);
  });

  test("who send only half of what they promised leave nothing behind", async () => {
    await put("half", "as it was");
    const used = await place.volumes.usage(place.volumes.get(Bucket));
    for (const [payload, body] of [
      ["UNSIGNED-PAYLOAD", "x".repeat(200_000)],
      ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", `493e0\r\n${"x".repeat(200_000)}`],
    ] as const) {
      const path = `/${Bucket}/half`;
      const own = { "x-amz-content-sha256": payload, ...(payload.startsWith("S") && { "x-amz-decoded-content-length": "300000" }) };
      const headers = await signedHeaders(place.key, { method: "PUT", url: place.endpoint + path, headers: own });
      const socket = connect(place.gateway.port, "127.0.0.1");
      const head = Object.entries({ ...headers, "content-length": "300100" }).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`PUT ${path} HTTP/1.1\r\n${head.join("")}\r\n${body}`);
      await waitFor(async () => place.gateway.inFlight > 0);
      socket.end();
      await waitFor(async () => place.gateway.inFlight === 0);
      socket.destroy();
    }
    assert.equal((await get("half")).content.toString(), "as it was");
    assert.deepEqual(await place.volumes.usage(place.volumes.get(Bucket)), used);
  });

  test("may send only so many requests at once", async () => {
    await using busy = await aGateway({ requestsMax: 1 });
    const path = `/${Bucket}/slow`;
    const headers = await signedHeaders(busy.key, {
      method: "PUT",
      url: busy.endpoint + path,
      headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
    });
    const socket = connect(busy.gateway.port, "127.0.0.1");
    const head = Object.entries({ ...headers, "content-length": "10" }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`PUT ${path} HTTP/1.1\r\n${head.join("")}\r\n12345`);
    await waitFor(async () => busy.gateway.inFlight === 1);
    await assert.rejects(busy.s3.send(new ListBucketsCommand({})), named("SlowDown", 503));
    socket.write("67890");
    await waitFor(async () => busy.gateway.inFlight === 0);
    socket.destroy();
    const { Body } = await busy.s3.send(new GetObjectCommand({ Bucket, Key: "slow" }));
    assert.equal(await Body!.transformToString(), "1234567890");
  });
});

test("the gateway serves https alone when it has a certificate", async () => {
  await using dir = await temporaryDirectory();
  const { ca, cert, key } = createTestCertificate(["127.0.0.1"]);
  const [tlsCertFile, tlsKeyFile] = [join(dir.path, "cert"), join(dir.path, "key")];
  await Promise.all([writeFile(tlsCertFile, cert), writeFile(tlsKeyFile, key)]);
  await using secure = await aGateway({ tlsCertFile, tlsKeyFile });
  const status = await new Promise((resolve, reject) => {
    request(secure.endpoint, { ca }, ({ statusCode }) => resolve(statusCode))
      .on("error", reject)
      .end();
  });
  assert.equal(status, 403);
  await assert.rejects(fetch(secure.endpoint.replace("https", "http")));
  await assert.rejects(aGateway({ tlsCertFile }), { code: "config.invalid" });
  await assert.rejects(aGateway({ tlsCertFile: "/nowhere", tlsKeyFile }), { code: "config.invalid" });
});

test("an object is whole for who reads it while another one takes its place", async () => {
  const [old, next] = [randomBytes(3_000_000), randomBytes(2_000_000)];
  await put("swap", old);
  const { Body } = await place.s3.send(new GetObjectCommand({ Bucket, Key: "swap" }));
  await put("swap", next);
  assert.ok(Buffer.from(await Body!.transformToByteArray()).equals(old));
  assert.ok((await get("swap")).content.equals(next));
  assert.equal((await place.s3.send(new HeadObjectCommand({ Bucket, Key: "swap" }))).ContentLength, next.length);
});
