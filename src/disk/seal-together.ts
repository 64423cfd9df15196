import { chmodSync, closeSync, fdatasyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { syncPathNow } from "./descriptor.ts";
import type { StreamedWrites } from "./streamed-writes.ts";

/** A file to be made durable, content and name. */
export interface Seal {
  readonly path: string;
  /** Without one it is opened for that: an error of an earlier write that nobody has heard of is told to who opens the file next. */
  readonly fd: number | undefined;
  /** Given to the file in the end; undefined where it has it already. */
  readonly mode: number | undefined;
}

/**
 * Makes files durable, each as if it were alone, and returns the error of each that had one. A flush waits for a commit of the file system's journal, and
 * one commit takes whatever was begun before: so all are begun first, and the first one flushed has the disk work for all. `writes` begins them; without,
 * the kernel has begun only those that are old enough.
 */
export function sealTogether(seals: readonly Seal[], writes: Pick<StreamedWrites, "begin"> | undefined): ReadonlyMap<Seal, unknown> {
  const failed = new Map<Seal, unknown>();
  const opened = new Map<Seal, number>();
  const each = (of: Iterable<Seal>, act: (seal: Seal) => void): void => {
    for (const seal of of) {
      try {
        if (!failed.has(seal)) act(seal);
      } catch (error) {
        failed.set(seal, error);
      }
    }
  };
  const fdOf = (seal: Seal): number => seal.fd ?? opened.get(seal)!; // opened first
  each(seals, (seal) => {
    if (seal.fd === undefined) opened.set(seal, openSync(seal.path, "r"));
  });
  if (writes !== undefined && seals.length > 1) each(seals, (seal) => writes.begin(fdOf(seal)));
  each(seals, (seal) => fdatasyncSync(fdOf(seal)));
  for (const [seal, fd] of opened) {
    try {
      closeSync(fd);
    } catch (error) {
      if (!failed.has(seal)) failed.set(seal, error);
    }
  }
  const flushed = seals.filter((seal) => !failed.has(seal));
  for (const [directory, names] of Map.groupBy(flushed, ({ path }) => dirname(path))) {
    try {
      syncPathNow(directory);
    } catch (error) {
      for (const seal of names) failed.set(seal, error);
    }
  }
  each(seals, ({ path, mode }) => {
    if (mode !== undefined) chmodSync(path, mode);
  });
  return failed;
}
