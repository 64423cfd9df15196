import type { FailedRow, Row } from "./result.ts";

/** In which ways a row of ours misses what is required; empty for others, from which nothing is required. */
export function missesOf(row: Row | FailedRow, all: readonly (Row | FailedRow)[]): readonly string[] {
  if (!isOurs(row.driver)) return [];
  if ("failed" in row) return ["failed"];
  const { ratioLast, originCopies, required } = row;
  const rivals = all.filter((other) => other.scenario === row.scenario && RIVALS.includes(other.driver));
  return [
    ...(ratioLast > required.ratioLast ? [`last host above ${required.ratioLast}`] : []),
    ...(originCopies > required.originCopies ? [`origin copies above ${required.originCopies}`] : []),
    ...rivals.filter((rival) => !("failed" in rival) && rival.ratioLast <= ratioLast).map((rival) => `not ahead of ${rival.driver}`),
  ];
}

/** A chain is none: it measures the network. */
const RIVALS: readonly string[] = ["aria2", "libtorrent"];

export const isOurs = (driver: string): boolean => driver.startsWith("anax");
