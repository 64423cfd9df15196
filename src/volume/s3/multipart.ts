import { isoText } from "../../base/clock.ts";
import { CHECKSUM_NAMES, checksumHeaderOf, checksumNameOf } from "./checksum.ts";
import { isCrc } from "./crc-combine.ts";
import { copySource } from "./copy-source.ts";
import { Draft } from "./draft.ts";
import { bodyOf, sendEmpty, sendXml, type BucketExchange } from "./exchange.ts";
import { metaOfRequest } from "./headers.ts";
import { newPathOfKey } from "./keys.ts";
import { askedOf, OWNER } from "./list-objects.ts";
import { headerOf, textOfBytes, type S3Request } from "./request.ts";
import { mustBeDone, S3Error } from "./s3-error.ts";
import {
  beginUpload,
  findUpload,
  listUploads,
  partNameOf,
  PARTS_MAX,
  partsOf,
  removePart,
  removeUpload,
  type Part,
  type Upload,
  type UploadNote,
} from "./uploads.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

/** CreateMultipartUpload. */
export async function createMultipartUpload(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  if (newPathOfKey(request.key).isFolder)
    throw new S3Error("InvalidRequest", "A key that ends with a slash is a folder here, and has no content.");
  const checksum = checksumOf(request);
  const note = {
    key: request.key,
    startedMs: bucket.clock.wallMs(),
    meta: metaOfRequest(request),
    ...(checksum !== undefined && { checksum }),
  };
  const id = await beginUpload(bucket, note);
  await bucket.durable();
  if (checksum !== undefined) {
    exchange.response.setHeader("x-amz-checksum-algorithm", checksum.name);
    exchange.response.setHeader("x-amz-checksum-type", checksum.type);
  }
  sendXml(
    exchange,
    xmlDocument("InitiateMultipartUploadResult", [
      ["Bucket", bucket.name],
      ["Key", textOfBytes(request.key)],
      ["UploadId", id],
    ]),
  );
}

/** UploadPart. */
export async function uploadPart(exchange: BucketExchange): Promise<void> {
  const { bucket, metrics } = exchange;
  const { upload, number } = await partTarget(exchange);
  const body = bodyOf(exchange, upload.checksum?.name);
  await using draft = await Draft.of(bucket, body.pieces());
  const { md5, checksum, bytes } = body.received;
  await draft.seal({ etag: md5, ...(checksum !== undefined && { checksum: { ...checksum, type: "FULL_OBJECT" } }) }, {});
  await storePart(exchange, { upload, number, draft });
  metrics.receivedBytes.inc(bytes);
  sendEmpty(exchange, 200, { etag: `"${md5}"`, ...(checksum !== undefined && { [checksumHeaderOf(checksum.name)]: checksum.value }) });
}

/** UploadPartCopy: read through, since the part's ETag is an MD5 of what it has. */
export async function uploadPartCopy(exchange: BucketExchange): Promise<void> {
  const { bucket } = exchange;
  const { upload, number } = await partTarget(exchange);
  await copySource(exchange, async (source) => {
    await using draft = await Draft.create(bucket);
    const range = source.range ?? { start: 0, length: source.attributes.size };
    const seal = await draft.appendCounted(source, range, upload.checksum?.name);
    const { mtimeSec } = await draft.seal(seal, {});
    await storePart(exchange, { upload, number, draft });
    sendXml(
      exchange,
      xmlDocument("CopyPartResult", [
        ["LastModified", isoText(mtimeSec * 1000)],
        ["ETag", `"${seal.etag}"`],
      ]),
    );
  });
}

/** AbortMultipartUpload. */
export async function abortMultipartUpload(exchange: BucketExchange): Promise<void> {
  const { bucket } = exchange;
  await removeUpload(bucket, await uploadOf(exchange));
  await bucket.durable();
  sendEmpty(exchange, 204);
}

/** ListParts. */
export async function listParts(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const upload = await uploadOf(exchange);
  const { keysMax, text, common } = askedOf(request.query, "max-parts");
  const marker = Number(request.query.get("part-number-marker") ?? 0);
  if (!Number.isInteger(marker)) throw new S3Error("InvalidArgument", "part-number-marker is no number.");
  const parts = (await partsOf(bucket, upload)).filter(({ number }) => number > marker);
  const shown = parts.slice(0, keysMax);
  sendXml(
    exchange,
    xmlDocument("ListPartsResult", [
      ["Bucket", bucket.name],
      ["Key", text(upload.key)],
      ["UploadId", upload.id],
      ["Initiator", OWNER[1]],
      OWNER,
      ["StorageClass", "STANDARD"],
      ["PartNumberMarker", marker],
      ["NextPartNumberMarker", shown.at(-1)?.number ?? marker],
      ["MaxParts", keysMax],
      ...common,
      ["IsTruncated", shown.length < parts.length],
      ...(upload.checksum === undefined ? [] : [["ChecksumAlgorithm", upload.checksum.name] as const]),
      ...shown.map(partNode),
    ]),
  );
}

const partNode = ({ number, size, modifiedSec, content }: Part): XmlNode => [
  "Part",
  [
    ["PartNumber", number],
    ["LastModified", isoText(modifiedSec * 1000)],
    ["ETag", `"${content.etag}"`],
    ["Size", size],
    ...(content.checksum === undefined ? [] : [[`Checksum${content.checksum.name}`, content.checksum.value] as const]),
  ],
];

/** ListMultipartUploads. */
export async function listMultipartUploads(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { prefix, delimiter, keysMax, text, common } = askedOf(request.query, "max-uploads");
  const [keyMarker, idMarker] = [request.query.get("key-marker") ?? "", request.query.get("upload-id-marker") ?? ""];
  const all = (await listUploads(bucket)).filter(({ key }) => key.startsWith(prefix));
  const at = idMarker === "" ? -1 : all.findIndex(({ key, id }) => key === keyMarker && id === idMarker);
  const after = all.filter(({ key }, index) => (at < 0 ? key > keyMarker : index > at));
  const groupOf = ({ key }: Upload): string | undefined => {
    const end = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    return end < 0 ? undefined : key.slice(0, end + delimiter.length);
  };
  const groups = new Set(after.map(groupOf).filter((group) => group !== undefined));
  const single = after.filter((upload) => groupOf(upload) === undefined);
  const shown = single.slice(0, keysMax);
  const last = shown.at(-1);
  sendXml(
    exchange,
    xmlDocument("ListMultipartUploadsResult", [
      ["Bucket", bucket.name],
      ["KeyMarker", text(keyMarker)],
      ["UploadIdMarker", idMarker],
      ["NextKeyMarker", text(last?.key ?? "")],
      ["NextUploadIdMarker", last?.id ?? ""],
      ["Prefix", text(prefix)],
      ["MaxUploads", keysMax],
      ...common,
      ["IsTruncated", shown.length < single.length],
      ...shown.map(({ key, id, startedMs }): XmlNode => [
        "Upload",
        [
          ["Key", text(key)],
          ["UploadId", id],
          ["Initiator", OWNER[1]],
          OWNER,
          ["StorageClass", "STANDARD"],
          ["Initiated", isoText(startedMs)],
        ],
      ]),
      ...[...groups].map((group): XmlNode => ["CommonPrefixes", [["Prefix", text(group)]]]),
    ]),
  );
}

export const uploadOf = ({ request, bucket }: BucketExchange): Promise<Upload> =>
  findUpload(bucket, request.query.get("uploadId") ?? "", request.key);

async function partTarget(exchange: BucketExchange): Promise<{ readonly upload: Upload; readonly number: number }> {
  const text = exchange.request.query.get("partNumber") ?? "";
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > PARTS_MAX)
    throw new S3Error("InvalidArgument", `Part number must be an integer between 1 and ${PARTS_MAX}, inclusive`);
  return { upload: await uploadOf(exchange), number };
}

async function storePart(
  { bucket }: BucketExchange,
  { upload, number, draft }: { readonly upload: Upload; readonly number: number; readonly draft: Draft },
): Promise<void> {
  await removePart(bucket, upload, partNameOf(number));
  mustBeDone(await draft.moveTo(upload.ino, partNameOf(number), 0));
  await bucket.durable();
}

/** Algorithm and kind that the parts are to be compared with. Throws `InvalidRequest`. */
function checksumOf(request: S3Request): UploadNote["checksum"] {
  const algorithm = headerOf(request, "x-amz-checksum-algorithm");
  const name = algorithm === undefined ? undefined : checksumNameOf(algorithm);
  if (algorithm !== undefined && name === undefined)
    throw new S3Error(
      "InvalidRequest",
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: ${CHECKSUM_NAMES.join(", ")}`,
    );
  if (name === undefined) return undefined;
  const type = headerOf(request, "x-amz-checksum-type")?.toUpperCase() ?? (name === "CRC64NVME" ? "FULL_OBJECT" : "COMPOSITE");
  const good = type === "FULL_OBJECT" ? isCrc(name) : type === "COMPOSITE" && name !== "CRC64NVME";
  if (!good) throw new S3Error("InvalidRequest", `The ${type} checksum type cannot be used with the ${name} checksum algorithm.`);
  return { name, type: type === "FULL_OBJECT" ? type : "COMPOSITE" };
}
