import { constants } from "node:os";
import { failed, ROOT_INO, type Attributes, type VolumeVerbs } from "../meta/verbs.ts";
import { WORK_FOLDER, type KeyPath } from "./keys.ts";
import { readMeta, writeMeta } from "./object-meta.ts";
import { errnoError, mustBeDone, valueOf } from "./s3-error.ts";

const { EEXIST, ENOENT, ENOTDIR, ENOTEMPTY } = constants.errno;

/** A folder that goes while something is put into it is made again, so often. */
const RACES_MAX = 8;

/** Something that a key names, and where. */
export interface Found {
  readonly parent: number;
  readonly name: string;
  readonly attributes: Attributes;
}

/** The file of a key, or its folder. Undefined also where that is not what S3 shows: a link, a device, a folder for a key without a slash. */
export async function find(verbs: VolumeVerbs, path: KeyPath): Promise<Found | undefined> {
  const parent = await folderAt(verbs, path.folders);
  if (parent === undefined) return undefined;
  const attributes = await verbs.lookup(parent, path.name);
  if (failed(attributes)) {
    if (attributes !== ENOENT && attributes !== ENOTDIR) throw errnoError(attributes);
    return undefined;
  }
  const found = { parent, name: path.name, attributes };
  if (path.isFolder) return attributes.kind === "directory" && (await isFolderObject(verbs, attributes.ino)) ? found : undefined;
  return attributes.kind === "file" ? found : undefined;
}

/** The inode of a folder below the root, by its names. */
export async function folderAt(verbs: VolumeVerbs, names: readonly string[], root = ROOT_INO): Promise<number | undefined> {
  let ino = root;
  for (const name of names) {
    const found = await verbs.lookup(ino, name);
    if (failed(found)) {
      if (found !== ENOENT && found !== ENOTDIR) throw errnoError(found);
      return undefined;
    }
    if (found.kind !== "directory") return undefined;
    ({ ino } = found);
  }
  return ino;
}

/** Whether a folder is an object itself: it was put as one, or has nothing in it, and was not made for what was. */
export async function isFolderObject(verbs: VolumeVerbs, ino: number): Promise<boolean> {
  const { folder } = await readMeta(verbs, ino);
  return folder === "object" || (folder === undefined && (await isEmpty(verbs, ino)));
}

/** Apart from what is the gateway's own. */
export async function isEmpty(verbs: VolumeVerbs, ino: number): Promise<boolean> {
  const entries = await verbs.readdir(ino, 0, 2, false);
  if (failed(entries)) return true; // gone meanwhile
  return entries.every(({ name }) => ino === ROOT_INO && name === WORK_FOLDER);
}

/** The folder, made where it is not there; undefined when its parent has gone. Throws S3Error. */
async function makeFolder(verbs: VolumeVerbs, parent: number, name: string): Promise<number | undefined> {
  const found = await verbs.lookup(parent, name);
  if (!failed(found)) {
    if (found.kind !== "directory") throw errnoError(ENOTDIR);
    return found.ino;
  }
  if (found !== ENOENT) throw errnoError(found);
  const like = await verbs.getattr(parent);
  if (failed(like)) return undefined;
  const made = await verbs.create(parent, name, { kind: "directory", ...ownedLike(like, 0o7777) });
  if (made === ENOENT || made === EEXIST) return undefined;
  const { ino } = valueOf(made);
  await writeMeta(verbs, ino, { folder: "implied" });
  return ino;
}

/** What S3 makes belongs to whom its folder belongs, and may be read by whoever may read that. */
export const ownedLike = (
  { mode, uid, gid }: Attributes,
  mask: number,
): { readonly permissions: number; readonly uid: number; readonly gid: number } => ({ permissions: mode & mask, uid, gid });

/**
 * Puts something into a folder, which is made with those above it where they are not there, each to go again with the last that is in it. When `use` finds it gone,
 * again. Throws S3Error.
 */
export async function inFolder<T>(
  verbs: VolumeVerbs,
  names: readonly string[],
  use: (parent: number) => Promise<T | "gone">,
  root = ROOT_INO,
): Promise<T> {
  for (let attempt = 0; attempt < RACES_MAX; attempt++) {
    let parent: number | undefined = root;
    for (const name of names) if (parent !== undefined) parent = await makeFolder(verbs, parent, name);
    const done = parent === undefined ? "gone" : await use(parent);
    if (done !== "gone") return done;
  }
  throw errnoError(ENOENT);
}

/** Removes the folders that were made for what is not in them any more, from the last one on. */
export async function removeEmptyFolders(verbs: VolumeVerbs, names: readonly string[], root = ROOT_INO): Promise<void> {
  for (let depth = names.length; depth > 0; depth--) {
    const parent = await folderAt(verbs, names.slice(0, depth - 1), root);
    const name = names[depth - 1]!; // below the length
    const found = parent === undefined ? ENOENT : await verbs.lookup(parent, name);
    if (parent === undefined || failed(found) || found.kind !== "directory") return;
    if (!(await isEmpty(verbs, found.ino)) || (await readMeta(verbs, found.ino)).folder !== "implied") return;
    const outcome = await verbs.rmdir(parent, name);
    if (outcome === ENOTEMPTY || outcome === ENOENT) return;
    mustBeDone(outcome);
  }
}
