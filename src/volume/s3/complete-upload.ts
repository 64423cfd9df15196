import { createHash } from "node:crypto";
import { checksumHeaderOf, createChecksum, CHECKSUM_NAMES, type ChecksumName } from "./checksum.ts";
import { replaceRuleOf } from "./conditions.ts";
import { combineCrc } from "./crc-combine.ts";
import { Draft, type ContentSeal } from "./draft.ts";
import { sendXml, xmlOf, type BucketExchange } from "./exchange.ts";
import { uploadOf } from "./multipart.ts";
import { storeObject } from "./objects.ts";
import { headerOf, textOfBytes } from "./request.ts";
import { S3Error } from "./s3-error.ts";
import { partsOf, PARTS_MAX, removeUpload, type Part, type Upload } from "./uploads.ts";
import { xmlDocument, type XmlElement } from "./xml.ts";

/** Of every part but the last. */
const PART_BYTES_MIN = 5 * 1024 * 1024;

/** CompleteMultipartUpload: the object has the blobs of its parts, so that nothing is copied. */
export async function completeMultipartUpload(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const upload = await uploadOf(exchange);
  const rule = replaceRuleOf(request, bucket);
  const wanted = (await xmlOf(exchange, "CompleteMultipartUpload", "none")).children("Part");
  const parts = chosen(wanted, await partsOf(bucket, upload));
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  const promised = headerOf(request, "x-amz-mp-object-size");
  if (promised !== undefined && Number(promised) !== size)
    throw new S3Error("InvalidRequest", "x-amz-mp-object-size is not the size of the parts.");
  await using draft = await Draft.create(bucket);
  for (const { ino, size: length } of parts) await draft.appendOf({ bucket, ino }, 0, length);
  const seal = sealOf(parts, upload);
  const said = seal.checksum && headerOf(request, checksumHeaderOf(seal.checksum.name)); // of the object, not of this body
  if (said !== undefined && said !== seal.checksum?.value) throw new S3Error("BadDigest");
  const { versionId } = await storeObject(bucket, request.key, { draft, seal, meta: upload.meta, rule });
  await removeUpload(bucket, upload).catch(() => undefined); // a part that comes meanwhile stays until the upload is aborted: the object is there
  await bucket.durable();
  if (versionId !== undefined) exchange.response.setHeader("x-amz-version-id", versionId);
  const { checksum, etag } = seal;
  sendXml(
    exchange,
    xmlDocument("CompleteMultipartUploadResult", [
      ["Location", `/${bucket.name}/${textOfBytes(request.key)}`],
      ["Bucket", bucket.name],
      ["Key", textOfBytes(request.key)],
      ["ETag", `"${etag}"`],
      ...(checksum === undefined
        ? []
        : ([
            [`Checksum${checksum.name}`, checksum.value],
            ["ChecksumType", checksum.type],
          ] as const)),
    ]),
  );
}

/** Throws `MalformedXML`, `InvalidPart`, `InvalidPartOrder`, `EntityTooSmall`. */
function chosen(wanted: readonly XmlElement[], there: readonly Part[]): readonly Part[] {
  if (wanted.length === 0 || wanted.length > PARTS_MAX) throw new S3Error("MalformedXML");
  const byNumber = new Map(there.map((part) => [part.number, part]));
  let before = 0;
  const parts = wanted.map((element) => {
    const number = Number(element.text("PartNumber"));
    if (!Number.isInteger(number)) throw new S3Error("MalformedXML");
    if (number <= before) throw new S3Error("InvalidPartOrder");
    before = number;
    const part = byNumber.get(number);
    if (part === undefined || element.text("ETag")?.trim().replaceAll('"', "") !== part.content.etag) throw new S3Error("InvalidPart");
    for (const name of CHECKSUM_NAMES) {
      const { checksum } = part.content;
      const said = element.text(`Checksum${name}`);
      if (said !== undefined && checksum?.name === name && checksum.value !== said.trim()) throw new S3Error("InvalidPart");
    }
    return part;
  });
  if (parts.slice(0, -1).some(({ size }) => size < PART_BYTES_MIN)) throw new S3Error("EntityTooSmall");
  return parts;
}

function sealOf(parts: readonly Part[], { checksum }: Upload): ContentSeal {
  const md5 = createHash("md5");
  for (const { content } of parts) md5.update(Buffer.from(content.etag, "hex"));
  const runs: [number, number][] = [];
  for (const { size } of parts) {
    const last = runs.at(-1);
    if (last?.[1] === size) last[0]++;
    else runs.push([1, size]);
  }
  const value = checksum === undefined ? undefined : valueOf(parts, checksum.name, checksum.type);
  return {
    etag: `${md5.digest("hex")}-${parts.length}`,
    ...(runs.length <= RUNS_MAX && { parts: runs }),
    ...(checksum !== undefined && value !== undefined && { checksum: { ...checksum, value } }),
  };
}

/** More would not fit beside the rest into an extended attribute. */
const RUNS_MAX = 1000;

/** Undefined where a part has no such checksum. */
function valueOf(parts: readonly Part[], name: ChecksumName, type: "FULL_OBJECT" | "COMPOSITE"): string | undefined {
  const values = parts.map(({ content, size }) => ({
    bytes: size,
    crc: content.checksum?.name === name ? Buffer.from(content.checksum.value, "base64") : undefined,
  }));
  const [first] = values;
  if (first?.crc === undefined) return undefined;
  if (type === "FULL_OBJECT") {
    let whole: Buffer | undefined = first.crc;
    for (const { crc, bytes } of values.slice(1))
      whole = whole === undefined || crc === undefined ? undefined : combineCrc(name, whole, { crc, bytes });
    return whole?.toString("base64");
  }
  const digest = createChecksum(name);
  for (const { crc } of values) {
    if (crc === undefined) return undefined;
    digest.update(crc);
  }
  return `${digest.digest().toString("base64")}-${parts.length}`;
}
