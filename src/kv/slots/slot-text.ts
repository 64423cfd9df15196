import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import type { SlotRange } from "./slot-map.ts";

export const slotsIn = (ranges: readonly SlotRange[]): number[] =>
  ranges.flatMap(({ start, end }) => Array.from({ length: end - start + 1 }, (_, at) => start + at));

/** With those that are named several times. */
export const countIn = (ranges: readonly SlotRange[]): number => ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0);

/** As few ranges as there can be, in order. */
export function rangesOf(slots: Iterable<number>): SlotRange[] {
  const has = new Uint8Array(SLOT_COUNT);
  for (const slot of slots) has[slot] = 1;
  const ranges: SlotRange[] = [];
  for (let start = has.indexOf(1); start >= 0; start = has.indexOf(1, start)) {
    const next = has.indexOf(0, start);
    const end = (next < 0 ? SLOT_COUNT : next) - 1;
    ranges.push({ start, end });
    start = end + 1;
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
