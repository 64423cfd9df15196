/**
 * The id of an entry, `milliseconds-sequence`, as one number: the milliseconds in the upper 64 bits, the sequence in the lower ones. So ids compare as numbers do.
 */
export type StreamId = bigint;

const HALF = 64n;
/** The largest milliseconds, and the largest sequence of a millisecond. */
export const PART_MAX = 2n ** HALF - 1n;

export const ID_MIN: StreamId = 0n;
export const ID_MAX: StreamId = 2n ** 128n - 1n;

export const idOf = (ms: bigint, sequence: bigint): StreamId => (ms << HALF) | sequence;
export const msOf = (id: StreamId): bigint => id >> HALF;
export const sequenceOf = (id: StreamId): bigint => id & PART_MAX;
export const textOfId = (id: StreamId): string => `${id >> HALF}-${id & PART_MAX}`;

const PART = /^\d{1,20}$/;

/** A half of an id; undefined where it is none. */
export function idPartOf(text: string): bigint | undefined {
  if (!PART.test(text)) return undefined;
  const value = BigInt(text);
  return value > PART_MAX ? undefined : value;
}

/** `ms-seq`, or only `ms` with the sequence given instead. Undefined where it is none. */
export function parseId(text: string, sequence: bigint): StreamId | undefined {
  const dash = text.indexOf("-");
  const ms = idPartOf(dash < 0 ? text : text.slice(0, dash));
  const given = dash < 0 ? sequence : idPartOf(text.slice(dash + 1));
  return ms === undefined || given === undefined ? undefined : idOf(ms, given);
}
