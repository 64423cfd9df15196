import { randomBytes } from "node:crypto";
import { constants } from "node:os";
import { failed, ROOT_INO } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import type { KeyPath } from "./keys.ts";
import { readMeta, writeMeta, type ObjectMeta } from "./object-meta.ts";
import { errnoError, mustBeDone, S3Error, valueOf } from "./s3-error.ts";
import { find, folderAt, inFolder, removeEmptyFolders, type Found } from "./tree.ts";

const { EEXIST, ENOENT, EXDEV } = constants.errno;

/** Of what was there before versions were kept, or while that was suspended. */
export const NULL_VERSION = "null";
/** Names of stored versions. They are files in a folder with the path of their key; folders in it belong to keys below. */
const STORED = ".anax-s3-v-";
const VERSIONS_MAX = 10_000;

type Version = NonNullable<ObjectMeta["version"]>;

/** One version of a key, wherever it lies. */
export interface FoundVersion extends Found {
  readonly id: string;
  readonly meta: ObjectMeta;
  readonly isCurrent: boolean;
}

export const versioningOf = async ({ verbs }: Bucket): Promise<ObjectMeta["versioning"]> => (await readMeta(verbs, ROOT_INO)).versioning;

export async function setVersioning({ verbs }: Bucket, versioning: "Enabled" | "Suspended"): Promise<void> {
  await writeMeta(verbs, ROOT_INO, { ...(await readMeta(verbs, ROOT_INO)), versioning });
}

/** What a new object, or a delete marker, is as a version; undefined where none are kept. */
export async function newVersion(bucket: Bucket): Promise<Version | undefined> {
  const versioning = await versioningOf(bucket);
  if (versioning === undefined) return undefined;
  const createdMs = bucket.clock.wallMs();
  if (versioning === "Suspended") return { id: NULL_VERSION, createdMs };
  return { id: `${createdMs.toString(36).padStart(9, "0")}${randomBytes(12).toString("hex")}`, createdMs };
}

/** Gives what is about to be replaced, or deleted, its place among the versions. */
export async function keepVersion(
  bucket: Bucket,
  path: KeyPath,
  { current, next }: { readonly current: Found | undefined; readonly next: Version },
): Promise<void> {
  const { verbs } = bucket;
  if (next.id === NULL_VERSION) await dropStored(bucket, path, NULL_VERSION);
  if (current === undefined) return;
  const id = idOf(await readMeta(verbs, current.attributes.ino));
  if (id === NULL_VERSION && next.id === NULL_VERSION) return;
  await inVersions(bucket, path, async (folder) => {
    const linked = await verbs.link(current.attributes.ino, folder, STORED + id);
    if (!failed(linked) || linked === EEXIST) return undefined;
    if (linked !== EXDEV) return linked === ENOENT ? "gone" : mustBeDone(linked);
    return mustBeDone(await verbs.rename(current.parent, current.name, folder, STORED + id, 0)); // out of a quota
  });
}

/** In place of a deleted object: nothing, with an id. */
export async function addDeleteMarker(bucket: Bucket, path: KeyPath, version: Version): Promise<void> {
  const { verbs } = bucket;
  await inVersions(bucket, path, async (folder) => {
    const made = await verbs.create(folder, STORED + version.id, { kind: "file", permissions: 0o600, uid: 0, gid: 0 });
    if (made === ENOENT) return "gone";
    await writeMeta(verbs, valueOf(made).ino, { version: { ...version, deleteMarker: true } });
    return undefined;
  });
}

/** From the newest on; the current one first. */
export async function versionsOf(bucket: Bucket, path: KeyPath): Promise<readonly FoundVersion[]> {
  const { verbs } = bucket;
  const current = await find(verbs, path);
  const versions: FoundVersion[] = [];
  if (current !== undefined) {
    const meta = await readMeta(verbs, current.attributes.ino);
    versions.push({ ...current, id: idOf(meta), meta, isCurrent: true });
  }
  const folder = path.isFolder ? undefined : await storedFolder(bucket, path);
  const entries = folder === undefined ? [] : await verbs.readdir(folder, 0, VERSIONS_MAX, true);
  if (folder === undefined || failed(entries)) return versions;
  const stored: FoundVersion[] = [];
  for (const { name, kind, ino, attributes } of entries) {
    // A crash may have left what is current with both of its names.
    if (kind !== "file" || !name.startsWith(STORED) || attributes === undefined || ino === current?.attributes.ino) continue;
    stored.push({ parent: folder, name, attributes, id: name.slice(STORED.length), meta: await readMeta(verbs, ino), isCurrent: false });
  }
  return [...versions, ...stored.toSorted((a, b) => createdMsOf(b) - createdMsOf(a) || (a.id < b.id ? 1 : -1))];
}

/** The version of this id, or the current one. Throws `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker. */
export async function mustFindVersion(bucket: Bucket, path: KeyPath | undefined, id: string | undefined): Promise<FoundVersion> {
  if (path === undefined) throw new S3Error(id === undefined ? "NoSuchKey" : "NoSuchVersion");
  const { verbs } = bucket;
  if (id === undefined) {
    const current = await find(verbs, path);
    if (current === undefined) throw new S3Error("NoSuchKey", undefined, await markerHeaders(bucket, path));
    const meta = await readMeta(verbs, current.attributes.ino);
    return { ...current, id: idOf(meta), meta, isCurrent: true };
  }
  const found = (await versionsOf(bucket, path)).find((version) => version.id === id);
  if (found === undefined) throw new S3Error("NoSuchVersion");
  if (found.meta.version?.deleteMarker === true)
    throw new S3Error("MethodNotAllowed", undefined, { "x-amz-delete-marker": "true", "x-amz-version-id": id, allow: "DELETE" });
  return found;
}

/** Removes one version for good; what was before the current one becomes current. Whether it was a delete marker; undefined: there is none of this id. */
export async function removeVersion(bucket: Bucket, path: KeyPath, id: string): Promise<{ readonly deleteMarker: boolean } | undefined> {
  const { verbs } = bucket;
  const found = (await versionsOf(bucket, path)).find((version) => version.id === id);
  if (found === undefined) return undefined;
  if (found.isCurrent) await dropStored(bucket, path, id);
  mustBeDone(await verbs.unlink(found.parent, found.name));
  const [newest] = await versionsOf(bucket, path);
  if (newest !== undefined && !newest.isCurrent && newest.meta.version?.deleteMarker !== true)
    await inFolder(verbs, path.folders, async (parent) => {
      const outcome = await verbs.rename(newest.parent, newest.name, parent, path.name, 0);
      return outcome === ENOENT ? "gone" : mustBeDone(outcome);
    });
  await removeEmptyFolders(verbs, path.folders);
  await forgetFolders(bucket, path);
  return { deleteMarker: found.meta.version?.deleteMarker === true };
}

const idOf = ({ version }: ObjectMeta): string => version?.id ?? NULL_VERSION;

export const createdMsOf = ({ meta, attributes }: Pick<FoundVersion, "meta" | "attributes">): number =>
  meta.version?.createdMs ?? attributes.mtimeSec * 1000 + Math.floor(attributes.mtimeNsec / 1e6);

async function markerHeaders(bucket: Bucket, path: KeyPath): Promise<Readonly<Record<string, string>>> {
  if ((await versioningOf(bucket)) === undefined) return {};
  const [newest] = await versionsOf(bucket, path);
  return newest?.meta.version?.deleteMarker === true ? { "x-amz-delete-marker": "true", "x-amz-version-id": newest.id } : {};
}

async function inVersions(
  bucket: Bucket,
  { folders, name }: KeyPath,
  use: (folder: number) => Promise<undefined | void | "gone">,
): Promise<void> {
  await inFolder(bucket.verbs, [...folders, name], use, await bucket.workFolder("versions"));
}

async function storedFolder(bucket: Bucket, { folders, name }: KeyPath): Promise<number | undefined> {
  const root = await bucket.findWorkFolder("versions");
  return root === undefined ? undefined : folderAt(bucket.verbs, [...folders, name], root);
}

async function dropStored(bucket: Bucket, path: KeyPath, id: string): Promise<void> {
  const folder = await storedFolder(bucket, path);
  if (folder === undefined) return;
  const outcome = await bucket.verbs.unlink(folder, STORED + id);
  if (outcome !== 0 && outcome !== ENOENT) throw errnoError(outcome);
  await forgetFolders(bucket, path);
}

async function forgetFolders(bucket: Bucket, { folders, name }: KeyPath): Promise<void> {
  const root = await bucket.findWorkFolder("versions");
  if (root !== undefined) await removeEmptyFolders(bucket.verbs, [...folders, name], root);
}
