import { replaceRuleOf } from "./conditions.ts";
import { copySource } from "./copy-source.ts";
import { Draft, type ContentSeal } from "./draft.ts";
import { sendXml, type BucketExchange } from "./exchange.ts";
import { metaOfRequest } from "./headers.ts";
import { newPathOfKey } from "./keys.ts";
import { modifiedText } from "./list-objects.ts";
import { contentOf, etagOf, readMeta, type ObjectMeta } from "./object-meta.ts";
import { putFolder, storeObject } from "./objects.ts";
import { headerOf } from "./request.ts";
import { S3Error } from "./s3-error.ts";
import { xmlDocument } from "./xml.ts";

/** CopyObject: within a volume the copy has the blobs of its source, so that nothing is read. It keeps the ETag, as the content is the same. */
export async function copyObject(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const path = newPathOfKey(request.key);
  const rule = replaceRuleOf(request, bucket);
  const given = metaOfRequest(request);
  const [replaces, replacesTags] = [directiveOf(exchange, "x-amz-metadata-directive"), directiveOf(exchange, "x-amz-tagging-directive")];
  await copySource(exchange, async (source) => {
    if (source.name === bucket.name && source.key === request.key && !replaces && !replacesTags)
      throw new S3Error(
        "InvalidRequest",
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata.",
      );
    const { headers, user, tags } = source.meta;
    const meta: ObjectMeta = {
      ...(replaces ? { headers: given.headers ?? {}, user: given.user ?? {} } : { ...(headers && { headers }), ...(user && { user }) }),
      ...((replacesTags ? given.tags : tags) && { tags: (replacesTags ? given.tags : tags)! }),
    };
    if (path.isFolder) {
      const attributes = await putFolder(bucket, path, meta);
      await bucket.durable();
      return sendResult(exchange, etagOf({}, { ...attributes, size: 0 }), modifiedText(attributes));
    }
    const content = contentOf(source.meta, source.attributes);
    await using draft = await Draft.create(bucket);
    await draft.appendOf(source, 0, source.attributes.size);
    const seal = content === undefined ? undefined : sealOf(content);
    const { attributes, versionId } = await storeObject(bucket, request.key, { draft, seal, meta, rule });
    await bucket.durable();
    if (versionId !== undefined) exchange.response.setHeader("x-amz-version-id", versionId);
    if (source.versionId !== undefined) exchange.response.setHeader("x-amz-copy-source-version-id", source.versionId);
    sendResult(exchange, etagOf(await readMeta(bucket.verbs, draft.ino), attributes), modifiedText(attributes));
  });
}

function sendResult(exchange: BucketExchange, etag: string, modified: string): void {
  sendXml(
    exchange,
    xmlDocument("CopyObjectResult", [
      ["LastModified", modified],
      ["ETag", etag],
    ]),
  );
}

const sealOf = ({ etag, checksum, parts }: ContentSeal): ContentSeal => ({ etag, ...(checksum && { checksum }), ...(parts && { parts }) });

/** Whether the copy gets what the request brings, and not what its source has. */
function directiveOf({ request }: BucketExchange, name: string): boolean {
  const value = headerOf(request, name) ?? "COPY";
  if (value !== "COPY" && value !== "REPLACE") throw new S3Error("InvalidArgument", `Unknown ${name}.`);
  return value === "REPLACE";
}
