import { createHash } from "node:crypto";
import { BLOB_BYTES_MAX, type Blob } from "../meta/extents.ts";
import type { Errno } from "../meta/verbs.ts";
import type { SyncVerbs } from "../meta/rules/verbs-on.ts";
import type { DirtyRange } from "./dirty-ranges.ts";
import type { StoredPart } from "./dirty-file.ts";
import type { InlineBlobs } from "./blob-store.ts";

/** Puts ranges into blobs, several small ones into one: first into the ledger, then to the disk. What it answers is not yet referred to by anything. */
export function storeRanges(verbs: SyncVerbs, blobs: InlineBlobs, ranges: readonly DirtyRange[]): readonly StoredPart[] | Errno {
  const packs = packsOf(ranges);
  const described = packs.map((pack) => {
    const hash = createHash("sha256");
    for (const { data } of pack) hash.update(data);
    return { sha256: hash.digest("hex"), bytes: pack.reduce((sum, { data }) => sum + data.length, 0) };
  });
  if (packs.length === 0) return [];
  const ids = verbs.reserveBlobs(described);
  if (typeof ids === "number") return ids;
  return packs.flatMap((pack, index) => {
    const blob: Blob = { id: ids[index]!, ...described[index]! }; // one for each
    blobs.put(
      blob,
      pack.map(({ data }) => data),
    );
    let blobOffset = 0;
    return pack.map(({ position, data }) => {
      const part = { position, length: data.length, blob, blobOffset };
      blobOffset += data.length;
      return part;
    });
  });
}

function packsOf(ranges: readonly DirtyRange[]): readonly (readonly DirtyRange[])[] {
  const packs: DirtyRange[][] = [];
  let bytes = BLOB_BYTES_MAX;
  for (const range of ranges) {
    if (bytes + range.data.length > BLOB_BYTES_MAX) {
      packs.push([]);
      bytes = 0;
    }
    packs.at(-1)!.push(range); // the first range begins a pack
    bytes += range.data.length;
  }
  return packs;
}
