import { contentOf } from "../../kit/volume-content.ts";

/** What a writer does to the files of its directory; each ends with an `fsync` of what it has changed, file or directory. */
export type Operation =
  /** A file aside, synced, then renamed over the name. */
  | { readonly do: "replace"; readonly name: string; readonly seed: number; readonly length: number }
  | { readonly do: "append"; readonly name: string; readonly seed: number; readonly length: number }
  | { readonly do: "overwrite"; readonly name: string; readonly at: number; readonly seed: number; readonly length: number }
  | { readonly do: "truncate"; readonly name: string; readonly length: number }
  | { readonly do: "rename"; readonly name: string; readonly to: string }
  | { readonly do: "unlink"; readonly name: string };

/** Content by name. */
export type Files = Map<string, Buffer>;

/** Of the file aside; nothing is promised of it. */
export const ASIDE = "aside";

/** Does to `files` what has been confirmed. */
export function apply(files: Files, operation: Operation): void {
  const { name } = operation;
  const before = files.get(name) ?? Buffer.alloc(0);
  switch (operation.do) {
    case "replace":
      files.set(name, contentOf(operation.seed, operation.length));
      return;
    case "append":
      files.set(name, Buffer.concat([before, contentOf(operation.seed, operation.length)]));
      return;
    case "overwrite": {
      const after = Buffer.alloc(Math.max(before.length, operation.at + operation.length));
      before.copy(after);
      contentOf(operation.seed, operation.length).copy(after, operation.at);
      files.set(name, after);
      return;
    }
    case "truncate": {
      const after = Buffer.alloc(operation.length);
      before.copy(after);
      files.set(name, after);
      return;
    }
    case "rename":
      files.set(operation.to, before);
      files.delete(name);
      return;
    case "unlink":
      files.delete(name);
  }
}

/** Names of what is not as it must be, where `files` are confirmed and `underWay` had begun when something was killed. */
export function differences(found: Files, files: Files, underWay: Operation | undefined): readonly string[] {
  const expected = new Map(files);
  if (underWay !== undefined && isPartOf(underWay, files, found))
    for (const name of namesOf(underWay)) {
      const content = found.get(name);
      if (content === undefined) expected.delete(name);
      else expected.set(name, content);
    }
  const names = new Set([...found.keys(), ...expected.keys()]);
  return [...names].filter((name) => !same(found.get(name), expected.get(name)));
}

const namesOf = (operation: Operation): readonly string[] =>
  operation.do === "rename" ? [operation.name, operation.to] : [operation.name];

/** Whether what is there can come of the operation having been cut off: whole or not at all, except for bytes that it writes into a file. */
function isPartOf(operation: Operation, before: Files, found: Files): boolean {
  const after: Files = new Map(before);
  apply(after, operation);
  const is = (files: Files): boolean => namesOf(operation).every((name) => same(found.get(name), files.get(name)));
  if (is(before) || is(after)) return true;
  if (operation.do !== "append" && operation.do !== "overwrite") return false;
  const [old, now, whole] = [before, found, after].map((files) => files.get(operation.name));
  if (old === undefined || now === undefined || whole === undefined || now.length < old.length) return false;
  return now.every((byte, index) => byte === whole[index] || byte === old[index]);
}

const same = (a: Buffer | undefined, b: Buffer | undefined): boolean => (a === undefined || b === undefined ? a === b : a.equals(b));
