import { NAME_BYTES_MAX } from "../meta/verbs.ts";
import { S3Error } from "./s3-error.ts";

/** Folder in the root of a volume with what the gateway has under way: no key reaches into it. */
export const WORK_FOLDER = ".anax-s3";
/** Longest key of S3, in bytes. */
export const KEY_BYTES_MAX = 1024;

/** A key as a path: the names of its folders and its own. */
export interface KeyPath {
  readonly folders: readonly string[];
  readonly name: string;
  /** The key ends with a slash: it means the folder itself. */
  readonly isFolder: boolean;
}

/** Undefined for keys that no file can have: empty parts, `.` and `..`, a NUL, too long a part, and what is the gateway's own. */
export function pathOfKey(key: string): KeyPath | undefined {
  const isFolder = key.endsWith("/");
  const names = (isFolder ? key.slice(0, -1) : key).split("/");
  const name = names.pop() ?? "";
  const good = [...names, name].every(
    (part) => part !== "" && part !== "." && part !== ".." && part.length <= NAME_BYTES_MAX && !part.includes("\0"),
  );
  if (!good || (names[0] ?? name) === WORK_FOLDER || key.length > KEY_BYTES_MAX) return undefined;
  return { folders: names, name, isFolder };
}

/** The same for who wants to make it. Throws `KeyTooLongError`, `InvalidArgument`. */
export function newPathOfKey(key: string): KeyPath {
  if (key.length > KEY_BYTES_MAX) throw new S3Error("KeyTooLongError");
  const path = pathOfKey(key);
  if (path !== undefined) return path;
  if (key.split("/").some((part) => part.length > NAME_BYTES_MAX))
    throw new S3Error("KeyTooLongError", `No part of a key between slashes may have more than ${NAME_BYTES_MAX} bytes.`);
  throw new S3Error(
    "InvalidArgument",
    "Keys are paths here: no part between slashes may be empty, '.', '..' or have a NUL, and '.anax-s3' is reserved.",
  );
}
