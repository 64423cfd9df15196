import { REPLICATE } from "../replicate.ts";
import type { Store } from "../store.ts";
import { rangesOf, rangesText } from "./slot-text.ts";

/** One step takes about so long, and removes no more than so many; then others have their turn. */
const STEP_MS = 1;
const STEP_RECORDS = 500;
const RECORDS_PER_LOOK = 20;

/** The keys of slots that are another's now go: at once for journal and replicas, here a little with each turn, as long as `isGone`. */
export function dropSlots(store: Store, slots: readonly number[], isGone: (slot: number) => boolean): void {
  const filled = slots.filter((slot) => isGone(slot) && store.databases[0]!.slotCount(slot) > 0);
  if (filled.length === 0) return;
  store.propagateParts(store.databases[0]!, ["ANAX.DROPSLOTS", ...rangesText(rangesOf(filled)).split(" ")], REPLICATE.all);
  store.propagation.flush(false);
  const { clock } = store;
  const step = (): void => {
    const untilMs = clock.nowMs() + STEP_MS;
    for (let left = STEP_RECORDS; filled.length > 0 && left > 0 && clock.nowMs() < untilMs; left -= RECORDS_PER_LOOK) {
      const slot = filled.at(-1)!;
      if (!isGone(slot) || dropSome(store, slot, RECORDS_PER_LOOK)) filled.pop(); // an empty slot costs something, too
    }
    if (filled.length > 0) setImmediate(step);
  };
  step();
}

/** All of them now: in a journal, or on a replica. */
export function dropSlotsNow(store: Store, slots: Iterable<number>): void {
  for (const slot of slots) while (!dropSome(store, slot, Infinity));
}

function dropSome(store: Store, slot: number, records: number): boolean {
  const db = store.databases[0]!;
  store.dirty++;
  return db.dropFrom(slot, records, (key) => {
    if (store.watchful) store.keyChanged(db, key);
  });
}
