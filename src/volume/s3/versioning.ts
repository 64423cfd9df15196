import { sendEmpty, sendXml, xmlOf, type BucketExchange } from "./exchange.ts";
import { S3Error } from "./s3-error.ts";
import { setVersioning, versioningOf } from "./versions.ts";
import { xmlDocument } from "./xml.ts";

/** GetBucketVersioning: nothing where versions were never kept. */
export async function getBucketVersioning(exchange: BucketExchange): Promise<void> {
  const versioning = await versioningOf(exchange.bucket);
  sendXml(exchange, xmlDocument("VersioningConfiguration", versioning === undefined ? [] : [["Status", versioning]]));
}

/** PutBucketVersioning. */
export async function putBucketVersioning(exchange: BucketExchange): Promise<void> {
  const { bucket } = exchange;
  const wanted = await xmlOf(exchange, "VersioningConfiguration");
  const status = wanted.text("Status");
  if (status !== "Enabled" && status !== "Suspended") throw new S3Error("MalformedXML");
  if (wanted.text("MfaDelete") === "Enabled") throw new S3Error("NotImplemented");
  await setVersioning(bucket, status);
  await bucket.durable();
  sendEmpty(exchange);
}
