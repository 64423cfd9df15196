import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import type { SlotRange } from "./slot-map.ts";

export const slotsIn = (ranges: readonly SlotRange[]): number[] =>
  ranges.flatMap(({ start, end }) => Array.from({ length: end - start + 1 }, (_, at) => start + at));

/** With those that are named several times. */
export const countIn = (ranges: readonly SlotRange[]): number => ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);

/** As few ranges as there can be, in order. */
export function rangesOf(slots: Iterable<number>): SlotRange[] {
  const ranges: { start: number; end: number }[] = [];
  for (const slot of [...new Set(slots)].toSorted((a, b) => a - b)) {
    const last = ranges.at(-1);
    if (last !== undefined && last.end + 1 === slot) last.end = slot;
    else ranges.push({ start: slot, end: slot });
  }
  return ranges;
}

/** `0-5 7`. */
export const rangesText = (ranges: readonly SlotRange[]): string =>
  ranges.map(({ start, end }) => (start === end ? String(start) : `${start}-${end}`)).join(" ");

/** Of `0-5` or `7`; undefined: it is none. */
export function parseRange(text: string): SlotRange | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) return undefined;
  const start = Number(match[1]);
  const end = Number(match[2] ?? match[1]);
  return start <= end && end < SLOT_COUNT ? { start, end } : undefined;
}
