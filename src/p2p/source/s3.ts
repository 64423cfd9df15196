import type { GetObjectCommandOutput, HeadObjectCommandOutput, ListObjectsV2CommandOutput, S3Client } from "@aws-sdk/client-s3";
import { Readable } from "node:stream";
import { AnaxError } from "../../base/errors.ts";
import { formatHttpDate } from "../../base/http-date.ts";
import { formatRange, type ByteRange } from "../../wire/http/range.ts";
import { SigningKeys } from "../../wire/http/signature-v4.ts";
import { BodyChunks } from "./body.ts";
import { lengthsOf, shownUrl, statusError, type ReplyHead } from "./failures.ts";
import { S3Clients, storageOf, type S3Parts } from "./s3-client.ts";
import { getObject } from "./s3-get.ts";
import type { Source, SourceBody, SourceEntry, SourceRequest, SourceStat } from "./types.ts";

/** `s3://bucket/key` (percent-encoded; `?versionId=` selects a version) of Amazon S3 and what speaks its interface. */
export function createS3Source(parts: S3Parts): Source {
  const s3: S3 = { parts, clients: new S3Clients(parts), keys: new SigningKeys(), refusing: new Set() };
  return {
    schemes: ["s3"],
    stat: (request) => stat(s3, request),
    read: (request) => read(s3, request),
    list: (request) => list(s3, request),
  };
}

interface S3 {
  readonly parts: S3Parts;
  readonly clients: S3Clients;
  readonly keys: SigningKeys;
  /** Endpoints with buckets that take what the library asks and not what we do: another region, say. */
  readonly refusing: Set<string>;
}

const REFUSING_MAX = 1000;

/** What a URL names. A key that is empty or ends with a slash is a directory, as in every S3 browser. */
interface Place {
  readonly bucket: string;
  readonly key: string;
  readonly versionId: string | undefined;
}

async function stat(s3: S3, request: SourceRequest): Promise<SourceStat> {
  const place = parseS3Url(request.url);
  if (isDirectory(place)) return statDirectory(s3, request, place);
  const { HeadObjectCommand } = await import("@aws-sdk/client-s3");
  const reply = await send(s3, request, (client, options) => client.send(new HeadObjectCommand(objectOf(place)), options));
  return {
    contentLength: reply.ContentLength,
    acceptsRanges: reply.AcceptRanges !== "none",
    isDirectory: false,
    responseHeader: headersOf(reply),
  };
}

async function statDirectory(s3: S3, request: SourceRequest, place: Place): Promise<SourceStat> {
  const page = await listPage(s3, request, place, { MaxKeys: 1 });
  if ((page.KeyCount ?? 0) === 0)
    throw new AnaxError("source.not-found", { url: shownUrl(request.url), reason: "nothing lies below this prefix" });
  return { contentLength: undefined, acceptsRanges: false, isDirectory: true, responseHeader: {} };
}

async function read(s3: S3, request: SourceRequest & { readonly range?: ByteRange | undefined }): Promise<SourceBody> {
  const place = parseS3Url(request.url);
  if (isDirectory(place)) throw new AnaxError("source.refused", { url: shownUrl(request.url), reason: "a directory has no content" });
  const { range } = request;
  const storage = storageOf(s3.parts.config, request.objectStorage ?? {});
  const service = JSON.stringify([storage.endpoint, storage.region, storage.accessKeyId, place.bucket]);
  const asks = place.versionId === undefined && !s3.refusing.has(service);
  const direct = asks ? await getObject(s3.parts, { ...place, range, storage, request, keys: s3.keys }) : undefined;
  if (direct !== undefined) return bodyOf(s3, request, { ...direct, headers: namedOf(direct.headers) });
  const { GetObjectCommand } = await import("@aws-sdk/client-s3");
  const reply = await send(s3, request, (client, options) =>
    client.send(new GetObjectCommand({ ...objectOf(place), ...(range !== undefined && { Range: formatRange(range) }) }), options),
  );
  const body = reply.Body;
  if (asks && s3.refusing.size < REFUSING_MAX) s3.refusing.add(service);
  if (!(body instanceof Readable)) throw new AnaxError("internal", { reason: "the S3 library gave no stream" });
  return bodyOf(s3, request, { status: reply.$metadata.httpStatusCode ?? 200, headers: headersOf(reply), body });
}

function bodyOf(
  s3: S3,
  request: SourceRequest & { readonly range?: ByteRange | undefined },
  { status, headers: responseHeader, body }: ReplyHead & { readonly body: Readable },
): SourceBody {
  try {
    const { contentLength, totalLength } = lengthsOf(request.url, request.range, { status, headers: responseHeader });
    const { clock, config, onBytes } = s3.parts;
    const watched = { clock, idleTimeoutMs: config.idleTimeoutMs, onBytes, signal: request.signal };
    const chunks = new BodyChunks(body, { ...watched, url: request.url, expectedBytes: contentLength });
    return { contentLength, totalLength, responseHeader, chunks };
  } catch (thrown) {
    body.destroy();
    throw thrown;
  }
}

async function list(s3: S3, request: SourceRequest): Promise<readonly SourceEntry[]> {
  const place = parseS3Url(request.url);
  const { listEntriesMax } = s3.parts.config;
  const entries: SourceEntry[] = [];
  let token: string | undefined;
  for (let pages = 0; pages < PAGES_MAX; pages++) {
    const page = await listPage(s3, request, place, token === undefined ? {} : { ContinuationToken: token });
    entries.push(...entriesOf(page, place));
    if (entries.length > listEntriesMax) throw new AnaxError("limit.exceeded", { url: shownUrl(request.url), listEntriesMax });
    token = page.NextContinuationToken;
    if (page.IsTruncated !== true || token === undefined) return entries;
  }
  throw new AnaxError("limit.exceeded", { url: shownUrl(request.url), pagesMax: PAGES_MAX });
}

/** A server that keeps sending pages, even empty ones, must not keep us for ever. */
const PAGES_MAX = 20_000;

async function listPage(
  s3: S3,
  request: SourceRequest,
  place: Place,
  more: { readonly MaxKeys?: number; readonly ContinuationToken?: string },
) {
  const { ListObjectsV2Command } = await import("@aws-sdk/client-s3");
  const query = { Bucket: place.bucket, Prefix: prefixOf(place), Delimiter: "/", ...more };
  return send(s3, request, (client, options) => client.send(new ListObjectsV2Command(query), options));
}

function entriesOf(page: ListObjectsV2CommandOutput, place: Place): readonly SourceEntry[] {
  const directories = (page.CommonPrefixes ?? []).flatMap(({ Prefix: prefix }) =>
    prefix === undefined ? [] : [{ url: formatS3Url(place.bucket, prefix), contentLength: 0, isDirectory: true }],
  );
  const files = (page.Contents ?? []).flatMap(({ Key: key, Size: size }) =>
    // Some tools put an empty object in place of a directory.
    key === undefined || key.endsWith("/") ? [] : [{ url: formatS3Url(place.bucket, key), contentLength: size ?? 0, isDirectory: false }],
  );
  return [...directories, ...files];
}

/** Runs one call of the library; its errors become ours. */
async function send<T>(
  s3: S3,
  request: SourceRequest,
  call: (client: S3Client, options: { readonly abortSignal: AbortSignal }) => Promise<T>,
): Promise<T> {
  request.signal.throwIfAborted();
  const client = await s3.clients.for(request);
  try {
    return await call(client, { abortSignal: request.signal });
  } catch (thrown) {
    if (request.signal.aborted) throw request.signal.reason;
    throw s3Error(request.url, thrown);
  }
}

interface LibraryError extends Error {
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> };
}

function s3Error(url: string, thrown: unknown): unknown {
  if (thrown instanceof AnaxError || !(thrown instanceof Error)) return thrown;
  const { name, message, $metadata, $response } = thrown as LibraryError;
  const status = $metadata?.httpStatusCode;
  const reason = [name, message].filter((text) => text !== "" && !text.startsWith("Unknown")).join(": ") || undefined; // HEAD brings no text
  if (status === undefined) {
    const code = name.startsWith("Credentials") ? "source.unauthorized" : "source.refused";
    return new AnaxError(code, { url: shownUrl(url), reason }, { cause: thrown });
  }
  const { code, details } = statusError(url, { status, headers: $response?.headers ?? {} });
  return new AnaxError(code, { ...details, reason }, { cause: thrown });
}

/** Headers that say what content is; the others are about the reply. */
const CONTENT_HEADERS = [
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-range",
  "content-type",
  "etag",
  "last-modified",
  "x-amz-version-id",
] as const;

function namedOf(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(CONTENT_HEADERS.flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])));
}

function headersOf(reply: HeadObjectCommandOutput | GetObjectCommandOutput): Readonly<Record<string, string>> {
  const headers: Record<(typeof CONTENT_HEADERS)[number], string | undefined> = {
    "cache-control": reply.CacheControl,
    "content-disposition": reply.ContentDisposition,
    "content-encoding": reply.ContentEncoding,
    "content-language": reply.ContentLanguage,
    "content-length": reply.ContentLength?.toString(),
    "content-range": "ContentRange" in reply ? reply.ContentRange : undefined,
    "content-type": reply.ContentType,
    etag: reply.ETag,
    "last-modified": reply.LastModified === undefined ? undefined : formatHttpDate(reply.LastModified.getTime()),
    "x-amz-version-id": reply.VersionId,
  };
  return Object.fromEntries(Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

const isDirectory = (place: Place): boolean => place.key === "" || place.key.endsWith("/");

const prefixOf = (place: Place): string => (isDirectory(place) ? place.key : `${place.key}/`);

const objectOf = ({ bucket, key, versionId }: Place) => ({
  Bucket: bucket,
  Key: key,
  ...(versionId !== undefined && { VersionId: versionId }),
});

/** Not with `URL`, which would fold `..` inside of keys. Throws `input.invalid`. */
export function parseS3Url(text: string): Place {
  const match = /^s3:\/\/([A-Za-z0-9][A-Za-z0-9._-]{0,254})(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text);
  if (match === null) throw new AnaxError("input.invalid", { reason: "S3 URLs look like s3://bucket/key" });
  const [, bucket = "", encodedKey = "", query = ""] = match;
  try {
    return { bucket, key: decodeURIComponent(encodedKey), versionId: new URLSearchParams(query).get("versionId") ?? undefined };
  } catch (thrown) {
    throw new AnaxError("input.invalid", { reason: "the key is not percent-encoded UTF-8" }, { cause: thrown });
  }
}

const formatS3Url = (bucket: string, key: string): string => `s3://${bucket}/${key.split("/").map(encodeURIComponent).join("/")}`;
