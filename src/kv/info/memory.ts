import type { Store } from "../store.ts";

/** Memory in use, bytes. `usedBytes` is what `maxmemory` limits: the keys, not the garbage of the program around them. */
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
  const datasetBytes = store.usedBytes;
  store.peakMemoryBytes = Math.max(store.peakMemoryBytes, datasetBytes);
  return {
    usedBytes: datasetBytes,
    residentBytes: rss,
    heapBytes: heapUsed,
    datasetBytes,
    overheadBytes: Math.max(0, heapUsed + external - datasetBytes),
  };
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
