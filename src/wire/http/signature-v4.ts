import { createHash, createHmac } from "node:crypto";

// Signature Version 4 of Amazon S3: "Authenticating Requests (AWS Signature Version 4)" in its API Reference. For who signs and for who verifies.

export const ALGORITHM = "AWS4-HMAC-SHA256";
/** SHA-256 of nothing. */
export const EMPTY_SHA256 = createHash("sha256").digest("hex");

/** What a signing key is good for: a day as in `20260131`, a region, a service. */
export interface Scope {
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

export const scopeText = ({ day, region, service }: Scope): string => `${day}/${region}/${service}/aws4_request`;

export function signingKeyOf(secret: string, { day, region, service }: Scope): Buffer {
  let key: Buffer | string = `AWS4${secret}`;
  for (const part of [day, region, service, "aws4_request"]) key = createHmac("sha256", key).update(part).digest();
  return key as Buffer; // there were parts
}

const KEYS_MAX = 64;

/** Signing keys that were made before: four hashes for a key that holds for a day take longer than to sign with it. */
export class SigningKeys {
  readonly #keys = new Map<string, Buffer>();

  of(secret: string, scope: Scope): Buffer {
    const name = JSON.stringify([secret, scope.day, scope.region, scope.service]);
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    if (this.#keys.size >= KEYS_MAX) this.#keys.clear();
    const key = signingKeyOf(secret, scope);
    this.#keys.set(name, key);
    return key;
  }
}

export interface CanonicalParts {
  readonly method: string;
  /** Escaped, segment by segment. */
  readonly path: string;
  /** Escaped and sorted; empty without one. */
  readonly query: string;
  /** By lower-case names, in their order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Hexadecimal SHA-256 of the body, or what stands in its place. */
  readonly payload: string;
}

/** The request in the form that is signed; hex of its SHA-256. */
export function canonicalHash({ method, path, query, headers, payload }: CanonicalParts): string {
  const lines = headers.map(([name, value]) => `${name}:${value.trim().replaceAll(/ +/g, " ")}`);
  const names = headers.map(([name]) => name).join(";");
  // Header values are one character for each byte, as Node has them.
  return createHash("sha256")
    .update(Buffer.from([method, path, query, ...lines, "", names, payload].join("\n"), "latin1"))
    .digest("hex");
}

/** `date` as in `20260131T235959Z`. */
export const textToSign = (date: string, scope: Scope, hash: string): string => [ALGORITHM, date, scopeText(scope), hash].join("\n");

export const signatureOf = (key: Uint8Array, text: string): string => createHmac("sha256", key).update(text).digest("hex");

/** As the signature counts it: everything but the unreserved characters of RFC 3986. */
export const escape = (text: string): string =>
  encodeURIComponent(text).replaceAll(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);

/** The same of bytes, one character each (see `base/latin1`). */
export const escapeBytes = (bytes: string): string =>
  bytes.replaceAll(/[^A-Za-z0-9_.~-]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
