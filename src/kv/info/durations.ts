const SLOTS_PER_OCTAVE = 16;
const OCTAVES = 31;
const LONGEST_US = 2 ** 30;

/** How long something took, in microseconds: counts in slots whose width grows with the duration, so that each is known to about 6 %. */
export class Durations {
  readonly #counts = new Float64Array(SLOTS_PER_OCTAVE * OCTAVES);
  count = 0;

  add(us: number): void {
    this.#counts[slotOf(us)]!++;
    this.count++;
  }

  /** The duration that so many of a hundred do not exceed, microseconds. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.count));
    let seen = 0;
    for (let slot = 0; slot < this.#counts.length; slot++) {
      seen += this.#counts[slot]!;
      if (seen >= wanted) return upperBoundOf(slot);
    }
    return 0;
  }

  /** How many took at most so long, for each power of two up to the longest: pairs of microseconds and counts, only where a count grows. */
  cumulative(): { readonly us: number; readonly count: number }[] {
    const found: { readonly us: number; readonly count: number }[] = [];
    let seen = 0;
    let before = 0;
    for (let octave = 0; octave < OCTAVES; octave++) {
      for (let slot = 0; slot < SLOTS_PER_OCTAVE; slot++) seen += this.#counts[octave * SLOTS_PER_OCTAVE + slot]!;
      if (seen > before) found.push({ us: 2 ** octave, count: seen });
      before = seen;
    }
    return found;
  }
}

/** Slot 0 is up to 1 µs; octave n covers (2^(n-1), 2^n]. */
function slotOf(us: number): number {
  if (us <= 1) return SLOTS_PER_OCTAVE - 1;
  const octave = Math.min(OCTAVES - 1, 32 - Math.clz32(Math.ceil(Math.min(us, LONGEST_US)) - 1));
  const from = 1 << (octave - 1);
  const within = Math.min(SLOTS_PER_OCTAVE - 1, Math.ceil(((us - from) / from) * SLOTS_PER_OCTAVE) - 1);
  return octave * SLOTS_PER_OCTAVE + Math.max(0, within);
}

function upperBoundOf(slot: number): number {
  const octave = Math.floor(slot / SLOTS_PER_OCTAVE);
  if (octave === 0) return 1;
  const from = 2 ** (octave - 1);
  return from + (from * ((slot % SLOTS_PER_OCTAVE) + 1)) / SLOTS_PER_OCTAVE;
}
