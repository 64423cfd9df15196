import type { UseOf } from "./database.ts";

/** Seconds in 24 bits: half a year. */
const SECONDS_MASK = 0xff_ffff;
/** Of LFU: minutes in 16 bits above a counter of 8. */
const MINUTES_MASK = 0xffff;
const COUNTER_BITS = 8;
const COUNTER_MAX = 255;
/** A new key gets a start, so that it is not the first to go. */
const COUNTER_NEW = 5;

export interface LfuSettings {
  /** `lfu-log-factor`: the larger, the more uses it takes to count one more. */
  readonly logFactor: number;
  /** `lfu-decay-time`: minutes without use that take one from the counter; 0: nothing does. */
  readonly decayMinutes: number;
}

const secondsAt = (nowMs: number): number => (nowMs / 1000) & SECONDS_MASK;
const minutesAt = (nowMs: number): number => (nowMs / 60_000) & MINUTES_MASK;

/** The second of the last use. */
export const lruUse =
  (now: { readonly nowMs: number }): UseOf =>
  () =>
    secondsAt(now.nowMs);

/** A counter that grows with the logarithm of the uses and sinks with time (Morris' approximate counting). */
export function lfuUse(now: { readonly nowMs: number }, settings: LfuSettings): UseOf {
  return (before) => {
    const minutes = minutesAt(now.nowMs) << COUNTER_BITS;
    if (before < 0) return minutes | COUNTER_NEW;
    const counter = frequencyOf(before, now.nowMs, settings.decayMinutes);
    const chance = 1 / (Math.max(0, counter - COUNTER_NEW) * settings.logFactor + 1);
    return minutes | (counter < COUNTER_MAX && Math.random() < chance ? counter + 1 : counter);
  };
}

/** Seconds since the last use, of bits that `lruUse` made. */
export const idleSecondsOf = (bits: number, nowMs: number): number => (secondsAt(nowMs) - bits) & SECONDS_MASK;

/** The counter, of bits that `lfuUse` made. */
export function frequencyOf(bits: number, nowMs: number, decayMinutes: number): number {
  const counter = bits & COUNTER_MAX;
  if (decayMinutes === 0) return counter;
  const minutes = (minutesAt(nowMs) - (bits >>> COUNTER_BITS)) & MINUTES_MASK;
  return Math.max(0, counter - Math.floor(minutes / decayMinutes));
}

/** Bits of a key that was not used for so long. */
export const lruBitsOf = (idleSeconds: number, nowMs: number): number => (secondsAt(nowMs) - idleSeconds) & SECONDS_MASK;

/** Bits of a key whose counter stands there. */
export const lfuBitsOf = (frequency: number, nowMs: number): number => (minutesAt(nowMs) << COUNTER_BITS) | (frequency & COUNTER_MAX);
