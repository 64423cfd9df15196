import { z } from "zod";
import { parseTaskId } from "../model/ids.ts";
import { parseDigest, pieceCountOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { TaskRow } from "./database.ts";

/** The JSON in the column `meta`: what of a task's description has no column of its own. */
const StoredMeta = z.object({
  url: z.string(),
  digest: z.string().optional(),
  tag: z.string().optional(),
  application: z.string().optional(),
  filteredQueryParams: z.array(z.string()),
  responseHeader: z.record(z.string(), z.string()),
});
const Parents = z.array(z.string()).max(65_535);

export interface DecodedRow {
  readonly meta: TaskMeta;
  readonly parents: readonly string[];
}

export function encodeMeta({ url, digest, tag, application, filteredQueryParams, responseHeader }: TaskMeta): string {
  return JSON.stringify({ url, digest, tag, application, filteredQueryParams: [...filteredQueryParams], responseHeader } satisfies z.input<
    typeof StoredMeta
  >);
}
export const encodeParents = (parents: readonly string[]): string => JSON.stringify(parents);

/** Undefined when the row makes no sense. */
export function decodeRow(row: TaskRow): DecodedRow | undefined {
  try {
    const layout = { contentLength: row.contentLength, pieceLength: row.pieceLength };
    const stored = StoredMeta.parse(JSON.parse(row.meta));
    if (stored.digest !== undefined) parseDigest(stored.digest);
    const meta = { id: parseTaskId(row.id), ...stored, ...layout, pieceCount: pieceCountOf(layout) };
    return { meta, parents: Parents.parse(JSON.parse(row.parents)) };
  } catch {
    return undefined;
  }
}
