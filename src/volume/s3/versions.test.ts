import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectTaggingCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
} from "@aws-sdk/client-s3";
import { aGateway, VOLUME as Bucket, type GatewayPlace } from "../../../test/kit/s3-gateway.ts";
import { presigned, signedHeaders } from "../../../test/kit/sign-request.ts";

let place: GatewayPlace;
const named = (name: string, status?: number) => (error: unknown) => {
  const { name: found, $metadata } = error as { name: string; $metadata: { httpStatusCode: number } };
  return found === name && (status === undefined || $metadata.httpStatusCode === status);
};
const put = async (Key: string, Body: string): Promise<string | undefined> =>
  (await place.s3.send(new PutObjectCommand({ Bucket, Key, Body }))).VersionId;
const remove = (Key: string, VersionId?: string) => place.s3.send(new DeleteObjectCommand({ Bucket, Key, VersionId }));
async function read(Key: string, VersionId?: string): Promise<string> {
  const { Body } = await place.s3.send(new GetObjectCommand({ Bucket, Key, VersionId }));
  return Body!.transformToString();
}
const setVersioning = (Status: "Enabled" | "Suspended") =>
  place.s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));

const texts = (
  list: readonly { Key?: string | undefined; VersionId?: string | undefined; IsLatest?: boolean | undefined }[],
  sign: string,
): string[] => list.map(({ Key, VersionId, IsLatest }) => `${sign}${Key} ${VersionId}${IsLatest === true ? " latest" : ""}`);

/** Key, id, and whether it is the latest; delete markers with a minus. */
async function versions(more = {}): Promise<readonly string[]> {
  const { Versions = [], DeleteMarkers = [] } = await place.s3.send(new ListObjectVersionsCommand({ Bucket, ...more }));
  return [...texts(Versions, ""), ...texts(DeleteMarkers, "-")];
}

describe("versions", () => {
  beforeEach(async () => {
    place = await aGateway();
  });
  afterEach(() => place[Symbol.asyncDispose]());

  test("are kept once that is switched on, read and removed by their ids", async () => {
    assert.equal((await place.s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, undefined);
    assert.equal(await put("d/k", "before"), undefined);
    await setVersioning("Enabled");
    assert.equal((await place.s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, "Enabled");
    const [one, two] = [await put("d/k", "one"), await put("d/k", "two")];
    assert.deepEqual(await versions(), [`d/k ${two} latest`, `d/k ${one}`, "d/k null"]);
    assert.deepEqual(await Promise.all([undefined, two, one, "null"].map((id) => read("d/k", id))), ["two", "two", "one", "before"]);
    await assert.rejects(read("d/k", "unknown"), named("NoSuchVersion", 404));
    await remove("d/k", two);
    assert.equal(await read("d/k"), "one", "what was before is current again");
    assert.deepEqual(await versions(), [`d/k ${one} latest`, "d/k null"]);
    const { CopySourceVersionId } = await place.s3.send(
      new CopyObjectCommand({ Bucket, Key: "d/copy", CopySource: `${Bucket}/d/k?versionId=null` }),
    );
    assert.deepEqual([await read("d/copy"), CopySourceVersionId], ["before", undefined]);
    await remove("d/k", one);
    await remove("d/k", "null");
    await remove("d/copy", (await place.s3.send(new HeadObjectCommand({ Bucket, Key: "d/copy" }))).VersionId);
    assert.deepEqual(await versions(), []);
    assert.deepEqual((await place.volumes.fsck(Bucket, { data: true, repair: false })).flaws, []);
  });

  test("outlive a deletion, which is a marker that can be removed", async () => {
    await setVersioning("Enabled");
    const one = await put("k", "one");
    const { VersionId: marker, DeleteMarker } = await remove("k");
    assert.equal(DeleteMarker, true);
    await assert.rejects(read("k"), named("NoSuchKey", 404));
    await assert.rejects(read("k", marker), named("MethodNotAllowed", 405));
    assert.equal(await read("k", one), "one");
    assert.equal((await place.s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
    assert.deepEqual(await versions(), [`k ${one}`, `-k ${marker} latest`]);
    await remove("k", marker);
    assert.equal(await read("k"), "one");
    const { VersionId: never } = await remove("never");
    assert.deepEqual(await versions({ Prefix: "n" }), [`-never ${never} latest`]);
  });

  test("are not kept while that is suspended, but for those that are there", async () => {
    await setVersioning("Enabled");
    const one = await put("k", "one");
    await setVersioning("Suspended");
    assert.equal(await put("k", "two"), "null");
    assert.equal(await put("k", "three"), "null");
    assert.deepEqual(await versions(), ["k null latest", `k ${one}`]);
    assert.equal((await remove("k")).VersionId, "null");
    assert.deepEqual(await versions(), [`k ${one}`, "-k null latest"]);
    assert.equal(await put("k", "four"), "null");
    assert.deepEqual(await versions(), ["k null latest", `k ${one}`]);
  });

  test("are listed in pages, in the order of keys, with prefixes", async () => {
    await setVersioning("Enabled");
    for (const key of ["a", "a/b", "a-c", "z/1", "z/2"]) if (key !== "a/b") for (const content of ["1", "2"]) await put(key, content);
    await remove("a");
    await put("a/b", "below what was a key");
    await remove("z/1");
    const all = (await versions()).map((text) => text.split(" ")[0]);
    assert.deepEqual(all, ["a", "a", "a-c", "a-c", "a/b", "z/1", "z/1", "z/2", "z/2", "-a", "-z/1"]);
    const paged: string[] = [];
    for (let from: { KeyMarker?: string | undefined; VersionIdMarker?: string | undefined } = {}; ;) {
      const page = await place.s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 2, ...from }));
      paged.push(...[...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])].map(({ Key, VersionId }) => `${Key} ${VersionId}`));
      if (page.IsTruncated !== true) break;
      from = { KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker };
    }
    const whole = await place.s3.send(new ListObjectVersionsCommand({ Bucket }));
    assert.deepEqual(
      paged.toSorted(),
      [...whole.Versions!, ...whole.DeleteMarkers!].map(({ Key, VersionId }) => `${Key} ${VersionId}`).toSorted(),
    );
    const { CommonPrefixes, Versions } = await place.s3.send(new ListObjectVersionsCommand({ Bucket, Delimiter: "/" }));
    assert.deepEqual([CommonPrefixes?.map(({ Prefix }) => Prefix), Versions?.length], [["a/", "z/"], 4]);
  });
});

describe("tags and presigned URLs", () => {
  before(async () => {
    place = await aGateway();
  });
  after(() => place[Symbol.asyncDispose]());

  test("tags come with an object, are changed and removed", async () => {
    await place.s3.send(new PutObjectCommand({ Bucket, Key: "t", Body: "", Tagging: "a=1&b%20c=%C3%A4" }));
    const tags = async () => (await place.s3.send(new GetObjectTaggingCommand({ Bucket, Key: "t" }))).TagSet;
    assert.deepEqual(await tags(), [
      { Key: "a", Value: "1" },
      { Key: "b c", Value: "ä" },
    ]);
    assert.equal((await place.s3.send(new GetObjectCommand({ Bucket, Key: "t" }))).TagCount, 2);
    const TagSet = [{ Key: "<x>", Value: "&" }];
    await place.s3.send(new PutObjectTaggingCommand({ Bucket, Key: "t", Tagging: { TagSet } }));
    assert.deepEqual(await tags(), TagSet);
    const many = Array.from({ length: 11 }, (_, index) => ({ Key: `k${index}`, Value: "" }));
    await assert.rejects(
      place.s3.send(new PutObjectTaggingCommand({ Bucket, Key: "t", Tagging: { TagSet: many } })),
      named("InvalidTag", 400),
    );
    await place.s3.send(new DeleteObjectTaggingCommand({ Bucket, Key: "t" }));
    assert.deepEqual(await tags(), []);
    await assert.rejects(place.s3.send(new GetObjectTaggingCommand({ Bucket, Key: "never" })), named("NoSuchKey", 404));
  });

  test("a presigned URL does what it was made for, and nothing else", async () => {
    const url = `${place.endpoint}/${Bucket}/signed/a%20b%2Bc`;
    const upload = await presigned(place.key, { method: "PUT", url }, 60);
    assert.equal((await fetch(upload, { method: "PUT", body: "content" })).status, 200);
    assert.equal((await fetch(upload, { method: "GET" })).status, 403);
    assert.equal((await fetch(upload.replace("signed", "other"), { method: "PUT", body: "content" })).status, 403);
    const download = await presigned(place.key, { method: "GET", url: `${url}?response-content-type=x%2Fy` }, 60);
    const answer = await fetch(download);
    assert.deepEqual([answer.status, answer.headers.get("content-type"), await answer.text()], [200, "x/y", "content"]);
    assert.equal((await fetch(download.replace("x%2Fy", "x%2Fz"))).status, 403);
    assert.equal(await read("signed/a b+c"), "content");
    assert.ok(!place.log().includes("X-Amz-Signature"));
  });

  test("an XML bomb, and a body that ends too soon, change nothing", async () => {
    const bomb = `<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><VersioningConfiguration><Status>&b;</Status></VersioningConfiguration>`;
    for (const body of [
      bomb,
      "<a>".repeat(5000),
      "<VersioningConfiguration>",
      "nothing",
      "<Other/>",
      `<VersioningConfiguration>${"<x>".repeat(50)}${"</x>".repeat(50)}</VersioningConfiguration>`,
    ]) {
      const request = {
        method: "PUT",
        url: `${place.endpoint}/${Bucket}?versioning=`,
        headers: { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
      };
      const { host: _, ...headers } = await signedHeaders(place.key, request);
      const answer = await fetch(request.url, { method: "PUT", headers, body });
      assert.deepEqual([answer.status, /<Code>(\w+)</.exec(await answer.text())?.[1]], [400, "MalformedXML"], body.slice(0, 60));
    }
    assert.equal((await place.s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, undefined);
  });
});
