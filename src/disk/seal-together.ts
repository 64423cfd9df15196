import { chmodSync, closeSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { eachLimited } from "../base/each-limited.ts";
import { syncData, syncDirectory } from "./descriptor.ts";
import type { StreamedWrites } from "./streamed-writes.ts";

/** A file to be made durable, content and name. */
export interface Seal {
  readonly path: string;
  /** Without one it is opened for that: an error of an earlier write that nobody has heard of is told to who opens the file next. */
  readonly fd: number | undefined;
  /** Given to the file in the end; undefined where it has it already. */
  readonly mode: number | undefined;
}

/** Flushes under way in Node's thread pool, which others need as well. */
const AT_ONCE = 8;
const NEVER = new AbortController().signal;

/**
 * Makes files durable, each as if it were alone, and returns the error of each that had one. A flush waits for a commit of the file system's journal, and
 * one commit takes whatever was begun before: so all are begun first, and the first one flushed has the disk work for all. `writes` begins them; without,
 * the kernel has begun only those that are old enough. Then each has the disk empty its cache once more, and of those that ask for it side by side, one
 * request serves several: 256 files took 56 to 59 ms eight at a time, 102 to 167 three at a time, 144 to 201 one after the other.
 */
export async function sealTogether(
  seals: readonly Seal[],
  writes: Pick<StreamedWrites, "begin"> | undefined,
): Promise<ReadonlyMap<Seal, unknown>> {
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
  const good = (): Seal[] => seals.filter((seal) => !failed.has(seal));
  each(seals, (seal) => {
    if (seal.fd === undefined) opened.set(seal, openSync(seal.path, "r"));
  });
  if (writes !== undefined && seals.length > 1) each(seals, (seal) => writes.begin(fdOf(seal)));
  await sideBySide(good(), async (seal) => {
    await syncData(fdOf(seal)).catch((error: unknown) => failed.set(seal, error));
  });
  for (const [seal, fd] of opened) {
    try {
      closeSync(fd);
    } catch (error) {
      if (!failed.has(seal)) failed.set(seal, error);
    }
  }
  const directories = Map.groupBy(good(), ({ path }) => dirname(path));
  await sideBySide([...directories], async ([directory, names]) => {
    await syncDirectory(directory).catch((error: unknown) => names.forEach((seal) => failed.set(seal, error)));
  });
  each(seals, ({ path, mode }) => {
    if (mode !== undefined) chmodSync(path, mode);
  });
  return failed;
}

const sideBySide = <T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> =>
  eachLimited(all, { atOnce: AT_ONCE, signal: NEVER }, act);
