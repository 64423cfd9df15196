import { absent, createBucket, deleteBucket, getAcl, getBucketLocation, headBucket, listBuckets } from "./bucket-operations.ts";
import { completeMultipartUpload } from "./complete-upload.ts";
import { copyObject } from "./copy-object.ts";
import { deleteObject, deleteObjects } from "./delete-objects.ts";
import type { BucketExchange, Exchange } from "./exchange.ts";
import { getObject } from "./get-object.ts";
import { listObjects, listObjectsV2 } from "./list-objects.ts";
import { abortMultipartUpload, createMultipartUpload, listMultipartUploads, listParts, uploadPart, uploadPartCopy } from "./multipart.ts";
import { putObject } from "./put-object.ts";
import { deleteObjectTagging, getObjectTagging, putObjectTagging } from "./tagging.ts";
import { listObjectVersions } from "./list-versions.ts";
import { getBucketVersioning, putBucketVersioning } from "./versioning.ts";
import { headerOf, type S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";

/** By its name in the API of S3. */
export type Operation = {
  readonly name: string;
  readonly method: string;
  /** What it is about. */
  readonly on: "service" | "bucket" | "object";
  /** Parameter of the query that says what is meant. */
  readonly query?: string;
  /** The same by a header. */
  readonly header?: string;
} & (
  | { readonly needs: "bucket"; readonly run: (exchange: BucketExchange) => Promise<void> }
  | { readonly needs: "nothing"; readonly run: (exchange: Exchange) => Promise<void> }
);

/** The first that fits is meant. */
const OPERATIONS: readonly Operation[] = [
  { name: "ListBuckets", method: "GET", on: "service", needs: "nothing", run: listBuckets },

  { name: "GetBucketLocation", method: "GET", on: "bucket", query: "location", needs: "nothing", run: getBucketLocation },
  { name: "GetBucketAcl", method: "GET", on: "bucket", query: "acl", needs: "bucket", run: getAcl },
  ...(
    [
      ["GetBucketPolicy", "policy", "NoSuchBucketPolicy"],
      ["GetBucketCors", "cors", "NoSuchCORSConfiguration"],
      ["GetBucketLifecycleConfiguration", "lifecycle", "NoSuchLifecycleConfiguration"],
      ["GetBucketTagging", "tagging", "NoSuchTagSet"],
      ["GetBucketWebsite", "website", "NoSuchWebsiteConfiguration"],
      ["GetBucketEncryption", "encryption", "ServerSideEncryptionConfigurationNotFoundError"],
      ["GetObjectLockConfiguration", "object-lock", "ObjectLockConfigurationNotFoundError"],
      ["GetBucketOwnershipControls", "ownershipControls", "OwnershipControlsNotFoundError"],
      ["GetPublicAccessBlock", "publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"],
    ] as const
  ).map(([name, query, code]): Operation => ({ name, method: "GET", on: "bucket", query, needs: "bucket", run: absent(code) })),
  { name: "GetBucketVersioning", method: "GET", on: "bucket", query: "versioning", needs: "bucket", run: getBucketVersioning },
  { name: "PutBucketVersioning", method: "PUT", on: "bucket", query: "versioning", needs: "bucket", run: putBucketVersioning },
  { name: "ListObjectVersions", method: "GET", on: "bucket", query: "versions", needs: "bucket", run: listObjectVersions },
  { name: "ListObjectsV2", method: "GET", on: "bucket", query: "list-type", needs: "bucket", run: listObjectsV2 },
  { name: "DeleteObjects", method: "POST", on: "bucket", query: "delete", needs: "bucket", run: deleteObjects },
  { name: "ListMultipartUploads", method: "GET", on: "bucket", query: "uploads", needs: "bucket", run: listMultipartUploads },
  { name: "ListObjects", method: "GET", on: "bucket", needs: "bucket", run: listObjects },
  { name: "HeadBucket", method: "HEAD", on: "bucket", needs: "nothing", run: headBucket },
  { name: "CreateBucket", method: "PUT", on: "bucket", needs: "nothing", run: createBucket },
  { name: "DeleteBucket", method: "DELETE", on: "bucket", needs: "nothing", run: deleteBucket },

  { name: "ListParts", method: "GET", on: "object", query: "uploadId", needs: "bucket", run: listParts },
  { name: "CreateMultipartUpload", method: "POST", on: "object", query: "uploads", needs: "bucket", run: createMultipartUpload },
  { name: "CompleteMultipartUpload", method: "POST", on: "object", query: "uploadId", needs: "bucket", run: completeMultipartUpload },
  { name: "AbortMultipartUpload", method: "DELETE", on: "object", query: "uploadId", needs: "bucket", run: abortMultipartUpload },
  {
    name: "UploadPartCopy",
    method: "PUT",
    on: "object",
    query: "uploadId",
    header: "x-amz-copy-source",
    needs: "bucket",
    run: uploadPartCopy,
  },
  { name: "UploadPart", method: "PUT", on: "object", query: "uploadId", needs: "bucket", run: uploadPart },
  { name: "CopyObject", method: "PUT", on: "object", header: "x-amz-copy-source", needs: "bucket", run: copyObject },

  { name: "GetObjectTagging", method: "GET", on: "object", query: "tagging", needs: "bucket", run: getObjectTagging },
  { name: "PutObjectTagging", method: "PUT", on: "object", query: "tagging", needs: "bucket", run: putObjectTagging },
  { name: "DeleteObjectTagging", method: "DELETE", on: "object", query: "tagging", needs: "bucket", run: deleteObjectTagging },
  { name: "GetObjectAcl", method: "GET", on: "object", query: "acl", needs: "bucket", run: getAcl },
  { name: "GetObject", method: "GET", on: "object", needs: "bucket", run: getObject },
  { name: "HeadObject", method: "HEAD", on: "object", needs: "bucket", run: getObject },
  { name: "PutObject", method: "PUT", on: "object", needs: "bucket", run: putObject },
  { name: "DeleteObject", method: "DELETE", on: "object", needs: "bucket", run: deleteObject },
];

/** Parameters that make another operation of a request: without an entry for it, it is not done at all, instead of what it looks like without them. */
const SUBRESOURCES: ReadonlySet<string> = new Set(
  (
    "accelerate acl analytics attributes cors delete encryption intelligent-tiering inventory legal-hold lifecycle location logging metrics notification object-lock " +
    "ownershipControls partNumber policy policyStatus publicAccessBlock replication requestPayment restore retention select select-type tagging torrent uploadId uploads " +
    "versionId versioning versions website"
  ).split(" "),
);
/** Which say more about an operation, and make no other one of it. */
const DETAILS: Readonly<Record<string, ReadonlySet<string>>> = {
  GetObject: new Set(["partNumber", "versionId"]),
  HeadObject: new Set(["partNumber", "versionId"]),
  DeleteObject: new Set(["versionId"]),
  GetObjectTagging: new Set(["versionId"]),
  PutObjectTagging: new Set(["versionId"]),
  DeleteObjectTagging: new Set(["versionId"]),
  GetObjectAcl: new Set(["versionId"]),
  UploadPart: new Set(["partNumber"]),
  UploadPartCopy: new Set(["partNumber"]),
};

/** Throws `MethodNotAllowed`, `NotImplemented`. */
export function operationOf(request: S3Request): Operation {
  const on = request.bucket === undefined ? "service" : request.key === "" ? "bucket" : "object";
  const found = OPERATIONS.find(
    (operation) =>
      operation.on === on &&
      operation.method === request.method &&
      (operation.query === undefined || request.query.has(operation.query)) &&
      (operation.header === undefined || headerOf(request, operation.header) !== undefined),
  );
  if (found === undefined) throw new S3Error(KNOWN_METHODS.has(request.method) ? "NotImplemented" : "MethodNotAllowed");
  const others = request.query.pairs.filter(
    ([name]) => SUBRESOURCES.has(name) && name !== found.query && DETAILS[found.name]?.has(name) !== true,
  );
  if (others.length > 0) throw new S3Error("NotImplemented", `${others.map(([name]) => name).join(", ")} is not implemented for this.`);
  return found;
}

const KNOWN_METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "PUT", "POST", "DELETE"]);
