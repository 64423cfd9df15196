import { once } from "node:events";
import { formatContentRange, rangeOf, type ByteRange } from "../../wire/http/range.ts";
import type { Attributes } from "../meta/verbs.ts";
import { checkRead } from "./conditions.ts";
import { sendHead, type BucketExchange } from "./exchange.ts";
import { checksumHeaders, lastModifiedOf, objectHeaders } from "./headers.ts";
import { contentOf, etagOf, FIELD, type ObjectMeta } from "./object-meta.ts";
import { mustFindVersion } from "./versions.ts";
import { pathOfKey } from "./keys.ts";
import { headerOf, type S3Request } from "./request.ts";
import { mustBeDone, S3Error } from "./s3-error.ts";

/** Content that is read and handed over in one go; two of it are held for each request. */
const PIECE_BYTES = 256 * 1024;
/** What a query may say in place of the object's own headers. */
const OVERRIDES = ["content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding"] as const;

/** GetObject and HeadObject. */
export async function getObject(exchange: BucketExchange): Promise<void> {
  const { request, bucket } = exchange;
  const { attributes, meta } = await mustFindVersion(bucket, pathOfKey(request.key), request.query.get("versionId"));
  await sendObject(exchange, attributes, meta);
}

async function sendObject(exchange: BucketExchange, attributes: Attributes, meta: ObjectMeta): Promise<void> {
  const { request, bucket } = exchange;
  checkRead(request, meta, attributes);
  const size = attributes.kind === "directory" ? 0 : attributes.size;
  const part = partOf(request, meta, attributes);
  const range = part?.range ?? (ifRangeHolds(request, meta, attributes) ? rangeOf(headerOf(request, "range"), size) : null);
  if (range === "unsatisfiable") throw new S3Error("InvalidRange", undefined, { "content-range": formatContentRange(undefined, size) });
  const headers = {
    ...objectHeaders(meta, attributes),
    ...overridesOf(request),
    ...(range === null && checksumHeaders(request, meta, attributes)),
    ...(range !== null && { "content-range": formatContentRange(range, size) }),
    ...(part !== undefined && { "x-amz-mp-parts-count": String(part.count) }),
    "content-length": range?.length ?? size,
  };
  const status = range === null ? 200 : 206;
  if (request.method === "HEAD" || size === 0) {
    sendHead(exchange, status, headers);
    return void exchange.response.end();
  }
  mustBeDone(await bucket.files.open(attributes.ino)); // it stays there while it is sent, whoever removes it
  try {
    await sendContent(exchange, attributes.ino, {
      range: range ?? { start: 0, length: size },
      head: () => sendHead(exchange, status, headers),
    });
  } finally {
    await bucket.files.close(attributes.ino);
  }
}

/** The head goes out with the first bytes, so that content that cannot be read is still an error. */
async function sendContent(
  { bucket, response, metrics }: BucketExchange,
  ino: number,
  { range, head }: { readonly range: ByteRange; readonly head: () => void },
): Promise<void> {
  for (let done = 0; done < range.length;) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, range.length - done));
    const read = await bucket.files.read(ino, range.start + done, piece);
    if (read < 0) mustBeDone(-read);
    if (read === 0) throw new S3Error("InternalError", "The object became shorter while it was read.");
    if (done === 0) head();
    done += read;
    metrics.sentBytes.inc(read);
    if (response.destroyed) return;
    if (!response.write(read === piece.length ? piece : piece.subarray(0, read))) await drained(response);
  }
  response.end();
}

async function drained(response: BucketExchange["response"]): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race([once(response, "drain", { signal: over.signal }), once(response, "close", { signal: over.signal })]);
  } finally {
    over.abort();
  }
}

/** The bytes of one part of a multipart upload; an object of one part is that part. */
function partOf(
  request: S3Request,
  meta: ObjectMeta,
  attributes: Attributes,
): { readonly range: ByteRange | null; readonly count: number } | undefined {
  const text = request.query.get("partNumber");
  if (text === undefined) return undefined;
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number < 1) throw new S3Error("InvalidArgument", "partNumber is no number of a part.");
  const parts = (contentOf(meta, attributes)?.parts ?? [[1, attributes.size]]).flatMap(([count, bytes]) =>
    Array<number>(count).fill(bytes),
  );
  const length = parts[number - 1];
  if (length === undefined) throw new S3Error("InvalidRange");
  const start = parts.slice(0, number - 1).reduce((sum, bytes) => sum + bytes, 0);
  return { range: length === 0 ? null : { start, length }, count: parts.length };
}

/** A range of what the client has no part of is the whole (RFC 9110 §13.1.5). */
function ifRangeHolds(request: S3Request, meta: ObjectMeta, attributes: Attributes): boolean {
  const value = headerOf(request, "if-range");
  return value === undefined || value === etagOf(meta, attributes) || value === lastModifiedOf(attributes);
}

function overridesOf({ query }: S3Request): Readonly<Record<string, string>> {
  return Object.fromEntries(
    OVERRIDES.flatMap((name) => {
      const value = query.get(`response-${name}`);
      if (value === undefined) return [];
      if (!FIELD.test(value)) throw new S3Error("InvalidArgument", `response-${name} is no value of a header.`);
      return [[name, value]];
    }),
  );
}
