import { constants } from "node:os";
import { ROOT_INO, type Attributes } from "../meta/verbs.ts";
import type { Bucket } from "./bucket.ts";
import type { ContentSeal, Draft } from "./draft.ts";
import { newPathOfKey, pathOfKey, WORK_FOLDER, type KeyPath } from "./keys.ts";
import { readMeta, writeMeta, type ObjectMeta } from "./object-meta.ts";
import { errnoError, mustBeDone, valueOf } from "./s3-error.ts";
import { find, inFolder, removeEmptyFolders, type Found } from "./tree.ts";
import { addDeleteMarker, keepVersion, newVersion } from "./versions.ts";

const { EEXIST, ENOENT, EROFS } = constants.errno;
const RENAME_NOREPLACE = 1;

/** Looks at what the key names now, and throws `PreconditionFailed` where that must not be replaced. */
export interface ReplaceRule {
  /** Nothing may be there. */
  readonly onlyNew: boolean;
  readonly check: (current: Found | undefined) => Promise<void>;
}

interface NewObject {
  readonly draft: Draft;
  /** What was computed of its content. */
  readonly seal: ContentSeal | undefined;
  readonly meta: Omit<ObjectMeta, "content" | "version">;
  readonly rule: ReplaceRule;
}

interface Stored {
  readonly attributes: Attributes;
  readonly versionId: string | undefined;
}

/** Makes a draft what the key names, at one moment. Lasting only after `bucket.durable`. Throws S3Error. */
export async function storeObject(bucket: Bucket, key: string, { draft, seal, meta, rule }: NewObject): Promise<Stored> {
  const { verbs } = bucket;
  const path = newPathOfKey(key);
  const { folders, name } = path;
  const version = await newVersion(bucket);
  const attributes = await draft.seal(seal, { ...meta, ...(version !== undefined && { version }) });
  try {
    await inFolder(verbs, folders, async (parent) => {
      const current = await find(verbs, path);
      await rule.check(current);
      if (version !== undefined) await keepVersion(bucket, path, { current, next: version });
      const outcome = await draft.moveTo(parent, name, rule.onlyNew ? RENAME_NOREPLACE : 0);
      if (outcome === ENOENT) return "gone";
      if (outcome === EEXIST) await rule.check(await find(verbs, path));
      mustBeDone(outcome);
      return undefined;
    });
  } catch (thrown) {
    await removeEmptyFolders(verbs, folders);
    throw thrown;
  }
  return { attributes, versionId: version?.id };
}

/** A key with a slash at its end: the folder itself, which then is an object although nothing is in it. Of folders no versions are kept. */
export async function putFolder({ verbs }: Bucket, { folders, name }: KeyPath, meta: Pick<ObjectMeta, "user">): Promise<Attributes> {
  return inFolder(verbs, [...folders, name], async (ino) => {
    await writeMeta(verbs, ino, { ...meta, folder: "object" });
    return valueOf(await verbs.getattr(ino));
  });
}

/** What is not there is no failure. The delete marker that is there now, where versions are kept. Lasting only after `bucket.durable`. */
export async function removeObject(bucket: Bucket, key: string): Promise<{ readonly markerId: string | undefined }> {
  const { verbs } = bucket;
  if ((await verbs.statfs()).readOnly) throw errnoError(EROFS);
  const path = pathOfKey(key);
  const found = path && (await find(verbs, path));
  const version = path?.isFolder === false ? await newVersion(bucket) : undefined;
  if (path === undefined || (found === undefined && version === undefined)) return { markerId: undefined };
  if (path.isFolder && found !== undefined) {
    // What is in it stays, and the folder with it.
    await writeMeta(verbs, found.attributes.ino, { ...(await readMeta(verbs, found.attributes.ino)), folder: "implied" });
    await removeEmptyFolders(verbs, [...path.folders, path.name]);
    return { markerId: undefined };
  }
  if (version !== undefined) {
    await keepVersion(bucket, path, { current: found, next: version });
    await addDeleteMarker(bucket, path, version);
  }
  const outcome = found === undefined ? ENOENT : await verbs.unlink(found.parent, found.name);
  if (outcome !== ENOENT) mustBeDone(outcome);
  await removeEmptyFolders(verbs, path.folders);
  return { markerId: version?.id };
}

/** Whether something is in the volume, apart from what is the gateway's own and empty. */
export async function holdsNothing(bucket: Bucket): Promise<boolean> {
  const { verbs } = bucket;
  const entries = valueOf(await verbs.readdir(ROOT_INO, 0, 2, false));
  if (entries.some(({ name }) => name !== WORK_FOLDER)) return false;
  for (const which of ["uploads", "versions"] as const) {
    const ino = await bucket.findWorkFolder(which);
    if (ino !== undefined && valueOf(await verbs.readdir(ino, 0, 1, false)).length > 0) return false;
  }
  return true;
}
