/** What is done to each file system, in this order: later ones use what earlier ones left. */
export const LOAD_NAMES = [
  "write 1 MiB",
  "read 1 MiB",
  "random read 4 KiB",
  "random write 4 KiB",
  "create",
  "stat",
  "open and close",
  "unlink",
  "create with 4 KiB",
] as const;
export type LoadName = (typeof LOAD_NAMES)[number];

export interface LoadRequest {
  readonly load: LoadName;
  readonly dir: string;
  /** Size of the large file. */
  readonly mib: number;
  /** Files, or reads and writes. */
  readonly operations: number;
}

export interface LoadResult {
  /** MiB for those of 1 MiB, else operations. */
  readonly perSecond: number;
}
