import type { Duration } from "./gen/google/protobuf/duration.ts";
import type { Timestamp } from "./gen/google/protobuf/timestamp.ts";

/** Milliseconds since the Unix epoch as a Timestamp. */
export function timestampOf(wallMs: number): Timestamp {
  const seconds = Math.floor(wallMs / 1000);
  return { seconds, nanos: Math.floor((wallMs - seconds * 1000) * 1e6) };
}

/** A Timestamp as whole milliseconds since the Unix epoch. */
export function wallMsOf(timestamp: Timestamp): number {
  return timestamp.seconds * 1000 + Math.floor(timestamp.nanos / 1e6);
}

/** Milliseconds as a Duration; both of its parts carry the sign. */
export function durationOf(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  return { seconds, nanos: Math.trunc((ms - seconds * 1000) * 1e6) };
}

/** A Duration as milliseconds, fractions included. */
export function msOf(duration: Duration): number {
  return duration.seconds * 1000 + duration.nanos / 1e6;
}
