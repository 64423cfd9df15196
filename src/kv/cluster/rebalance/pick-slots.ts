export interface Pick {
  readonly from: string;
  readonly to: string;
  /** By slot. */
  readonly owners: readonly string[];
  readonly stays: ArrayLike<number>;
  readonly loads: ArrayLike<number>;
  readonly bytes: ArrayLike<number>;
  readonly loadMax: number;
  /** Unless a single slot has more. */
  readonly bytesMax: number;
  readonly slotsMax: number;
  /** All have to go: one that is too big goes alone. */
  readonly takesAny: boolean;
}

interface Run {
  readonly start: number;
  readonly end: number;
  /** It is taken from the end that the target's slots border on. */
  readonly fromEnd: boolean;
  readonly borders: boolean;
}

/**
 * Slots to move, of no more load than that, and as much of it as can be had simply. Few ranges: first those beside slots of the target, then short ones as a whole, then a piece of the
 * longest. None: each that there is has too much.
 */
export function pickSlots(pick: Pick): number[] {
  const { loads, bytes, loadMax, bytesMax, slotsMax, takesAny } = pick;
  const runs = runsOf(pick);
  const taken: number[] = [];
  let [load, size] = [0, 0];
  for (const { start, end, fromEnd } of runs)
    for (let count = 0; count <= end - start && taken.length < slotsMax; count++) {
      const slot = fromEnd ? end - count : start + count;
      if (load + loads[slot]! > loadMax) break; // there is one for each slot
      if (taken.length > 0 && size + bytes[slot]! > bytesMax) return taken; // as above
      taken.push(slot);
      load += loads[slot]!; // as above
      size += bytes[slot]!; // as above
    }
  if (taken.length > 0) return taken;
  const all = runs.flatMap(({ start, end }) => Array.from({ length: end - start + 1 }, (_, at) => start + at));
  const lightest = (a: number, b: number): number => loads[a]! - loads[b]! || a - b; // as above
  const fits = all.filter((slot) => loads[slot]! <= loadMax).toSorted(lightest); // as above
  if (fits.length > 0) return [fits.at(-1)!]; // just checked
  return takesAny ? all.toSorted(lightest).slice(0, 1) : [];
}

function runsOf({ from, to, owners, stays }: Pick): readonly Run[] {
  const runs: Run[] = [];
  const movable = (slot: number): boolean => owners[slot] === from && stays[slot] === 0;
  for (let slot = 0; slot < owners.length; slot++) {
    if (!movable(slot)) continue;
    const start = slot;
    while (slot + 1 < owners.length && movable(slot + 1)) slot++;
    const [before, after] = [owners[start - 1] === to, owners[slot + 1] === to];
    runs.push({ start, end: slot, fromEnd: after && !before, borders: before || after });
  }
  const lengthOf = ({ start, end }: Run): number => end - start;
  return runs.toSorted((a, b) => Number(b.borders) - Number(a.borders) || lengthOf(a) - lengthOf(b) || a.start - b.start);
}
