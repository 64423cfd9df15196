import { replaceRuleOf } from "./conditions.ts";
import { checksumHeaderOf } from "./checksum.ts";
import { Draft, type ContentSeal } from "./draft.ts";
import { bodyOf, sendEmpty, type BucketExchange } from "./exchange.ts";
import { metaOfRequest } from "./headers.ts";
import { newPathOfKey } from "./keys.ts";
import { putFolder, storeObject } from "./objects.ts";
import { S3Error } from "./s3-error.ts";

/** PutObject. */
export async function putObject(exchange: BucketExchange): Promise<void> {
  const { request, bucket, metrics } = exchange;
  const path = newPathOfKey(request.key);
  const meta = metaOfRequest(request);
  const rule = replaceRuleOf(request, bucket);
  const body = bodyOf(exchange);
  if (path.isFolder) {
    if (body.decodedBytes > 0) throw new S3Error("InvalidRequest", "A key that ends with a slash is a folder here, and has no content.");
    await body.whole(0);
    await putFolder(bucket, path, meta);
    await bucket.durable();
    return sendEmpty(exchange, 200, { etag: `"${body.received.md5}"` });
  }
  await using draft = await Draft.of(bucket, body.pieces());
  const { md5, checksum, bytes } = body.received;
  const seal: ContentSeal = { etag: md5, ...(checksum !== undefined && { checksum: { ...checksum, type: "FULL_OBJECT" } }) };
  const { versionId } = await storeObject(bucket, request.key, { draft, seal, meta, rule });
  await bucket.durable();
  metrics.receivedBytes.inc(bytes);
  sendEmpty(exchange, 200, {
    etag: `"${md5}"`,
    "x-amz-version-id": versionId,
    ...(checksum !== undefined && { [checksumHeaderOf(checksum.name)]: checksum.value, "x-amz-checksum-type": "FULL_OBJECT" }),
  });
}
