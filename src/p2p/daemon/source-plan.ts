import { pieceRangeOf, type PieceLayout } from "../model/piece.ts";
import type { ByteRange } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { SourceJob } from "./source-job.ts";

/** Neighbouring pieces that are read from the source with one request. */
export interface SourceRun {
  readonly firstIndex: number;
  readonly count: number;
  readonly range: ByteRange;
}

/** The first run of missing pieces at or behind `from`: as many neighbours as there are up to `bytesMax`, so that a source sees few requests. */
export function nextRun(
  layout: PieceLayout & { readonly pieceCount: number },
  held: (index: number) => boolean,
  { from = 0, bytesMax = Infinity }: { readonly from?: number; readonly bytesMax?: number } = {},
): SourceRun | undefined {
  let firstIndex = from;
  while (firstIndex < layout.pieceCount && held(firstIndex)) firstIndex++;
  if (firstIndex >= layout.pieceCount) return undefined;
  let end = firstIndex + 1;
  while (end < layout.pieceCount && !held(end) && (end - firstIndex + 1) * layout.pieceLength <= bytesMax) end++;
  const start = pieceRangeOf(layout, firstIndex).start;
  const last = pieceRangeOf(layout, end - 1);
  return { firstIndex, count: end - firstIndex, range: { start, length: last.start + last.length - start } };
}

/** True when a run is the whole content: then no range is asked for, which every source understands. */
export const isWhole = (layout: PieceLayout, run: SourceRun): boolean => run.range.length === layout.contentLength;

export const wholeOf = (layout: PieceLayout & { readonly pieceCount: number }): SourceRun => ({
  firstIndex: 0,
  count: layout.pieceCount,
  range: { start: 0, length: layout.contentLength },
});

/** What of the source is to be read: nobody has it here, and no peer brings it. */
export const isNeeded = (
  { share, comesFromPeers }: Pick<SourceJob, "share" | "comesFromPeers">,
  stored: StoredTask,
  index: number,
): boolean => !stored.finished.has(index) && share.includes(index) && !comesFromPeers(index);
