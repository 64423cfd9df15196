import type { Address } from "./keyspace/arena.ts";
import type { Database } from "./keyspace/database.ts";
import { frequencyOf, idleSecondsOf } from "./keyspace/usage.ts";
import type { Store } from "./store.ts";

/** Candidates kept from one sample to the next: so the best of many is found though each sample is small (as Redis does since 3.0). */
const POOL_MAX = 16;
/** Keys that go between two looks at the clock. */
const KEYS_PER_LOOK = 16;

interface Candidate {
  readonly db: Database;
  readonly key: string;
  /** The larger, the sooner it goes. */
  readonly score: number;
}

/** Makes room by deleting keys, as `maxmemory-policy` says. */
export class Eviction {
  readonly #store: Store;
  /** From the lowest score to the highest. */
  #pool: Candidate[] = [];
  #later: Disposable | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Deletes keys until what is used is below `maxmemory`. False: it is not, and nothing more can go. One call takes about half a millisecond at most, unless
   * `maxmemory-eviction-tenacity` wants more; what is left to do then is done with the next command, or soon after.
   */
  makeRoom(): boolean {
    const store = this.#store;
    const { maxmemory } = store.parameters;
    if (maxmemory === 0 || store.usedBytes <= maxmemory) return true;
    const policy = store.parameters["maxmemory-policy"];
    // A replica does what its primary does, and what is loaded was there.
    if (store.databases[0]!.expiryMode !== "delete") return true;
    if (policy === "noeviction") return false;
    const untilMs = store.clock.nowMs() + limitMs(store.parameters["maxmemory-eviction-tenacity"]);
    for (let evicted = 1; store.usedBytes > maxmemory; evicted++) {
      if (!this.#evictOne(policy)) return false;
      if (evicted % KEYS_PER_LOOK === 0 && store.clock.nowMs() > untilMs) {
        this.makeRoomSoon();
        return true;
      }
    }
    return true;
  }

  [Symbol.dispose](): void {
    this.#later?.[Symbol.dispose]();
  }

  /** Another policy scores otherwise. */
  policyChanged(): void {
    this.#pool = [];
  }

  makeRoomSoon(): void {
    this.#later ??= this.#store.clock.timer(0, () => {
      this.#later = undefined;
      this.#store.tick();
      this.makeRoom();
      this.#store.blocked.serve();
    });
  }

  #evictOne(policy: string): boolean {
    const volatile = policy.startsWith("volatile-");
    const filled = this.#store.databases.filter((db) => (volatile ? db.expiryCount : db.count) > 0);
    if (filled.length === 0) return false;
    if (policy.endsWith("-random")) {
      const db = filled[Math.floor(Math.random() * filled.length)]!;
      this.#evict(db, sampleOf(db, volatile));
      return true;
    }
    // All that the pool has from before may be gone; then it is filled anew.
    for (let rounds = 0; rounds < 2; rounds++) {
      for (const db of filled) this.#sample(db, policy, volatile);
      for (let best = this.#pool.pop(); best !== undefined; best = this.#pool.pop()) {
        const { db, key } = best;
        const before = db.count;
        const address = db.peekText(key);
        if (address !== 0 && !(volatile && db.expiryOf(address) === undefined)) this.#evict(db, address);
        // It may have expired just now.
        if (db.count < before) return true;
      }
    }
    return false;
  }

  #sample(db: Database, policy: string, volatile: boolean): void {
    const count = this.#store.parameters["maxmemory-samples"];
    const byTime = policy.endsWith("-ttl");
    for (let i = 0; i < count; i++) {
      if (byTime) {
        const index = Math.floor(Math.random() * db.expiryCount);
        this.#offer(db, db.expiringAt(index), -db.expiringAtMs(index));
      } else {
        const address = sampleOf(db, volatile);
        this.#offer(db, address, this.#scoreOf(db.useBitsOf(address), policy));
      }
    }
  }

  #offer(db: Database, address: Address, score: number): void {
    const pool = this.#pool;
    if (pool.length === POOL_MAX && score <= pool[0]!.score) return;
    const key = db.keyOf(address);
    if (pool.some((other) => other.db === db && other.key === key)) return;
    const place = pool.findIndex((other) => other.score > score);
    pool.splice(place < 0 ? pool.length : place, 0, { db, key, score });
    if (pool.length > POOL_MAX) pool.shift();
  }

  #scoreOf(useBits: number, policy: string): number {
    const { nowMs, parameters } = this.#store;
    return policy.endsWith("-lfu") ? -frequencyOf(useBits, nowMs, parameters["lfu-decay-time"]) : idleSecondsOf(useBits, nowMs);
  }

  #evict(db: Database, address: Address): void {
    if (db.isFrozen(address)) return;
    const store = this.#store;
    const key = db.keyOf(address);
    db.remove(address);
    store.statistics.evictedKeys++;
    store.keyChanged(db, key);
    if (store.notifies) store.notify("e", "evicted", key, db);
    store.propagateParts(db, ["DEL", key]);
    store.propagation.flush(false);
  }
}

/** Some key; the database has one. */
const sampleOf = (db: Database, volatile: boolean): Address =>
  volatile ? db.expiringAt(Math.floor(Math.random() * db.expiryCount)) : db.random(Math.random);

/** As Redis reads `maxmemory-eviction-tenacity`: linear up to half a millisecond, then by 15 % a step. */
function limitMs(tenacity: number): number {
  if (tenacity <= 10) return (50 * tenacity) / 1000;
  return tenacity >= 100 ? Infinity : 0.5 * 1.15 ** (tenacity - 10);
}
