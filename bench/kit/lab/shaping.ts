/** How one direction of a link is held to its rate by a token bucket. */
export interface Bucket {
  readonly rateBits: number;
  /** What may leave at once; a larger packet would be cut up, which costs CPU. */
  readonly burstBytes: number;
  /** What may wait besides; more is dropped, as a switch does. */
  readonly limitBytes: number;
}

const BURST_MS = 4;
const BURST_BYTES_MIN = 8_000;
const QUEUE_MS = 50;
const LIMIT_BYTES_MIN = 60_000;
const SEGMENT_MS = 2;

export function bucketOf(rateBits: number): Bucket {
  const burstBytes = Math.max(BURST_BYTES_MIN, bytesIn(rateBits, BURST_MS));
  return { rateBits, burstBytes, limitBytes: Math.max(LIMIT_BYTES_MIN, bytesIn(rateBits, QUEUE_MS) + burstBytes) };
}

export const tbfArguments = ({ rateBits, burstBytes, limitBytes }: Bucket): readonly string[] => [
  "tbf",
  "rate",
  `${Math.round(rateBits)}bit`,
  "burst",
  `${burstBytes}`,
  "limit",
  `${limitBytes}`,
];

/**
 * The largest packet that a sender hands to its link at once, to be cut into real ones by hardware that is not there. A few real packets
 * in one keep the CPU free for what is measured; more than two milliseconds of the slowest link would make its queue coarse.
 */
export function segmentBytesMax(ratesBits: readonly number[]): number {
  return Math.min(32_000, Math.max(4_000, bytesIn(Math.min(...ratesBits), SEGMENT_MS)));
}

const bytesIn = (rateBits: number, ms: number): number => Math.round((rateBits / 8) * (ms / 1000));
