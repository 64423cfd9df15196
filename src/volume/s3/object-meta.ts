import { createHash } from "node:crypto";
import { z } from "zod";
import type { Attributes, VolumeVerbs } from "../meta/verbs.ts";
import { CHECKSUM_NAMES } from "./checksum.ts";
import { mustBeDone } from "./s3-error.ts";
import { TAGS_MAX } from "./tags.ts";

/** Extended attribute of files and folders with what S3 knows of them: JSON. */
const ATTRIBUTE = "user.anax.s3";

/** What a header may hold, one character for each byte. */
// oxlint-disable-next-line no-control-regex
export const FIELD = /^[\t\u0020-\u007e\u0080-\u00ff]*$/;
const PARTS_MAX = 10_000;
const count = z.int().min(0);
const field = z.string().max(8192).regex(FIELD);
const fields = z.record(z.string().regex(/^[!-~]{1,256}$/), field);

const ContentMarkForm = z.object({
  size: count,
  mtimeSec: z.int(),
  mtimeNsec: count,
  /** Without quotes. */
  etag: z.string().regex(/^[0-9a-f]{32}(-\d{1,5})?$/),
  checksum: z
    .object({ name: z.enum(CHECKSUM_NAMES), value: field, type: z.enum(["FULL_OBJECT", "COMPOSITE"]) })
    .readonly()
    .optional(),
  /** Of a multipart upload: how many parts of which size, in order. */
  parts: z
    .array(z.tuple([z.int().min(1).max(PARTS_MAX), count]).readonly())
    .max(PARTS_MAX)
    .refine((parts) => parts.reduce((sum, [of]) => sum + of, 0) <= PARTS_MAX)
    .readonly()
    .optional(),
});

export const ObjectMetaForm = z.object({
  content: ContentMarkForm.readonly().optional(),
  /** Content-Type and the like, by lower-case names. */
  headers: fields.readonly().optional(),
  /** `x-amz-meta-…`, without that. */
  user: fields.readonly().optional(),
  tags: z
    .array(z.tuple([z.string(), z.string()]).readonly())
    .max(TAGS_MAX)
    .readonly()
    .optional(),
  /** Of folders: made for what is in it, and gone with it; or put as an object itself. */
  folder: z.enum(["implied", "object"]).optional(),
  version: z
    .object({ id: z.string().regex(/^[!-~]{1,128}$/), createdMs: count, deleteMarker: z.boolean().optional() })
    .readonly()
    .optional(),
  /** Of the root: what happens to what is replaced. */
  versioning: z.enum(["Enabled", "Suspended"]).optional(),
});

/** What content an ETag and checksums were computed of. A write through a mount changes the time, and they are not believed any more. */
export type ContentMark = Readonly<z.infer<typeof ContentMarkForm>>;
export type ObjectMeta = Readonly<z.infer<typeof ObjectMetaForm>>;

const NOTHING: ObjectMeta = {};
/** MD5 of nothing. */
const EMPTY_ETAG = createHash("md5").digest("hex");

export const readMeta = async (verbs: VolumeVerbs, ino: number): Promise<ObjectMeta> =>
  (await readNote(verbs, ino, { name: ATTRIBUTE, form: ObjectMetaForm })) ?? NOTHING;

/** Throws S3Error: `MetadataTooLarge`, `QuotaExceeded`, `AccessDenied`. */
export const writeMeta = (verbs: VolumeVerbs, ino: number, meta: ObjectMeta): Promise<void> =>
  writeNote(verbs, ino, { name: ATTRIBUTE, value: meta });

/** JSON in an extended attribute; undefined where there is none, and where a mount has made something else of it. */
export async function readNote<T extends z.ZodType>(
  verbs: VolumeVerbs,
  ino: number,
  { name, form }: { readonly name: string; readonly form: T },
): Promise<z.infer<T> | undefined> {
  const value = await verbs.getxattr(ino, name);
  if (typeof value === "number") return undefined;
  try {
    return form.safeParse(JSON.parse(Buffer.from(value).toString())).data;
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
