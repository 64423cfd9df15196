import { CommandError } from "../../command-error.ts";
import { ID_MAX, ID_MIN, parseId, PART_MAX, type StreamId } from "../../types/stream-id.ts";

const INVALID = "ERR Invalid stream ID specified as stream command argument";

/** An id that stands for itself: no `-`, `+`, `$`. Without a sequence it has this one. Throws `ERR Invalid stream ID …`. */
export function strictId(text: string, sequence = 0n): StreamId {
  const id = parseId(text, sequence);
  if (id === undefined) throw new CommandError(INVALID);
  return id;
}

/** The start of a range: `-`, an id, or `(` and the id that it begins behind. */
export function rangeStart(text: string): StreamId {
  if (text === "-") return ID_MIN;
  if (text === "+") return ID_MAX;
  if (!text.startsWith("(")) return strictId(text, 0n);
  const id = strictId(text.slice(1), 0n);
  if (id === ID_MAX) throw new CommandError("ERR invalid start ID for the interval");
  return id + 1n;
}

/** The end of a range: `+`, an id, or `(` and the id that it ends before. */
export function rangeEnd(text: string): StreamId {
  if (text === "+") return ID_MAX;
  if (text === "-") return ID_MIN;
  if (!text.startsWith("(")) return strictId(text, PART_MAX);
  const id = strictId(text.slice(1), PART_MAX);
  if (id === ID_MIN) throw new CommandError("ERR invalid end ID for the interval");
  return id - 1n;
}
