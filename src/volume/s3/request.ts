import type { IncomingMessage } from "node:http";
import { escapeBytes } from "../../wire/http/signature-v4.ts";
import { S3Error } from "./s3-error.ts";

/** A request as S3 sees it. Bucket, key and query hold one character for each byte (see `base/latin1`), unescaped. */
export interface S3Request {
  readonly http: IncomingMessage;
  readonly method: string;
  /** Undefined: the service itself. */
  readonly bucket: string | undefined;
  /** Empty: the bucket itself. */
  readonly key: string;
  /** As it is signed. */
  readonly path: string;
  readonly query: Query;
}

/** Parameters in their order. */
export class Query {
  readonly pairs: readonly (readonly [name: string, value: string])[];

  constructor(text: string) {
    this.pairs = text
      .split("&")
      .filter((part) => part !== "")
      .map((part) => {
        const at = part.indexOf("=");
        return at < 0 ? [parameterOf(part), ""] : [parameterOf(part.slice(0, at)), parameterOf(part.slice(at + 1))];
      });
  }

  has(name: string): boolean {
    return this.pairs.some(([found]) => found === name);
  }

  get(name: string): string | undefined {
    return this.pairs.find(([found]) => found === name)?.[1];
  }
}

/** Throws `InvalidURI`, `InvalidBucketName`. With `domain`, a host below it is a bucket. */
export function parseRequest(http: IncomingMessage, domain: string | undefined): S3Request {
  const url = http.url ?? "/";
  if (!url.startsWith("/")) throw new S3Error("InvalidURI");
  const at = url.indexOf("?");
  const decoded = unescapeBytes(at < 0 ? url : url.slice(0, at));
  const query = new Query(at < 0 ? "" : url.slice(at + 1));
  const method = http.method ?? "GET";
  const path = decoded.split("/").map(escapeBytes).join("/");
  const hosted = hostBucketOf(http.headers.host, domain);
  if (hosted !== undefined) return { http, method, bucket: hosted, key: decoded.slice(1), path, query };
  const slash = decoded.indexOf("/", 1);
  const bucket = slash < 0 ? decoded.slice(1) : decoded.slice(1, slash);
  if (bucket === "" && decoded.length > 1) throw new S3Error("InvalidBucketName");
  return { http, method, bucket: bucket === "" ? undefined : bucket, key: slash < 0 ? "" : decoded.slice(slash + 1), path, query };
}

function hostBucketOf(host: string | undefined, domain: string | undefined): string | undefined {
  const name = host?.replace(/:\d+$/, "").toLowerCase();
  return domain !== undefined && name !== undefined && name.endsWith(`.${domain}`) ? name.slice(0, -domain.length - 1) : undefined;
}

/** One value of a header, however often it came. */
export function headerOf({ http }: Pick<S3Request, "http">, name: string): string | undefined {
  return http.headersDistinct[name]?.join(",");
}

const parameterOf = (text: string): string => unescapeBytes(text.replaceAll("+", " "));

/** Throws `InvalidURI` for what is no escape. */
export function unescapeBytes(text: string): string {
  return text.replaceAll(/%(.{0,2})/gs, (_, hex: string) => {
    if (!/^[0-9a-fA-F]{2}$/.test(hex)) throw new S3Error("InvalidURI");
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
}

/** Bytes, one character each, as text for people and XML. */
export const textOfBytes = (bytes: string): string => Buffer.from(bytes, "latin1").toString();
/** The other way round. */
export const bytesOfText = (text: string): string => Buffer.from(text).toString("latin1");
