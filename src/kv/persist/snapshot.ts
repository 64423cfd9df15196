import { setImmediate as nextTurn } from "node:timers/promises";
import type { Address } from "../keyspace/arena.ts";
import type { Database } from "../keyspace/database.ts";
import type { Store } from "../store.ts";

/** How long the walk goes on before others have their turn. */
const SLICE_MS = 1;
/** A pause for tests is cut into parts of this. */
const PAUSE_MS = 20;
/** Keys between two looks at the clock. */
const KEYS_PER_LOOK = 16;
/** What is handed on at once. */
const CHUNK_BYTES = 256 * 1024;

/** Makes bytes of records: an RDB, or commands. */
export interface SnapshotEncoder {
  /** Bytes not taken yet. */
  readonly length: number;
  readonly keys: number;
  entry(db: Database, index: number, address: Address): void;
  end(): void;
  take(): Buffer;
}

/** The right to take the next snapshot. */
export interface SnapshotSlot extends Disposable {
  /**
   * The moment is that of the call. The bytes come as fast as the caller takes them, who has to begin at once; leaving the loop gives the snapshot up. `keyDelayMs`: a pause after
   * each key, for tests.
   */
  begin(encoder: SnapshotEncoder, keyDelayMs: () => number): AsyncGenerator<Buffer, void>;
}

/** The records of one database as it was: they may belong to another by now, or to none. */
interface Part {
  readonly index: number;
  db: Database;
  cursor: number;
  walked: boolean;
}

/**
 * All keys as they are at one moment, written while they go on being changed: a walk through the tables in small steps, and whatever is changed before the walk has come to it
 * is written first as it was. One at a time.
 */
export class Snapshots {
  readonly #store: Store;
  #parts: Part[] = [];
  #encoder: SnapshotEncoder | undefined;
  #busy = false;
  readonly #waiting: (() => void)[] = [];
  keysTotal = 0;

  constructor(store: Store) {
    this.#store = store;
  }

  /** One is under way: no other can begin. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Bytes that wait to be taken. */
  get pendingBytes(): number {
    return this.#encoder?.length ?? 0;
  }

  get keysDone(): number {
    return this.#encoder?.keys ?? 0;
  }

  /** Resolves when none is under way. */
  async free(): Promise<void> {
    while (this.#busy) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Nobody else may begin one before this one has begun and ended, or the slot is disposed of. Must not be called while one is under way. */
  reserve(): SnapshotSlot {
    this.#busy = true;
    let begun = false;
    return {
      begin: (encoder, keyDelayMs) => {
        begun = true;
        return this.#begin(encoder, keyDelayMs);
      },
      [Symbol.dispose]: () => {
        if (!begun) this.#ended();
      },
    };
  }

  #begin(encoder: SnapshotEncoder, keyDelayMs: () => number): AsyncGenerator<Buffer, void> {
    this.#encoder = encoder;
    this.keysTotal = this.#store.databases.reduce((sum, db) => sum + db.count, 0);
    this.#parts = this.#store.databases.map((db, index) => ({ index, db, cursor: 0, walked: false }));
    for (const db of this.#store.databases) db.beginSnapshot((changing, address) => this.#write(changing, address));
    return this.#run(encoder, keyDelayMs);
  }

  /** Before a database is cleared: the snapshot keeps what it has not written yet. True: nothing is left in it to be cleared. */
  flushing(db: Database): boolean {
    const part = this.#parts.find((each) => each.db === db && !each.walked);
    if (part === undefined) return false;
    const kept = db.blank();
    kept.swapWith(db);
    part.db = kept;
    return true;
  }

  /** Two databases have changed places. */
  swapped(a: Database, b: Database): void {
    for (const part of this.#parts) part.db = part.db === a ? b : part.db === b ? a : part.db;
  }

  async *#run(encoder: SnapshotEncoder, keyDelayMs: () => number): AsyncGenerator<Buffer, void> {
    let whole = false;
    try {
      while (this.#walk(keyDelayMs() > 0 ? 1 : Infinity)) {
        if (keyDelayMs() > 0) await this.#pause(keyDelayMs);
        else if (encoder.length < CHUNK_BYTES) await nextTurn();
        if (encoder.length >= CHUNK_BYTES) yield encoder.take();
      }
      whole = true;
      this.#ended();
      encoder.end();
      yield encoder.take();
    } finally {
      if (!whole) void this.#giveUp();
    }
  }

  /** In small parts, as the delay may be changed meanwhile. */
  async #pause(keyDelayMs: () => number): Promise<void> {
    const { clock } = this.#store;
    const startedMs = clock.nowMs();
    for (;;) {
      const leftMs = startedMs + keyDelayMs() - clock.nowMs();
      if (leftMs <= 0) return;
      await clock.sleep(Math.min(leftMs, PAUSE_MS));
    }
  }

  /** What is not written yet is only marked, so that the next one can begin. */
  async #giveUp(): Promise<void> {
    this.#encoder = undefined;
    while (this.#walk(Infinity)) await nextTurn();
    this.#ended();
  }

  #ended(): void {
    for (const { db } of this.#parts) db.endSnapshot();
    this.#parts = [];
    this.#encoder = undefined;
    this.#busy = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  /** Goes on for a while, for so many keys at most; false: there is nothing left. */
  #walk(keysMax: number): boolean {
    const { clock } = this.#store;
    const untilMs = clock.nowMs() + SLICE_MS;
    let keys = 0;
    for (const part of this.#parts) {
      while (!part.walked) {
        const { db } = part;
        part.cursor = db.scan(part.cursor, (address) => {
          if (!db.takeForSnapshot(address)) return;
          this.#encoder?.entry(db, part.index, address);
          keys++;
        });
        part.walked = part.cursor === 0;
        if (keys >= keysMax || (this.#encoder?.length ?? 0) >= CHUNK_BYTES) return true;
        if (keys % KEYS_PER_LOOK === 0 && clock.nowMs() > untilMs) return true;
      }
    }
    return false;
  }

  #write(db: Database, address: Address): void {
    const part = this.#parts.find((each) => each.db === db);
    if (part !== undefined) this.#encoder?.entry(db, part.index, address);
  }
}
