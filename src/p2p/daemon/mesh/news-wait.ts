/** Where pieces take their time, news are gathered for this share of it, and no longer than so many ticks: nothing new can be had sooner. */
const PIECE_SHARE = 1 / 4;
const PATIENT_TICKS_MAX = 10;
/** News that change little wait for others to go with. */
const LAZY_TICKS = 6;

/**
 * How long news wait for others, so that they go together: each goes to all neighbours, and a message costs as much as a good part of a block.
 * In simulation 20, 80, 160 and 320 ms are equal (100 hosts, pieces that take 1.3 s: 1.059, 1.052, 1.053 and 1.055 times the bound).
 */
export function newsWaitMs({ tickMs, pieceMs }: { readonly tickMs: number; readonly pieceMs: number }): number {
  return Math.max(tickMs, Math.min(tickMs * PATIENT_TICKS_MAX, pieceMs * PIECE_SHARE));
}

/** The same for news that change little. */
export const lazyNewsWaitMs = (pace: { readonly tickMs: number; readonly pieceMs: number }): number =>
  Math.max(pace.tickMs * LAZY_TICKS, newsWaitMs(pace));
