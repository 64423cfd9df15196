import { timingSafeEqual } from "node:crypto";
import { parseHttpDateMs } from "../../base/http-date.ts";
import { isoText } from "../../base/clock.ts";
import { ALGORITHM, canonicalHash, escapeBytes, signatureOf, signingKeyOf, textToSign, type Scope } from "../../wire/http/signature-v4.ts";
import { headerOf, type S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";

/** What a request says of itself, before anything of it is believed. */
export interface Claim {
  readonly keyId: string;
  readonly scope: Scope;
  /** As in `20260131T235959Z`. */
  readonly date: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  /** Of a presigned URL: how long it holds. */
  readonly expiresSec: number | undefined;
  /** Hexadecimal SHA-256 of the body, `UNSIGNED-PAYLOAD`, or `STREAMING-…`. */
  readonly payload: string;
}

/** What chunks of the body are signed with. */
export interface Signing {
  readonly key: Buffer;
  readonly scope: Scope;
  readonly date: string;
  readonly signature: string;
}

const UNSIGNED = "UNSIGNED-PAYLOAD";
/** A week. */
const EXPIRES_SEC_MAX = 604_800;
const SIGNED_HEADERS_MAX = 100;

/** Throws `AccessDenied` for a request without a signature, and for others what is wrong with it. */
export function claimOf(request: S3Request): Claim {
  const header = headerOf(request, "authorization");
  const presigned = request.query.has("X-Amz-Signature") || request.query.has("X-Amz-Algorithm");
  if (header !== undefined && presigned) throw new S3Error("InvalidRequest", "Only one way of authentication is allowed.");
  if (header !== undefined) return headerClaim(request, header);
  if (presigned) return queryClaim(request);
  throw new S3Error("AccessDenied", "Requests must be signed with Signature Version 4.");
}

/** Checks date and signature. `secret` is that of the claim's key. Throws `RequestTimeTooSkewed`, `AccessDenied`, `SignatureDoesNotMatch`. */
export function verify(request: S3Request, claim: Claim, { secret, nowMs, skewMs }: Against): Signing {
  checkTime(claim, nowMs, skewMs);
  checkSigned(request, claim);
  const { scope, date, payload, signedHeaders } = claim;
  const key = signingKeyOf(secret, scope);
  const hash = canonicalHash({
    method: request.method,
    path: request.path,
    query: queryOf(request),
    headers: signedHeaders.map((name) => [name, headerOf(request, name) ?? ""]),
    payload,
  });
  const signature = signatureOf(key, textToSign(date, scope, hash));
  if (!sameSignature(signature, claim.signature)) throw new S3Error("SignatureDoesNotMatch");
  return { key, scope, date, signature };
}

interface Against {
  readonly secret: string;
  readonly nowMs: number;
  readonly skewMs: number;
}

/** In a time that says nothing about where they differ. `b` may be anything. */
export const sameSignature = (a: string, b: string): boolean =>
  /^[0-9a-f]{64}$/.test(b) && a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));

function headerClaim(request: S3Request, header: string): Claim {
  const malformed = new S3Error("AuthorizationHeaderMalformed");
  const [algorithm, ...rest] = header.split(" ");
  if (algorithm !== ALGORITHM) throw new S3Error("InvalidRequest", "The authorization mechanism is not supported: use AWS4-HMAC-SHA256.");
  const fields = new Map(
    rest
      .join("")
      .split(",")
      .map((field): [string, string] => [field.slice(0, field.indexOf("=")), field.slice(field.indexOf("=") + 1)]),
  );
  const [credential, names, signature] = ["Credential", "SignedHeaders", "Signature"].map((name) => fields.get(name));
  if (credential === undefined || names === undefined || signature === undefined) throw malformed;
  const payload = headerOf(request, "x-amz-content-sha256");
  if (payload === undefined) throw new S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256");
  return {
    ...credentialOf(credential, malformed),
    date: dateOf(request),
    signedHeaders: headerNamesOf(names, malformed),
    signature,
    expiresSec: undefined,
    payload,
  };
}

function queryClaim(request: S3Request): Claim {
  const { query } = request;
  const malformed = new S3Error("AuthorizationQueryParametersError");
  const get = (name: string): string => {
    const value = query.get(`X-Amz-${name}`);
    if (value === undefined) throw malformed;
    return value;
  };
  if (get("Algorithm") !== ALGORITHM) throw malformed;
  const expires = get("Expires");
  if (!/^\d{1,7}$/.test(expires) || Number(expires) < 1 || Number(expires) > EXPIRES_SEC_MAX) throw malformed;
  const date = get("Date");
  if (!/^\d{8}T\d{6}Z$/.test(date)) throw malformed;
  return {
    ...credentialOf(get("Credential"), malformed),
    date,
    signedHeaders: headerNamesOf(get("SignedHeaders"), malformed),
    signature: get("Signature"),
    expiresSec: Number(expires),
    payload: headerOf(request, "x-amz-content-sha256") ?? query.get("X-Amz-Content-Sha256") ?? UNSIGNED,
  };
}

function credentialOf(text: string, malformed: S3Error): Pick<Claim, "keyId" | "scope"> {
  const match = /^([A-Za-z0-9]{1,128})\/(\d{8})\/([A-Za-z0-9-]{1,64})\/(s3)\/aws4_request$/.exec(text);
  if (match === null) throw malformed;
  const [, keyId = "", day = "", region = "", service = ""] = match;
  return { keyId, scope: { day, region, service } };
}

function headerNamesOf(text: string, malformed: S3Error): readonly string[] {
  const names = text.split(";");
  if (names.length > SIGNED_HEADERS_MAX || !names.every((name) => /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name))) throw malformed;
  return names;
}

function dateOf(request: S3Request): string {
  const own = headerOf(request, "x-amz-date");
  if (own !== undefined && /^\d{8}T\d{6}Z$/.test(own)) return own;
  const ms = parseHttpDateMs(own ?? headerOf(request, "date") ?? "");
  if (ms === undefined) throw new S3Error("AccessDenied", "A valid Date or x-amz-date header is required.");
  return isoText(ms).replaceAll(/[-:]|\.\d+/g, "");
}

function checkTime({ date, scope, expiresSec }: Claim, nowMs: number, skewMs: number): void {
  // oxlint-disable-next-line no-restricted-globals -- reads a text, not the time
  const ms = Date.parse(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (Number.isNaN(ms)) throw new S3Error("AccessDenied", "The date of the request is none.");
  if (date.slice(0, 8) !== scope.day) throw new S3Error("SignatureDoesNotMatch", "The credential's date is not that of the request.");
  if (expiresSec === undefined && Math.abs(nowMs - ms) > skewMs) throw new S3Error("RequestTimeTooSkewed");
  if (expiresSec === undefined) return;
  if (ms - nowMs > skewMs) throw new S3Error("AccessDenied", "The request is not yet valid.");
  if (nowMs > ms + expiresSec * 1000) throw new S3Error("AccessDenied", "Request has expired");
}

/** What is not signed could have been added by anybody on the way. */
function checkSigned(request: S3Request, { signedHeaders }: Claim): void {
  const signed = new Set(signedHeaders);
  const unsigned = Object.keys(request.http.headers).filter((name) => name.startsWith("x-amz-") && !signed.has(name));
  if (!signed.has("host") || unsigned.length > 0)
    throw new S3Error(
      "AccessDenied",
      `There were headers present in the request which were not signed: ${["host", ...unsigned].filter((name) => !signed.has(name)).join(", ")}`,
    );
}

function queryOf({ query }: S3Request): string {
  return query.pairs
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${escapeBytes(name)}=${escapeBytes(value)}`)
    .toSorted(byName)
    .join("&");
}

/** By name, then by value, as bytes. */
function byName(a: string, b: string): number {
  const [[nameA = "", valueA = ""], [nameB = "", valueB = ""]] = [a.split("="), b.split("=")];
  return nameA < nameB || (nameA === nameB && valueA < valueB) ? -1 : 1;
}
