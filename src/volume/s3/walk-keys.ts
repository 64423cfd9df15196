import { failed, ROOT_INO, type Attributes, type DirectoryEntry, type VolumeVerbs } from "../meta/verbs.ts";
import { WORK_FOLDER } from "./keys.ts";
import { sortedEntries, type Item } from "./sorted-entries.ts";
import { folderAt, isFolderObject } from "./tree.ts";

/** A key, or what several keys begin with up to a delimiter; in bytes, one character each. */
export type Listed =
  | { readonly kind: "key"; readonly key: string; readonly attributes: Attributes }
  | { readonly kind: "prefix"; readonly key: string };

export interface WalkOptions {
  readonly prefix: string;
  /** Only what comes behind it; of a common prefix that it names, nothing. */
  readonly after: string;
  /** Empty: none. */
  readonly delimiter: string;
}

/** A tree of folders whose paths are keys: that of the objects, or that of their versions. */
export interface KeyTree {
  readonly verbs: VolumeVerbs;
  readonly root: number;
  readonly itemsOf: (entry: DirectoryEntry) => readonly Item[];
  /** Whether the folder, whose path ends with a slash, is a key itself. */
  readonly isKey: (ino: number) => Promise<boolean>;
  /** Whether there are keys below the folder, without looking far. */
  readonly hasKeys: (ino: number) => Promise<boolean>;
}

/** Files and folders of the volume; nothing else, and not the gateway's own. */
export const objectTree = (verbs: VolumeVerbs): KeyTree => ({
  verbs,
  root: ROOT_INO,
  itemsOf: (entry) => {
    if (entry.kind === "file") return [{ entry, text: entry.name }];
    return entry.kind === "directory" && entry.name !== WORK_FOLDER ? [{ entry, text: `${entry.name}/` }] : [];
  },
  isKey: (ino) => isFolderObject(verbs, ino),
  hasKeys: async () => true,
});

/** All keys in byte order, grouped by the delimiter. */
export async function* walkKeys(tree: KeyTree, options: WalkOptions): AsyncGenerator<Listed> {
  const { prefix, delimiter } = options;
  const slash = prefix.lastIndexOf("/") + 1;
  const base = prefix.slice(0, slash);
  const names = base === "" ? [] : base.slice(0, -1).split("/");
  const ino = names.includes("") ? undefined : await folderAt(tree.verbs, names, tree.root);
  if (ino === undefined || names[0] === WORK_FOLDER) return;
  let group: string | undefined;
  for await (const listed of below(tree, { ino, base }, options)) {
    const at = delimiter === "" ? -1 : listed.key.indexOf(delimiter, prefix.length);
    if (at < 0) yield listed;
    else {
      const next = listed.key.slice(0, at + delimiter.length);
      if (next !== group && next !== options.after) yield { kind: "prefix", key: next };
      group = next;
    }
  }
}

async function* below(
  tree: KeyTree,
  { ino, base }: { readonly ino: number; readonly base: string },
  options: WalkOptions,
): AsyncGenerator<Listed> {
  const { prefix, after, delimiter } = options;
  if (base !== "" && base.startsWith(prefix) && base > after && (await tree.isKey(ino))) {
    const attributes = await tree.verbs.getattr(ino);
    if (!failed(attributes)) yield { kind: "key", key: base, attributes };
  }
  const from = after.startsWith(base) ? after.slice(base.length) : "";
  if (from === "" && after > base && !after.startsWith(base)) return; // all of it comes before
  for await (const { entry, text } of sortedEntries(tree.verbs, ino, { prefix: prefix.slice(base.length), from, itemsOf: tree.itemsOf })) {
    const key = base + text;
    if (!text.endsWith("/")) {
      if (key > after && entry.attributes !== undefined) yield { kind: "key", key, attributes: entry.attributes };
      continue;
    }
    const isGroup = delimiter === "/" && key.indexOf("/", prefix.length) === key.length - 1;
    if (isGroup && after === key) continue;
    // With a slash as delimiter nothing in it has to be looked at, unless its first keys were told already.
    const whole = isGroup && !after.startsWith(key);
    if (whole) {
      if (key > after && entry.attributes !== undefined && (await tree.hasKeys(entry.ino)))
        yield { kind: "key", key, attributes: entry.attributes };
    } else yield* below(tree, { ino: entry.ino, base: key }, options);
  }
}
