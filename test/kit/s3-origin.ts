import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { startOrigin, type Fault, type Origin, type OriginContent } from "./origin.ts";

export interface S3OriginOptions {
  /** Bucket to key to content. */
  readonly buckets: Readonly<Record<string, Readonly<Record<string, OriginContent>>>>;
  /** Without it, everybody may read. */
  readonly credentials?: S3Credentials;
  /** Path (`/bucket/key`) to fault. */
  readonly faults?: Readonly<Record<string, Fault>>;
  /** Entries per page of a listing, at most. */
  readonly pageEntriesMax?: number;
}

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  readonly sessionToken?: string;
}

export interface S3Origin extends AsyncDisposable {
  readonly endpoint: string;
  /** For its counters and faults; paths are `/bucket/key`. */
  readonly origin: Origin;
  put(bucket: string, key: string, content: OriginContent): void;
}

/**
 * The reading part of the S3 interface, path-style: HeadObject, GetObject with Range, ListObjectsV2 with prefix, delimiter and pages, error
 * documents, and Signature Version 4 verified in full. It stands in for a real server: none that is light enough can be had as a package.
 */
export async function startS3Origin(options: S3OriginOptions): Promise<S3Origin> {
  const buckets = new Map(Object.entries(options.buckets).map(([bucket, keys]) => [bucket, { ...keys }]));
  const objects = Object.entries(options.buckets).flatMap(([bucket, keys]) =>
    Object.entries(keys).map(([key, content]) => [`/${bucket}/${key}`, content] as const),
  );
  const origin = await startOrigin({
    content: Object.fromEntries(objects),
    ...(options.faults !== undefined && { faults: options.faults }),
    intercept: (request, response, path) => intercept({ ...options, buckets }, request, response, path),
    errorText: (status, path) => errorText(CODES[status] ?? "InternalError", path),
  });
  return {
    endpoint: origin.url(""),
    origin,
    put(bucket, key, content) {
      buckets.set(bucket, { ...buckets.get(bucket), [key]: content });
      origin.put(`/${bucket}/${key}`, content);
    },
    [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose](),
  };
}

const CODES: Readonly<Record<number, string>> = { 403: "AccessDenied", 404: "NoSuchKey", 416: "InvalidRange", 503: "SlowDown" };

type Buckets = ReadonlyMap<string, Readonly<Record<string, OriginContent>>>;

interface Service extends Omit<S3OriginOptions, "buckets"> {
  readonly buckets: Buckets;
}

function intercept(options: Service, request: IncomingMessage, response: ServerResponse, path: string): boolean {
  const problem = options.credentials === undefined ? undefined : signatureProblem(options.credentials, request);
  if (problem !== undefined) return answer(response, 403, errorText(problem, path));
  const [bucket = "", ...rest] = path.slice(1).split("/");
  const keys = options.buckets.get(bucket);
  if (keys === undefined) return answer(response, 404, errorText("NoSuchBucket", path));
  const { searchParams } = new URL(request.url ?? "/", "http://s3");
  if (rest.join("/") !== "" || searchParams.get("list-type") !== "2") return false;
  return answer(response, 200, listing(bucket, keys, { query: searchParams, pageEntriesMax: options.pageEntriesMax ?? 1000 }));
}

function answer(response: ServerResponse, status: number, text: string): true {
  response.writeHead(status, { "content-type": "application/xml", "content-length": Buffer.byteLength(text) });
  response.end(response.req.method === "HEAD" ? undefined : text);
  return true;
}

const sizeOf = (content: OriginContent): number =>
  typeof content === "object" && "seed" in content ? content.bytes : Buffer.byteLength(content);

export function listing(
  bucket: string,
  keys: Readonly<Record<string, OriginContent>>,
  { query, pageEntriesMax }: { readonly query: URLSearchParams; readonly pageEntriesMax: number },
): string {
  const prefix = query.get("prefix") ?? "";
  const delimiter = query.get("delimiter") ?? "";
  const after = Buffer.from(query.get("continuation-token") ?? "", "base64url").toString();
  const entriesMax = Math.min(pageEntriesMax, Number(query.get("max-keys") ?? 1000));
  const found = new Map<string, OriginContent | undefined>(); // undefined: a common prefix
  for (const key of Object.keys(keys).toSorted()) {
    if (!key.startsWith(prefix)) continue;
    const cut = delimiter === "" ? -1 : key.indexOf(delimiter, prefix.length);
    if (cut === -1) found.set(key, keys[key]);
    else found.set(key.slice(0, cut + delimiter.length), undefined);
  }
  const left = [...found.keys()].filter((name) => after === "" || name > after);
  const page = left.slice(0, entriesMax);
  const truncated = page.length < left.length;
  const token = truncated ? tag("NextContinuationToken", Buffer.from(page.at(-1) ?? "").toString("base64url")) : "";
  const entries = page.map((name) => {
    const content = found.get(name);
    if (content === undefined) return `<CommonPrefixes>${tag("Prefix", name)}</CommonPrefixes>`;
    return `<Contents>${tag("Key", name)}<LastModified>2023-11-14T22:13:20.000Z</LastModified>${tag("Size", String(sizeOf(content)))}</Contents>`;
  });
  const head = `${tag("Name", bucket)}${tag("Prefix", prefix)}${tag("KeyCount", String(page.length))}${tag("MaxKeys", String(entriesMax))}`;
  return document("ListBucketResult", `${head}${tag("IsTruncated", String(truncated))}${token}${entries.join("")}`);
}

export const errorText = (code: string, path: string): string =>
  document("Error", `${tag("Code", code)}${tag("Message", `refused: ${code}`)}${tag("Resource", path)}`);

const document = (name: string, inner: string): string => `<?xml version="1.0" encoding="UTF-8"?>\n<${name}>${inner}</${name}>`;

const tag = (name: string, text: string): string =>
  `<${name}>${text.replaceAll(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`)}</${name}>`;

/** AWS Signature Version 4, from the `Authorization` field or the query. The error code that S3 gives, or undefined when the signature is right. */
export function signatureProblem(credentials: S3Credentials, request: IncomingMessage): string | undefined {
  const { searchParams: query } = new URL(request.url ?? "/", "http://s3");
  const signed = query.get("X-Amz-Signature");
  const field =
    signed === null
      ? (request.headers.authorization ?? "")
      : `${query.get("X-Amz-Algorithm")} Credential=${query.get("X-Amz-Credential")}, SignedHeaders=${query.get("X-Amz-SignedHeaders")}, Signature=${signed}`;
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8}\/([^/]+)\/s3\/aws4_request), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/.exec(
      field,
    );
  if (match === null) return "AccessDenied";
  const [, accessKeyId, scope = "", , signedHeaders = "", signature = ""] = match;
  if (accessKeyId !== credentials.accessKeyId) return "InvalidAccessKeyId";
  const token = signed === null ? request.headers["x-amz-security-token"] : (query.get("X-Amz-Security-Token") ?? undefined);
  if (token !== credentials.sessionToken) return "InvalidToken";
  if (!signedHeaders.split(";").includes("host")) return "AccessDenied";
  const timestamp = String(request.headers["x-amz-date"] ?? query.get("X-Amz-Date"));
  const toSign = ["AWS4-HMAC-SHA256", timestamp, scope, sha256(canonicalRequest(request, signedHeaders))].join("\n");
  const key = scope.split("/").reduce<Buffer>((secret, part) => hmac(secret, part), Buffer.from(`AWS4${credentials.accessKeySecret}`));
  const fits = timingSafeEqual(hmac(key, toSign), Buffer.from(signature, "hex"));
  return fits ? undefined : "SignatureDoesNotMatch";
}

function canonicalRequest(request: IncomingMessage, signedHeaders: string): string {
  const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
  const parameters = query
    .split("&")
    .filter((part) => part !== "" && !part.startsWith("X-Amz-Signature="))
    .map((part) => (part.includes("=") ? part : `${part}=`))
    .toSorted();
  const headers = signedHeaders.split(";").map(
    (name) =>
      `${name}:${String(request.headers[name] ?? "")
        .trim()
        .replaceAll(/ +/g, " ")}\n`,
  );
  const payload = String(request.headers["x-amz-content-sha256"] ?? "UNSIGNED-PAYLOAD"); // of an address that is signed itself
  return [request.method, path, parameters.join("&"), headers.join(""), signedHeaders, payload].join("\n");
}

const hmac = (key: Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
