import { createHash } from "node:crypto";
import type { Attributes, VolumeVerbs } from "../meta/verbs.ts";
import type { ChecksumName } from "./checksum.ts";
import { mustBeDone } from "./s3-error.ts";

/** Extended attribute of files and folders with what S3 knows of them: JSON. */
const ATTRIBUTE = "user.anax.s3";

/** What content an ETag and checksums were computed of. A write through a mount changes the time, and they are not believed any more. */
export interface ContentMark {
  readonly size: number;
  readonly mtimeSec: number;
  readonly mtimeNsec: number;
  /** Without quotes. */
  readonly etag: string;
  readonly checksum?: { readonly name: ChecksumName; readonly value: string; readonly type: "FULL_OBJECT" | "COMPOSITE" };
  /** Of a multipart upload: how many parts of which size, in order. */
  readonly parts?: readonly (readonly [count: number, bytes: number])[];
}

export interface ObjectMeta {
  readonly content?: ContentMark;
  /** Content-Type and the like, by lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** `x-amz-meta-…`, without that. */
  readonly user?: Readonly<Record<string, string>>;
  readonly tags?: readonly (readonly [key: string, value: string])[];
  /** Of folders: made for what is in it, and gone with it; or put as an object itself. */
  readonly folder?: "implied" | "object";
  readonly version?: { readonly id: string; readonly createdMs: number; readonly deleteMarker?: boolean };
  /** Of the root: what happens to what is replaced. */
  readonly versioning?: "Enabled" | "Suspended";
}

const NOTHING: ObjectMeta = {};
/** MD5 of nothing. */
const EMPTY_ETAG = createHash("md5").digest("hex");

export const readMeta = async (verbs: VolumeVerbs, ino: number): Promise<ObjectMeta> =>
  (await readNote<ObjectMeta>(verbs, ino, ATTRIBUTE)) ?? NOTHING;

/** Throws S3Error: `MetadataTooLarge`, `QuotaExceeded`, `AccessDenied`. */
export const writeMeta = (verbs: VolumeVerbs, ino: number, meta: ObjectMeta): Promise<void> =>
  writeNote(verbs, ino, { name: ATTRIBUTE, value: meta });

/** JSON in an extended attribute; undefined where there is none. */
export async function readNote<T extends object>(verbs: VolumeVerbs, ino: number, name: string): Promise<T | undefined> {
  const value = await verbs.getxattr(ino, name);
  if (typeof value === "number") return undefined;
  try {
    return JSON.parse(Buffer.from(value).toString()) as T; // only the gateway writes it, and what a user made of it through a mount is theirs
  } catch {
    return undefined;
  }
}

/** Throws S3Error. */
export async function writeNote(
  verbs: VolumeVerbs,
  ino: number,
  { name, value }: { readonly name: string; readonly value: object },
): Promise<void> {
  mustBeDone(await verbs.setxattr(ino, name, Buffer.from(JSON.stringify(value)), 0));
}

/** What was computed of exactly this content. */
export function contentOf(meta: ObjectMeta, { size, mtimeSec, mtimeNsec }: Attributes): ContentMark | undefined {
  const { content } = meta;
  return content?.size === size && content.mtimeSec === mtimeSec && content.mtimeNsec === mtimeNsec ? content : undefined;
}

/** With quotes. Of what a mount wrote: one that changes with the file, and that by its hyphen is no MD5. */
export function etagOf(meta: ObjectMeta, attributes: Attributes): string {
  const { ino, size, mtimeSec, mtimeNsec } = attributes;
  const content = contentOf(meta, attributes);
  if (content !== undefined) return `"${content.etag}"`;
  if (size === 0) return `"${EMPTY_ETAG}"`;
  return `"${createHash("md5").update(`${ino} ${size} ${mtimeSec} ${mtimeNsec}`).digest("hex")}-0"`;
}
