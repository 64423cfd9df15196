import { ActiveExpiry } from "./active-expiry.ts";
import { tendClients } from "./clients/client-upkeep.ts";
import { dropIdleBlocks } from "./keyspace/uncounted-memory.ts";
import type { Store } from "./store.ts";

/** Buckets of a table that is growing or shrinking, moved before one looks at the clock, … */
const BUCKETS = 256;
/** … and how long that goes on each time: as in Redis a hundredth of the time, at ten times a second. */
const TIDYING_MS = 1;

/** Begins what a store does by itself, `hz` times a second: deletes keys whose time has come, goes on with growing and shrinking. */
export function startHousekeeping(store: Store): Disposable {
  const expiry = new ActiveExpiry(store);
  let timer: Disposable;
  const next = (delayMs: number): void => {
    timer = store.clock.timer(delayMs, () => {
      const soonMs = store.cronPaused ? undefined : run(store, expiry);
      next(soonMs ?? 1000 / clamped(store.parameters.hz));
    });
  };
  next(1000 / clamped(store.parameters.hz));
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}

/** Redis' bounds for `hz`. */
const clamped = (hz: number): number => Math.max(1, Math.min(500, hz));

/** Milliseconds until it should run again, where that is sooner than usual. */
function run(store: Store, expiry: ActiveExpiry): number | undefined {
  store.tick();
  const begunMs = store.clock.nowMs();
  for (const db of store.databases) {
    let goesOn = true;
    while (goesOn) goesOn = db.tidy(BUCKETS) && store.clock.nowMs() - begunMs < TIDYING_MS;
  }
  const startedMs = store.clock.nowMs();
  const soonMs = store.expiresActively ? expiry.run() : undefined;
  const expiryMs = Math.round(store.clock.nowMs() - startedMs);
  const thresholdMs = store.parameters["latency-monitor-threshold"];
  if (thresholdMs > 0 && expiryMs >= thresholdMs) store.latencies.add("expire-cycle", expiryMs, store.nowMs);
  tendClients(store);
  dropIdleBlocks(begunMs);
  store.rates.sample(store);
  if (store.tracking.count > 0) store.tracking.limit();
  store.propagation.flush(false);
  store.persistence?.tick();
  store.replication?.tick();
  store.shutdown?.tick();
  if (store.waits.any) store.waits.serve();
  if (store.blocked.count > 0) store.blocked.serve();
  return soonMs;
}
