import { REPLICATE } from "../replicate.ts";
import type { Store } from "../store.ts";
import { rangesOf, rangesText } from "./slot-text.ts";

/** One step takes about so long, and removes no more than so many; then others have their turn. */
const STEP_MS = 1;
const STEP_RECORDS = 500;
const RECORDS_PER_LOOK = 20;

/** Stores in which steps are being made. */
const stepping = new WeakSet<Store>();

/** The keys of slots that are another's now go: at once for journal and replicas, here a little with each turn. Nothing may come into these slots before `finishDrops`. */
export function dropSlots(store: Store, slots: readonly number[]): void {
  const db = store.databases[0]!;
  const filled = slots.filter((slot) => db.slotCount(slot) > 0);
  if (filled.length === 0) return;
  tell(store, filled);
  for (const slot of filled) db.beginDrop(slot);
  if (stepping.has(store)) return;
  stepping.add(store);
  dropOn(store);
}

function dropOn(store: Store): void {
  const { clock } = store;
  const untilMs = clock.nowMs() + STEP_MS;
  const { dropping } = store.databases[0]!; // what these slots have was exchanged meanwhile where it is empty
  const gone: number[] = [];
  let left = STEP_RECORDS;
  for (const slot of dropping.keys()) {
    let isGone = false;
    for (; !isGone && left > 0 && clock.nowMs() < untilMs; left -= RECORDS_PER_LOOK) isGone = dropSome(store, slot, RECORDS_PER_LOOK); // an empty slot costs something, too
    if (!isGone) break;
    gone.push(slot);
  }
  if (gone.length > 0) tell(store, gone);
  if (dropping.size > 0) setImmediate(() => dropOn(store));
  else stepping.delete(store);
}

/** What is being dropped of these slots is gone when this returns: something may come into them. */
export function finishDrops(store: Store, slots: readonly number[]): void {
  const { dropping } = store.databases[0]!;
  const open = slots.filter((slot) => dropping.has(slot));
  if (open.length === 0) return;
  dropSlotsNow(store, open);
  tell(store, open);
}

/** All of them now: in a journal, or on a replica. */
export function dropSlotsNow(store: Store, slots: Iterable<number>): void {
  for (const slot of slots) while (!dropSome(store, slot, Infinity));
}

/** When they begin to go, and when they are gone: a snapshot that began meanwhile has some of them. */
function tell(store: Store, slots: readonly number[]): void {
  store.propagateParts(store.databases[0]!, ["ANAX.DROPSLOTS", ...rangesText(rangesOf(slots)).split(" ")], REPLICATE.all);
  store.propagation.flush(false);
}

function dropSome(store: Store, slot: number, records: number): boolean {
  const db = store.databases[0]!;
  store.dirty++;
  return db.dropFrom(slot, records, (key) => {
    if (store.watchful) store.keyChanged(db, key);
  });
}
