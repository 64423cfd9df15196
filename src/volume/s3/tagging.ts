import { sendEmpty, sendXml, xmlOf, type BucketExchange } from "./exchange.ts";
import { pathOfKey } from "./keys.ts";
import { readMeta, writeMeta, type ObjectMeta } from "./object-meta.ts";
import { checkedTags } from "./tags.ts";
import { S3Error } from "./s3-error.ts";
import { mustFindVersion, type FoundVersion } from "./versions.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

/** GetObjectTagging. */
export async function getObjectTagging(exchange: BucketExchange): Promise<void> {
  const found = await versionOf(exchange);
  const tags = (found.meta.tags ?? []).map(([key, value]): XmlNode => [
    "Tag",
    [
      ["Key", key],
      ["Value", value],
    ],
  ]);
  nameVersion(exchange, found);
  sendXml(exchange, xmlDocument("Tagging", [["TagSet", tags]]));
}

/** PutObjectTagging. */
export async function putObjectTagging(exchange: BucketExchange): Promise<void> {
  const wanted = await xmlOf(exchange, "Tagging");
  const [set, ...others] = wanted.children("TagSet");
  if (set === undefined || others.length > 0) throw new S3Error("MalformedXML");
  const tags = set.children("Tag").map((tag) => [tag.text("Key") ?? "", tag.text("Value") ?? ""] as const);
  await change(exchange, checkedTags(tags));
  sendEmpty(exchange);
}

/** DeleteObjectTagging. */
export async function deleteObjectTagging(exchange: BucketExchange): Promise<void> {
  await change(exchange, []);
  sendEmpty(exchange, 204);
}

async function change(exchange: BucketExchange, tags: NonNullable<ObjectMeta["tags"]>): Promise<void> {
  const { bucket } = exchange;
  const found = await versionOf(exchange);
  const { ino } = found.attributes;
  await writeMeta(bucket.verbs, ino, { ...(await readMeta(bucket.verbs, ino)), tags });
  await bucket.durable();
  nameVersion(exchange, found);
}

const versionOf = ({ request, bucket }: BucketExchange): Promise<FoundVersion> =>
  mustFindVersion(bucket, pathOfKey(request.key), request.query.get("versionId"));

function nameVersion({ response }: BucketExchange, { meta }: FoundVersion): void {
  if (meta.version !== undefined) response.setHeader("x-amz-version-id", meta.version.id);
}
