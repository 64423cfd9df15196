/** One direction of the link during one sample. */
export interface LinkSample {
  readonly elapsedMs: number;
  /** Everything that passed the network interfaces. */
  readonly linkBytes: number;
  /** What of it was background traffic of ours. */
  readonly backgroundBytes: number;
}

export interface LinkState {
  /** Bytes per second that the link carries, as far as is known; 0 before the first sample. */
  readonly capacity: number;
  /** Samples with background traffic, which is what something can be learned from. */
  readonly turn: number;
  /** What background traffic may use, bytes per second. */
  readonly allowance: number;
}

export const UNKNOWN_LINK: LinkState = { capacity: 0, turn: 0, allowance: Infinity };

/** Part of the link that is left free for what others may want next. */
const FREE = 0.1;
/** What background traffic gets when others want everything: it is never starved. */
const ALLOWANCE_MIN = 0.05;
const ALLOWANCE_MIN_BYTES_PER_SECOND = 1024 * 1024;
/** Our traffic is so many times what passed the link: it goes another way (loopback, an interface that is not counted). */
const NOT_SEEN = 2;
/** Every so often it is tried whether the link carries more than was seen. */
const PROBE_TURNS = 16;
const PROBE_FACTOR = 1.25;
/** While trying finds more, on with it: from a trickle to the line rate in seconds. */
const GROWTH_FACTOR = 2;
const GROWTH_MIN = 1.05;
/** What was seen long ago may not be true any more. */
export const HALF_LIFE_MS = 600_000;

/**
 * How much background traffic leaves room for others on the link, decided anew with each sample (about one a second).
 *
 * LEDBAT and its like yield when packets begin to queue, which takes one-way delays that a program does not see. What it sees is how much passes
 * the interfaces and how much of that is its own. So background traffic gets what the rest leaves of the link, less a tenth: into that free tenth
 * others can always grow, which is seen one sample later and answered by going back further, until they have what they want or background
 * traffic is at its minimum. The tenth is what makes it work: against many connections of ours a single one of theirs could never show what it
 * wants on a full link. Going back is immediate, coming again takes half of the way with each sample.
 *
 * The capacity is what a person said, or else the highest rate that was seen, fading over ten minutes of background traffic. To see more than
 * the allowance, one sample of sixteen allows a quarter more than is known, and as long as that is found to pass, twice as much.
 * A bottleneck that other machines share is not seen; where that matters, `linkBytesPerSecond` says how much of it is ours.
 */
export function makeRoom(state: LinkState, sample: LinkSample, knownCapacity: number | undefined): LinkState {
  if (sample.backgroundBytes > NOT_SEEN * sample.linkBytes) return { ...state, allowance: Infinity };
  const perSecond = (bytes: number): number => (bytes * 1000) / Math.max(1, sample.elapsedMs);
  const total = perSecond(sample.linkBytes);
  const rest = Math.max(0, total - perSecond(sample.backgroundBytes));
  const active = sample.backgroundBytes > 0;
  const faded = active ? state.capacity * 0.5 ** (sample.elapsedMs / HALF_LIFE_MS) : state.capacity;
  const capacity = knownCapacity ?? Math.max(total, faded);
  const turn = active ? state.turn + 1 : 0;
  const factor = knownCapacity === undefined && active ? factorOf(total > state.capacity * GROWTH_MIN, state.turn) : 1 - FREE;
  const floor = Math.max(capacity * ALLOWANCE_MIN, ALLOWANCE_MIN_BYTES_PER_SECOND);
  const target = Math.max(floor, capacity * factor - rest);
  const tries = factor > 1 || state.allowance === Infinity;
  return { capacity, turn, allowance: tries || target < state.allowance ? target : (state.allowance + target) / 2 };
}

function factorOf(grown: boolean, turn: number): number {
  if (grown) return GROWTH_FACTOR;
  return turn % PROBE_TURNS === 0 ? PROBE_FACTOR : 1 - FREE;
}
