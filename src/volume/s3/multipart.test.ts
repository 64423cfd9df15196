import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutObjectCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
  type CompletedPart,
} from "@aws-sdk/client-s3";
import * as fc from "fast-check";
import { crc32 } from "node:zlib";
import { aGateway, NEW_VOLUME, VOLUME as Bucket, type GatewayPlace } from "../../../test/kit/s3-gateway.ts";
import { createChecksum } from "./checksum.ts";
import { combineCrc } from "./crc-combine.ts";

const MIB = 1024 * 1024;

let place: GatewayPlace;
before(async () => {
  place = await aGateway();
});
after(() => place[Symbol.asyncDispose]());

const named = (name: string) => (error: unknown) => (error as { name: string }).name === name;
const etagOf = (parts: readonly Buffer[]): string => {
  const whole = createHash("md5");
  for (const part of parts) whole.update(createHash("md5").update(part).digest());
  return `"${whole.digest("hex")}-${parts.length}"`;
};

async function begin(Key: string, more = {}): Promise<{ readonly Bucket: string; readonly Key: string; readonly UploadId: string }> {
  const { UploadId } = await place.s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }));
  return { Bucket, Key, UploadId: UploadId! };
}

async function read(Key: string, more = {}): Promise<Buffer> {
  const { Body } = await place.s3.send(new GetObjectCommand({ Bucket, Key, ...more }));
  return Buffer.from(await Body!.transformToByteArray());
}

describe("a multipart upload", () => {
  test("is the parts one after the other, in whatever order they came, and takes no room besides", async () => {
    const parts = [5 * MIB + 3, 5 * MIB, 9 * MIB + 1, 77].map((bytes) => randomBytes(bytes));
    const upload = await begin("a/large", { ContentType: "x/y", Metadata: { m: "n" }, Tagging: "a=b" });
    const done: CompletedPart[] = [];
    for (const index of [2, 0, 3, 1]) {
      if (index === 3) await place.s3.send(new UploadPartCommand({ ...upload, PartNumber: 7, Body: "replaced" }));
      const PartNumber = [1, 2, 5, 7][index]!; // as many as parts
      const { ETag } = await place.s3.send(new UploadPartCommand({ ...upload, PartNumber, Body: parts[index]! }));
      done.push({ PartNumber, ETag });
    }
    const { Parts, IsTruncated } = await place.s3.send(new ListPartsCommand({ ...upload, MaxParts: 2, PartNumberMarker: "1" }));
    assert.deepEqual(
      [Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]), IsTruncated],
      [
        [
          [2, 5 * MIB],
          [5, 9 * MIB + 1],
        ],
        true,
      ],
    );
    await assert.rejects(read("a/large"), named("NoSuchKey"), "nothing of it is seen before it is complete");
    const Parts2 = done.toSorted((a, b) => a.PartNumber! - b.PartNumber!);
    const answer = await place.s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: Parts2 } }));
    assert.equal(answer.ETag, etagOf(parts));
    const whole = Buffer.concat(parts);
    assert.ok((await read("a/large")).equals(whole));
    assert.ok((await read("a/large", { Range: `bytes=${5 * MIB}-${5 * MIB + 9}` })).equals(whole.subarray(5 * MIB, 5 * MIB + 10)));
    assert.ok((await read("a/large", { PartNumber: 3 })).equals(parts[2]!));
    const { PartsCount, ContentType, Metadata } = await place.s3.send(new HeadObjectCommand({ Bucket, Key: "a/large", PartNumber: 1 }));
    assert.deepEqual([PartsCount, ContentType, Metadata], [4, "x/y", { m: "n" }]);
    assert.deepEqual((await place.volumes.fsck(Bucket, { data: true, repair: false })).flaws, []);
    assert.equal((await place.volumes.usage(place.volumes.get(Bucket)))?.usedBytes, whole.length);
    await assert.rejects(place.s3.send(new ListPartsCommand(upload)), named("NoSuchUpload"));
  });

  test("has the checksum that was chosen, of the whole or of the parts' own", async () => {
    const parts = [randomBytes(5 * MIB), randomBytes(100)];
    for (const [ChecksumAlgorithm, ChecksumType] of [
      ["CRC32", "COMPOSITE"],
      ["CRC32", "FULL_OBJECT"],
      ["CRC32C", "FULL_OBJECT"],
      ["CRC64NVME", "FULL_OBJECT"],
      ["SHA256", "COMPOSITE"],
    ] as const) {
      const name = `Checksum${ChecksumAlgorithm}` as const;
      const upload = await begin("checked", { ChecksumAlgorithm, ChecksumType });
      const Parts = await Promise.all(
        parts.map(async (Body, index) => {
          const { ETag, [name]: checksum } = await place.s3.send(
            new UploadPartCommand({ ...upload, PartNumber: index + 1, Body, ChecksumAlgorithm }),
          );
          return { ETag, PartNumber: index + 1, [name]: checksum };
        }),
      );
      const answer = await place.s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
      const digest = createChecksum(ChecksumAlgorithm);
      if (ChecksumType === "FULL_OBJECT") for (const part of parts) digest.update(part);
      else
        for (const part of parts) {
          const own = createChecksum(ChecksumAlgorithm);
          own.update(part);
          digest.update(own.digest());
        }
      const expected = digest.digest().toString("base64") + (ChecksumType === "FULL_OBJECT" ? "" : "-2");
      assert.deepEqual([answer[name], answer.ChecksumType], [expected, ChecksumType]);
      assert.equal((await place.s3.send(new HeadObjectCommand({ Bucket, Key: "checked", ChecksumMode: "ENABLED" })))[name], expected);
    }
    await assert.rejects(begin("checked", { ChecksumAlgorithm: "SHA1", ChecksumType: "FULL_OBJECT" }), named("InvalidRequest"));
  });

  test("is refused with parts that are not there, too small, or out of order, and gone when it is aborted", async () => {
    const upload = await begin("never");
    const part = async (PartNumber: number, Body: string) => ({
      PartNumber,
      ETag: (await place.s3.send(new UploadPartCommand({ ...upload, PartNumber, Body }))).ETag,
    });
    const Parts = [await part(1, "small"), await part(2, "last")];
    const complete = (chosen: CompletedPart[]) =>
      place.s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts: chosen } }));
    await assert.rejects(complete(Parts), named("EntityTooSmall"));
    await assert.rejects(complete(Parts.toReversed()), named("InvalidPartOrder"));
    await assert.rejects(complete([{ ...Parts[0], ETag: '"0"' }]), named("InvalidPart"));
    await assert.rejects(complete([{ PartNumber: 9, ETag: Parts[0]!.ETag }]), named("InvalidPart"));
    await assert.rejects(complete([]), named("MalformedXML"));
    await assert.rejects(part(10_001, ""), named("InvalidArgument"));
    await assert.rejects(place.s3.send(new AbortMultipartUploadCommand({ ...upload, Key: "other" })), named("NoSuchUpload"));
    const listed = async () =>
      (await place.s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: "nev" }))).Uploads?.map(({ Key, UploadId }) => [
        Key,
        UploadId,
      ]);
    assert.deepEqual(await listed(), [["never", upload.UploadId]]);
    await place.s3.send(new AbortMultipartUploadCommand(upload));
    assert.equal(await listed(), undefined);
    await assert.rejects(place.s3.send(new AbortMultipartUploadCommand(upload)), named("NoSuchUpload"));
  });
});

const copy = (Key: string, CopySource: string, more = {}) => place.s3.send(new CopyObjectCommand({ Bucket, Key, CopySource, ...more }));

describe("a copy", () => {
  test("has content, metadata and ETag of its source, or what was given in their place", async () => {
    const content = randomBytes(6 * MIB);
    const { ETag } = await place.s3.send(
      new PutObjectCommand({ Bucket, Key: "from/source ä", Body: content, ContentType: "a/b", Metadata: { k: "v" } }),
    );
    const source = `/${Bucket}/${encodeURIComponent("from/source ä")}`;
    assert.equal((await copy("to/copy", source)).CopyObjectResult?.ETag, ETag);
    assert.ok((await read("to/copy")).equals(content));
    const head = async (Key: string) => {
      const { ContentType, Metadata, ETag: tag } = await place.s3.send(new HeadObjectCommand({ Bucket, Key }));
      return [ContentType, Metadata, tag];
    };
    assert.deepEqual(await head("to/copy"), ["a/b", { k: "v" }, ETag]);
    await copy("to/copy", source, { MetadataDirective: "REPLACE", ContentType: "c/d", Metadata: { other: "1" } });
    assert.deepEqual(await head("to/copy"), ["c/d", { other: "1" }, ETag]);
    await assert.rejects(copy("from/source ä", source), named("InvalidRequest"));
    await copy("from/source ä", source, { MetadataDirective: "REPLACE", ContentType: "e/f" });
    assert.ok((await read("from/source ä")).equals(content));
    await assert.rejects(copy("x", `/${Bucket}/never`), named("NoSuchKey"));
    await assert.rejects(copy("x", source, { CopySourceIfMatch: '"other"' }), named("PreconditionFailed"));
    await assert.rejects(copy("x", "/elsewhere/key"), named("NoSuchBucket"));
    await place.volumes.create({ ...NEW_VOLUME, name: "anothers" });
    await assert.rejects(copy("x", "/anothers/key"), named("AccessDenied"));
    assert.deepEqual((await place.volumes.fsck(Bucket, { data: true, repair: false })).flaws, []);
  });

  test("of a range is a part of an upload", async () => {
    const content = randomBytes(8 * MIB);
    await place.s3.send(new PutObjectCommand({ Bucket, Key: "ranges", Body: content }));
    const upload = await begin("of-ranges");
    const Parts = await Promise.all(
      ["bytes=0-6291455", "bytes=100-199"].map(async (CopySourceRange, index) => {
        const PartNumber = index + 1;
        const { CopyPartResult } = await place.s3.send(
          new UploadPartCopyCommand({ ...upload, PartNumber, CopySource: `${Bucket}/ranges`, CopySourceRange }),
        );
        return { PartNumber, ETag: CopyPartResult?.ETag };
      }),
    );
    const { ETag } = await place.s3.send(new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } }));
    const parts = [content.subarray(0, 6_291_456), content.subarray(100, 200)];
    assert.equal(ETag, etagOf(parts));
    assert.ok((await read("of-ranges")).equals(Buffer.concat(parts)));
    await assert.rejects(
      place.s3.send(new UploadPartCopyCommand({ ...upload, PartNumber: 1, CopySource: `${Bucket}/ranges` })),
      named("NoSuchUpload"),
    );
  });
});

const crcOf = (value: number): Buffer => Buffer.from(value.toString(16).padStart(8, "0"), "hex");

test("the CRC of two contents comes from those of each", () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom("CRC32", "CRC32C", "CRC64NVME"),
      (a, b, name) => {
        const of = (...parts: readonly Uint8Array[]): Buffer => {
          const digest = createChecksum(name);
          for (const part of parts) digest.update(part);
          return digest.digest();
        };
        assert.deepEqual(combineCrc(name, of(a), { crc: of(b), bytes: b.length }), of(a, b));
      },
    ),
  );
  const zeros = Buffer.alloc(3_000_000);
  assert.deepEqual(
    combineCrc("CRC32", crcOf(crc32("x")), { crc: crcOf(crc32(zeros)), bytes: zeros.length }),
    crcOf(crc32(zeros, crc32("x"))),
  );
});
