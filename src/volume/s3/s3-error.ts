import { constants } from "node:os";
import { AnaxError, type ErrorCode } from "../../base/errors.ts";

/** Status and text of the error codes of S3 ("Error Responses" of its API Reference) that this gateway answers with. */
const CODES = {
  AccessDenied: [403, "Access Denied"],
  AuthorizationHeaderMalformed: [400, "The authorization header that you provided is not valid."],
  AuthorizationQueryParametersError: [400, "The authorization query parameters that you provided are not valid."],
  BadDigest: [400, "The digest or checksum that you specified did not match what was received."],
  BucketAlreadyExists: [409, "The requested bucket name is not available."],
  BucketAlreadyOwnedByYou: [409, "The bucket that you tried to create already exists, and you own it."],
  BucketNotEmpty: [409, "The bucket that you tried to delete is not empty."],
  EntityTooLarge: [400, "Your proposed upload exceeds the maximum allowed object size."],
  EntityTooSmall: [400, "Your proposed upload is smaller than the minimum allowed object size."],
  ExpiredToken: [400, "The provided token has expired."],
  IncompleteBody: [400, "You did not provide the number of bytes specified by the Content-Length HTTP header."],
  InsufficientStorage: [507, "There is no room left."],
  InternalError: [500, "We encountered an internal error. Please try again."],
  InvalidAccessKeyId: [403, "The access key that you provided does not exist in our records."],
  InvalidArgument: [400, "Invalid argument"],
  InvalidBucketName: [400, "The specified bucket is not valid."],
  InvalidDigest: [400, "The Content-MD5 or checksum value that you specified is not valid."],
  InvalidPart: [400, "One or more of the specified parts could not be found, or the entity tag did not match."],
  InvalidPartOrder: [400, "The list of parts was not in ascending order."],
  InvalidRange: [416, "The requested range is not satisfiable."],
  InvalidRequest: [400, "The request is not valid."],
  InvalidTag: [400, "The tag that you provided is not valid."],
  InvalidURI: [400, "The specified URI could not be parsed."],
  KeyTooLongError: [400, "Your key is too long."],
  MalformedXML: [400, "The XML that you provided was not well-formed or did not validate against our published schema."],
  MaxMessageLengthExceeded: [400, "Your request was too large."],
  MetadataTooLarge: [400, "Your metadata headers exceed the maximum allowed metadata size."],
  MethodNotAllowed: [405, "The specified method is not allowed against this resource."],
  MissingContentLength: [411, "You must provide the Content-Length HTTP header."],
  NoSuchBucket: [404, "The specified bucket does not exist."],
  NoSuchBucketPolicy: [404, "The bucket policy does not exist."],
  NoSuchCORSConfiguration: [404, "The CORS configuration does not exist."],
  NoSuchKey: [404, "The specified key does not exist."],
  NoSuchLifecycleConfiguration: [404, "The lifecycle configuration does not exist."],
  NoSuchPublicAccessBlockConfiguration: [404, "The public access block configuration was not found."],
  NoSuchTagSet: [404, "There is no tag set."],
  NoSuchUpload: [404, "The specified multipart upload does not exist."],
  NoSuchVersion: [404, "The specified version does not exist."],
  NoSuchWebsiteConfiguration: [404, "The specified bucket does not have a website configuration."],
  NotImplemented: [501, "A header or operation that you provided implies functionality that is not implemented."],
  NotModified: [304, "Not Modified"],
  ObjectLockConfigurationNotFoundError: [404, "Object Lock configuration does not exist for this bucket."],
  OwnershipControlsNotFoundError: [404, "The bucket ownership controls were not found."],
  PreconditionFailed: [412, "At least one of the preconditions that you specified did not hold."],
  QuotaExceeded: [403, "The capacity or a quota of the volume is used up."],
  RequestTimeTooSkewed: [403, "The difference between the request time and the server's time is too large."],
  ServerSideEncryptionConfigurationNotFoundError: [404, "The server side encryption configuration was not found."],
  ServiceUnavailable: [503, "The volume does not answer now. Please try again."],
  SignatureDoesNotMatch: [403, "The request signature that we calculated does not match the signature that you provided."],
  SlowDown: [503, "Please reduce your request rate."],
  XAmzContentSHA256Mismatch: [400, "The provided x-amz-content-sha256 header does not match what was computed."],
} as const satisfies Readonly<Record<string, readonly [number, string]>>;

export type S3ErrorCode = keyof typeof CODES;

/** A request that is refused, as its client is told. */
export class S3Error extends Error {
  readonly code: S3ErrorCode;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: S3ErrorCode, message: string = CODES[code][1], headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.name = "S3Error";
    this.code = code;
    [this.status] = CODES[code];
    this.headers = headers;
  }
}

const E = constants.errno;

const ERRNO_CODES: Readonly<Record<number, readonly [S3ErrorCode, string?]>> = {
  [E.EROFS]: ["AccessDenied", "The volume is read-only, or marked as deleted: nothing can be changed."],
  [E.ENOSPC]: ["QuotaExceeded"],
  [E.EDQUOT]: ["QuotaExceeded"],
  [E.EFBIG]: ["EntityTooLarge"],
  [E.ENAMETOOLONG]: ["KeyTooLongError", "No part of a key between slashes may have more than 255 bytes."],
  [E.ENOTDIR]: ["InvalidRequest", "A part of the key is an object already, so nothing can be below it."],
  [E.EISDIR]: ["InvalidRequest", "There are objects below this key, so it cannot be one itself."],
  [E.ENOTEMPTY]: ["InvalidRequest", "There are objects below this key."],
  [E.EMLINK]: ["InvalidRequest", "There are too many folders in one."],
  [E.EXDEV]: ["InvalidRequest", "A folder does not go into another quota."],
  [E.ENOENT]: ["NoSuchKey"],
  [E.EEXIST]: ["PreconditionFailed"],
};

/** A failure of a verb, as a client of S3 is told. */
export function errnoError(errno: number): S3Error {
  const [code, text] = ERRNO_CODES[errno] ?? ["InternalError", `The volume answered with error number ${errno}.`];
  return new S3Error(code, text);
}

/** The value of a verb's answer. Throws S3Error for an error number. */
export function valueOf<T extends object | string>(answer: T | number): T {
  if (typeof answer === "number") throw errnoError(answer);
  return answer;
}

/** Throws S3Error unless it was done. */
export function mustBeDone(outcome: number): void {
  if (outcome !== 0) throw errnoError(outcome);
}

/** Our own codes, where the client can be told what they mean. */
const ANAX_CODES: Readonly<Partial<Record<ErrorCode, S3ErrorCode>>> = {
  "disk.full": "InsufficientStorage",
  "disk.io": "ServiceUnavailable",
  "limit.exceeded": "SlowDown",
  "volume.exists": "BucketAlreadyExists",
  "volume.not-exist": "NoSuchBucket",
  "volume.not-found": "NoSuchBucket",
  "volume.unreachable": "ServiceUnavailable",
};

/** What was thrown, for the client; undefined for a bug, or what a person must look at. */
export function s3ErrorOf(thrown: unknown): S3Error | undefined {
  if (thrown instanceof S3Error) return thrown;
  if (!(thrown instanceof AnaxError)) return undefined;
  const error = thrown;
  if (error.code === "input.invalid")
    return new S3Error("InvalidRequest", `The request is not valid: ${String(error.details["reason"] ?? error.details["expected"] ?? "")}`);
  if (error.code === "volume.wrong-state") return new S3Error("AccessDenied", "The volume is being deleted.");
  const code = ANAX_CODES[error.code];
  return code && new S3Error(code);
}
