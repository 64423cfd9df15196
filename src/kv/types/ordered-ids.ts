import type { StreamId } from "./stream-id.ts";

/** The first of things in the order of their ids that has this id or a later one. */
export function indexFrom(ordered: readonly { readonly id: StreamId }[], id: StreamId): number {
  let low = 0;
  let high = ordered.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ordered[middle]!.id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}
