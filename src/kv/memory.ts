import type { Store } from "./store.ts";

/** Memory in use, bytes: what the keys take, and the rest of the program. */
export interface MemoryUse {
  readonly usedBytes: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  /** Keys, their values and the tables that find them. */
  readonly datasetBytes: number;
  readonly overheadBytes: number;
}

export function memoryUseOf(store: Store): MemoryUse {
  const { heapUsed, external, rss } = process.memoryUsage();
  const datasetBytes = store.databases.reduce((sum, db) => sum + db.recordBytes, 0);
  const usedBytes = heapUsed + external;
  store.peakMemoryBytes = Math.max(store.peakMemoryBytes, usedBytes);
  return { usedBytes, residentBytes: rss, heapBytes: heapUsed, datasetBytes, overheadBytes: Math.max(0, usedBytes - datasetBytes) };
}

/** `1.50M`. */
export function humanBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes}B`;
  const units = ["K", "M", "G", "T", "P"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(2)}${units[unit]}`;
}
