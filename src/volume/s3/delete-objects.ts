import type { Bucket } from "./bucket.ts";
import { sendEmpty, sendXml, xmlOf, type BucketExchange } from "./exchange.ts";
import { pathOfKey } from "./keys.ts";
import { removeObject } from "./objects.ts";
import { NULL_VERSION, removeVersion } from "./versions.ts";
import { bytesOfText } from "./request.ts";
import { S3Error, s3ErrorOf } from "./s3-error.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const KEYS_MAX = 1000;

/** DeleteObject. */
export async function deleteObject(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { deleteMarker, versionId } = await removed(bucket, request.key, request.query.get("versionId"));
  await bucket.durable();
  sendEmpty(exchange, 204, { "x-amz-version-id": versionId, ...(deleteMarker && { "x-amz-delete-marker": "true" }) });
}

/** DeleteObjects: each for itself, with one flush for all. */
export async function deleteObjects(exchange: BucketExchange): Promise<void> {
  const { bucket } = exchange;
  const wanted = await xmlOf(exchange, "Delete");
  const objects = wanted.children("Object");
  if (objects.length === 0 || objects.length > KEYS_MAX) throw new S3Error("MalformedXML");
  const quiet = wanted.text("Quiet") === "true";
  const answers: XmlNode[] = [];
  for (const object of objects) {
    const key = object.text("Key");
    if (key === undefined || key === "") throw new S3Error("MalformedXML");
    const outcome = await outcomeOf(bucket, key, object.text("VersionId"));
    if (!quiet || outcome[0] === "Error") answers.push(outcome);
  }
  await bucket.durable();
  sendXml(exchange, xmlDocument("DeleteResult", answers));
}

interface Removed {
  readonly versionId: string | undefined;
  /** One was made, or removed. */
  readonly deleteMarker: boolean;
}

async function removed(bucket: Bucket, key: string, versionId: string | undefined): Promise<Removed> {
  const path = pathOfKey(key);
  if (versionId === undefined || (path?.isFolder === true && versionId === NULL_VERSION)) {
    const { markerId } = await removeObject(bucket, key);
    return { versionId: markerId ?? versionId, deleteMarker: markerId !== undefined };
  }
  const found = path?.isFolder === false ? await removeVersion(bucket, path, versionId) : undefined;
  return { versionId, deleteMarker: found?.deleteMarker === true };
}

async function outcomeOf(bucket: Bucket, key: string, wanted: string | undefined): Promise<XmlNode> {
  const named: readonly XmlNode[] = [["Key", key], ...(wanted === undefined ? [] : [["VersionId", wanted] as const])];
  try {
    const { versionId, deleteMarker } = await removed(bucket, bytesOfText(key), wanted);
    if (!deleteMarker) return ["Deleted", named];
    return ["Deleted", [...named, ["DeleteMarker", true], ["DeleteMarkerVersionId", versionId ?? ""]]];
  } catch (thrown) {
    const error = s3ErrorOf(thrown);
    if (error === undefined) throw thrown;
    return ["Error", [...named, ["Code", error.code], ["Message", error.message]]];
  }
}
