import { randomBytes } from "node:crypto";
import { z } from "zod";
import { failed } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import { CHECKSUM_NAMES } from "./checksum.ts";
import { contentOf, ObjectMetaForm, readMeta, readNote, writeNote, type ContentMark } from "./object-meta.ts";
import { mustBeDone, S3Error, valueOf } from "./s3-error.ts";

/** Parts of an object of S3. */
export const PARTS_MAX = 10_000;
/** That are looked at to be listed. */
const UPLOADS_MAX = 10_000;
const PAGE = 1024;
const NOTE = "user.anax.s3.upload";

const UploadForm = z.object({
  /** Bytes, one character each. */
  key: z.string().max(1024),
  startedMs: z.int().min(0),
  meta: ObjectMetaForm.pick({ headers: true, user: true, tags: true }).readonly(),
  checksum: z
    .object({ name: z.enum(CHECKSUM_NAMES), type: z.enum(["FULL_OBJECT", "COMPOSITE"]) })
    .readonly()
    .optional(),
});

/** What is known of an upload from its beginning. */
export type UploadNote = Readonly<z.infer<typeof UploadForm>>;

export interface Upload extends UploadNote {
  readonly id: string;
  /** Of its folder. */
  readonly ino: number;
}

export interface Part {
  readonly number: number;
  readonly ino: number;
  readonly size: number;
  readonly modifiedSec: number;
  readonly content: ContentMark;
}

/** A folder of the gateway's own for each upload, with a file for each part. */
export async function beginUpload(bucket: Bucket, note: UploadNote): Promise<string> {
  const { verbs } = bucket;
  const id = randomBytes(16).toString("base64url");
  const { ino } = valueOf(
    await verbs.create(await bucket.workFolder("uploads"), id, { kind: "directory", permissions: 0o700, uid: 0, gid: 0 }),
  );
  await writeNote(verbs, ino, { name: NOTE, value: note });
  return id;
}

/** Throws `NoSuchUpload`: also for one of another key. */
export async function findUpload(bucket: Bucket, id: string, key: string): Promise<Upload> {
  const folder = /^[A-Za-z0-9_-]{22}$/.test(id) ? await bucket.findWorkFolder("uploads") : undefined;
  const found = folder === undefined ? undefined : await bucket.verbs.lookup(folder, id);
  const note = found === undefined || failed(found) ? undefined : await readNote(bucket.verbs, found.ino, { name: NOTE, form: UploadForm });
  if (note?.key !== key || found === undefined || failed(found)) throw new S3Error("NoSuchUpload");
  return { ...note, id, ino: found.ino };
}

/** In the order of their keys, and of their beginning. */
export async function listUploads(bucket: Bucket): Promise<readonly Upload[]> {
  const folder = await bucket.findWorkFolder("uploads");
  if (folder === undefined) return [];
  const uploads: Upload[] = [];
  for (const { name, ino } of await entriesOf(bucket, folder, UPLOADS_MAX)) {
    const note = await readNote(bucket.verbs, ino, { name: NOTE, form: UploadForm });
    if (note !== undefined) uploads.push({ ...note, id: name, ino });
  }
  return uploads.toSorted((a, b) => (a.key === b.key ? a.startedMs - b.startedMs : a.key < b.key ? -1 : 1));
}

/** In the order of their numbers. */
export async function partsOf(bucket: Bucket, { ino }: Pick<Upload, "ino">): Promise<readonly Part[]> {
  const parts: Part[] = [];
  for (const { name, ino: part } of await entriesOf(bucket, ino, PARTS_MAX)) {
    const attributes = await bucket.verbs.getattr(part);
    const content = failed(attributes) ? undefined : contentOf(await readMeta(bucket.verbs, part), attributes);
    if (content !== undefined && !failed(attributes))
      parts.push({ number: Number(name), ino: part, size: attributes.size, modifiedSec: attributes.mtimeSec, content });
  }
  return parts.toSorted((a, b) => a.number - b.number);
}

export const partNameOf = (number: number): string => String(number).padStart(5, "0");

/** Removes a part that is to be replaced, or not needed any more: without content, so that the trash keeps none. */
export async function removePart({ verbs }: Bucket, upload: Pick<Upload, "ino">, name: string): Promise<void> {
  const found = await verbs.lookup(upload.ino, name);
  if (failed(found)) return;
  valueOf(await verbs.setattr(found.ino, { size: 0 }));
  mustBeDone(await verbs.unlink(upload.ino, name));
}

export async function removeUpload(bucket: Bucket, upload: Upload): Promise<void> {
  for (const { name } of await entriesOf(bucket, upload.ino, PARTS_MAX)) await removePart(bucket, upload, name);
  mustBeDone(await bucket.verbs.rmdir(await bucket.workFolder("uploads"), upload.id));
}

async function entriesOf(
  { verbs }: Bucket,
  ino: number,
  countMax: number,
): Promise<readonly { readonly name: string; readonly ino: number }[]> {
  const entries: { readonly name: string; readonly ino: number }[] = [];
  for (let cookie = 0; entries.length < countMax;) {
    const page = await verbs.readdir(ino, cookie, PAGE, false);
    if (failed(page)) break;
    entries.push(...page);
    if (page.length < PAGE) break;
    cookie = page.at(-1)!.cookie; // it is full
  }
  return entries;
}
