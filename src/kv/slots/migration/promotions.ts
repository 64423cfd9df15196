import { join } from "node:path";
import { REPLICATE } from "../../replicate.ts";
import type { Store } from "../../store.ts";
import { Staging } from "./staging.ts";
import { readStagingFile } from "./staging-file.ts";

/** Where a file of staged slots lies, and how much of it counts. */
export interface StagedFile {
  readonly name: string;
  readonly bytes: number;
}

/** What a file has, staged. Throws `disk.corrupt`, `disk.io`, `migration.malformed`. */
export function stagedFrom(store: Store, path: string, bytes: number): Staging {
  const { slots, payloads } = readStagingFile(path, bytes);
  const staging = new Staging(store, slots);
  for (const payload of payloads) staging.apply(payload);
  return staging;
}

/** Puts what is staged in place, for the journal too; the number of this promotion. Replicas have to get everything anew. */
export function promoteNow(store: Store, staging: Staging, file: StagedFile | undefined): number {
  const keys = staging.count;
  if (!staging.promote()) return store.promotions.last;
  const number = ++store.promotions.last;
  store.dirty += 1 + keys;
  if (file !== undefined)
    store.propagateParts(store.databases[0]!, ["ANAX.PROMOTE", String(number), file.name, String(file.bytes)], REPLICATE.journal);
  store.propagation.flush(false);
  store.replication?.primary.beginAnew();
  return number;
}

/** The same of a journal that is read, or at a start. */
export function promoteFile(store: Store, directory: string, file: StagedFile, number: number): void {
  stagedFrom(store, join(directory, file.name), file.bytes).promote();
  store.promotions.last = number;
  store.promotions.files.add(file.name);
}
