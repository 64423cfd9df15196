import { isoText } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { ownerOf } from "./access.ts";
import { sendEmpty, sendXml, xmlOf, type BucketExchange, type Exchange } from "./exchange.ts";
import { OWNER } from "./list-objects.ts";
import { holdsNothing } from "./objects.ts";
import { headerOf } from "./request.ts";
import { S3Error, type S3ErrorCode } from "./s3-error.ts";
import { xmlDocument, type XmlNode } from "./xml.ts";

const UNDELETE_MS = 48 * 3_600_000;

/** ListBuckets: those that the caller's key opens. */
export async function listBuckets(exchange: Exchange): Promise<void> {
  const { access, caller } = exchange;
  const buckets = access.buckets(caller).map(({ name, createdAtMs }): XmlNode => [
    "Bucket",
    [
      ["Name", name],
      ["CreationDate", isoText(createdAtMs)],
    ],
  ]);
  sendXml(exchange, xmlDocument("ListAllMyBucketsResult", [OWNER, ["Buckets", buckets]]));
}

/** HeadBucket. */
export async function headBucket(exchange: Exchange): Promise<void> {
  exchange.access.bucket(nameOf(exchange), exchange.caller);
  sendEmpty(exchange, 200, { "x-amz-bucket-region": exchange.config.region });
}

/** GetBucketLocation. */
export async function getBucketLocation(exchange: Exchange): Promise<void> {
  exchange.access.bucket(nameOf(exchange), exchange.caller);
  const { region } = exchange.config;
  sendXml(exchange, xmlDocument("LocationConstraint", []).replace("></", `>${region === "us-east-1" ? "" : region}</`));
}

/** CreateBucket: a volume that belongs to the caller's key. */
export async function createBucket(exchange: Exchange): Promise<void> {
  const { access, caller, config, volumes } = exchange;
  const name = nameOf(exchange);
  const before = volumes.find(name);
  if (before !== undefined)
    throw new S3Error(
      before.uuid === caller.volumeUuid || before.owner === ownerOf(caller.keyId) ? "BucketAlreadyOwnedByYou" : "BucketAlreadyExists",
    );
  if (!config.createBuckets) throw new S3Error("AccessDenied", "Buckets are not created here: volume.s3.createBuckets is off.");
  if (Number(headerOf(exchange.request, "content-length") ?? 0) > 0) await xmlOf(exchange, "CreateBucketConfiguration");
  try {
    await volumes.create({
      name,
      owner: ownerOf(caller.keyId),
      capacityBytes: 0,
      inodesMax: 0,
      readOnly: false,
      onDelete: "detach-now",
      undeleteMs: UNDELETE_MS,
      uid: process.getuid?.() ?? 0,
      gid: process.getgid?.() ?? 0,
      permissions: 0o755,
    });
  } catch (thrown) {
    throw thrown instanceof AnaxError && thrown.code === "input.invalid" ? new S3Error("InvalidBucketName") : thrown;
  }
  access.forget(name);
  sendEmpty(exchange, 200, { location: `/${name}` });
}

/** DeleteBucket: of an empty volume. One with a trash can be undeleted, as its trash is not empty then. */
export async function deleteBucket(exchange: Exchange): Promise<void> {
  const { access, buckets, caller, config, volumes } = exchange;
  const name = nameOf(exchange);
  const record = access.bucket(name, caller);
  if (!config.createBuckets) throw new S3Error("AccessDenied", "Buckets are not deleted here: volume.s3.createBuckets is off.");
  if (record.owner !== ownerOf(caller.keyId)) throw new S3Error("AccessDenied", "Only who made a bucket deletes it here.");
  if (!(await buckets.use(record, holdsNothing))) throw new S3Error("BucketNotEmpty");
  await volumes.delete(record.uuid, { now: record.trashMs === 0, by: ownerOf(caller.keyId) });
  access.forget(name);
  sendEmpty(exchange, 204);
}

/** Everything of a bucket belongs to its owner, and to nobody else. */
export async function getAcl(exchange: BucketExchange): Promise<void> {
  const [, id] = OWNER;
  const grant: XmlNode = [
    "Grant",
    [
      ["Grantee", id],
      ["Permission", "FULL_CONTROL"],
    ],
  ];
  const xml = xmlDocument("AccessControlPolicy", [OWNER, ["AccessControlList", [grant]]]);
  sendXml(exchange, xml.replace("<Grantee>", '<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">'));
}

/** Of what no bucket here has. */
export const absent = (code: S3ErrorCode) => async (): Promise<void> => {
  throw new S3Error(code);
};

/** Only where a bucket is named. */
const nameOf = ({ request }: Exchange): string => request.bucket!;
