import type { Request } from "../../wire/resp/request.ts";
import { CommandError, syntaxError } from "../command-error.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import { integerAt } from "../numbers.ts";
import { countIn } from "../slots/slot-text.ts";
import type { SlotRange } from "../slots/slot-map.ts";

/** `0 5 7 9` from there to the end. Throws a `CommandError`. */
export function rangesAt(request: Request, from: number): readonly SlotRange[] {
  if ((request.count - from) % 2 !== 0) throw syntaxError();
  const bound = { min: 0, max: SLOT_COUNT - 1 };
  const ranges: SlotRange[] = [];
  for (let at = from; at < request.count; at += 2) {
    const range = { start: integerAt(request, at, bound), end: integerAt(request, at + 1, bound) };
    if (range.start > range.end)
      throw new CommandError(`ERR Start slot number ${range.start} is greater than end slot number ${range.end}`);
    ranges.push(range);
  }
  return notMore(ranges);
}

/** Nobody needs to name a slot twice. Throws a `CommandError` for more slots than there are. */
export function notMore(ranges: readonly SlotRange[]): readonly SlotRange[] {
  if (countIn(ranges) > SLOT_COUNT) throw new CommandError("ERR Slots are named several times");
  return ranges;
}
