import type { ByteRange } from "../../wire/http/range.ts";
import type { Attributes } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import { checkSource } from "./conditions.ts";
import type { Source } from "./draft.ts";
import type { BucketExchange } from "./exchange.ts";
import { pathOfKey } from "./keys.ts";
import type { ObjectMeta } from "./object-meta.ts";
import { mustFindVersion } from "./versions.ts";
import { headerOf, Query, unescapeBytes } from "./request.ts";
import { mustBeDone, S3Error } from "./s3-error.ts";

/** What is copied, and stays there until it is. */
export interface CopySource extends Source {
  readonly name: string;
  readonly key: string;
  readonly attributes: Attributes;
  readonly meta: ObjectMeta;
  readonly versionId: string | undefined;
  /** Of `x-amz-copy-source-range`. */
  readonly range: ByteRange | undefined;
}

/** Opens what `x-amz-copy-source` names, which the caller must be allowed to read. Throws S3Error. */
export async function copySource(exchange: BucketExchange, use: (source: CopySource) => Promise<void>): Promise<void> {
  const { request, response, access, buckets, caller, config } = exchange;
  const [path = "", query = ""] = (headerOf(request, "x-amz-copy-source") ?? "").split("?");
  const [, name, key] = /^\/?([^/]+)\/(.+)$/s.exec(unescapeBytes(path)) ?? [];
  if (name === undefined || key === undefined) throw new S3Error("InvalidArgument", "x-amz-copy-source must be BUCKET/KEY.");
  const versionId = new Query(query).get("versionId");
  const within = (bucket: Bucket): Promise<void> => withSource(exchange, { bucket, name, key, versionId, use });
  response.socket?.setTimeout(0); // a copy takes as long as it takes, and says nothing meanwhile
  response.once("finish", () => response.socket?.setTimeout(config.idleMs));
  if (name === exchange.bucket.name) return within(exchange.bucket);
  await buckets.use(access.bucket(name, caller), within);
}

interface Wanted {
  readonly bucket: Bucket;
  readonly name: string;
  readonly key: string;
  readonly versionId: string | undefined;
  readonly use: (source: CopySource) => Promise<void>;
}

async function withSource({ request }: BucketExchange, { bucket, name, key, versionId, use }: Wanted): Promise<void> {
  const { attributes, meta } = await mustFindVersion(bucket, pathOfKey(key), versionId);
  const { ino } = attributes;
  checkSource(request, meta, attributes);
  const range = rangeOf(headerOf(request, "x-amz-copy-source-range"), attributes.size);
  const source = { bucket, ino, name, key, attributes, meta, range, versionId: meta.version?.id };
  if (attributes.kind === "directory") return use({ ...source, attributes: { ...attributes, size: 0 }, range: undefined });
  mustBeDone(await bucket.files.open(ino)); // whoever removes it meanwhile
  try {
    await use(source);
  } finally {
    await bucket.files.close(ino);
  }
}

function rangeOf(header: string | undefined, size: number): ByteRange | undefined {
  if (header === undefined) return undefined;
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(header);
  const [start, end] = [Number(match?.[1]), Number(match?.[2])];
  if (match === null || end < start || end >= size)
    throw new S3Error(
      "InvalidArgument",
      "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy",
    );
  return { start, length: end - start + 1 };
}
