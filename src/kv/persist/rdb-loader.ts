import { CommandError } from "../command-error.ts";
import type { Database } from "../keyspace/database.ts";
import type { Store } from "../store.ts";
import type { Libraries } from "../scripting/functions.ts";
import { putValue } from "./put-value.ts";
import type { RdbKey, RdbSink } from "./rdb/rdb-decoder.ts";
import { RdbError } from "./rdb/rdb-error.ts";
import { HOLDING, parseHolding } from "../slots/holding.ts";
import { PROMOTIONS } from "./rdb-of-store.ts";

/** Where what is read goes: the store itself, or what is to take its place. */
export interface LoadTarget {
  readonly databases: readonly Database[];
  readonly libraries: Libraries;
}

export const intoStore = ({ databases, scripting: { libraries } }: Store): LoadTarget => ({ databases, libraries });

/** Puts what an RDB has into databases, which begin empty. */
export class RdbLoader implements RdbSink {
  readonly fields = new Map<string, string>();
  /** What was passed over, each kind once, with how often. */
  readonly skippedKinds = new Map<string, number>();
  loadedKeys = 0;
  expiredKeys = 0;
  readonly #store: Store;
  readonly #target: LoadTarget;
  readonly #lfu: boolean;
  /** Keys whose time has come are left out; a replica keeps them until its primary says so, and a primary where replicas may go on from there. */
  readonly #dropsExpired: boolean;
  /** What is there already is replaced; otherwise nothing may be there. */
  readonly #replaces: boolean;

  constructor(store: Store, target: LoadTarget, dropsExpired: boolean, replaces = false) {
    this.#store = store;
    this.#target = target;
    this.#lfu = store.parameters["maxmemory-policy"].endsWith("-lfu");
    this.#dropsExpired = dropsExpired;
    this.#replaces = replaces;
  }

  key({ database, key, value, expiryMs, idleSeconds, frequency }: RdbKey): void {
    const { databases } = this.#target;
    const db = databases[database];
    if (db === undefined) throw new RdbError(`a key of database ${database}: there are only ${databases.length}`);
    if ("skipped" in value) return this.skipped(value.skipped);
    if (expiryMs !== undefined && expiryMs <= this.#store.nowMs && this.#dropsExpired && !this.fields.has("repl-id")) {
      this.expiredKeys++;
      return;
    }
    const before = db.count;
    putValue(db, key, value, { expiryMs, idleSeconds, frequency, lfu: this.#lfu });
    if (db.count === before && !this.#replaces) throw new RdbError("a key twice");
    this.loadedKeys++;
  }

  field(name: string, value: string): void {
    this.fields.set(name, value);
    const { promotions, databases } = this.#store;
    if (name === PROMOTIONS && this.#target.databases === databases && /^\d{1,15}$/.test(value))
      promotions.last = promotions.saved = Number(value);
    if (name === HOLDING && this.#target.databases === databases) this.#store.holding = parseHolding(value);
  }

  library(code: string): void {
    const { libraries } = this.#target;
    try {
      const library = this.#store.scripting.loader.load(code);
      if (!this.#replaces && libraries.get(library.name) !== undefined) throw new RdbError("a library of functions that is there already");
      libraries.put(library);
    } catch (thrown) {
      if (!(thrown instanceof CommandError)) throw thrown;
      throw new RdbError(`a library of functions that cannot be loaded: ${thrown.message.replace(/^ERR /, "")}`);
    }
  }

  skipped(what: string): void {
    this.skippedKinds.set(what, (this.skippedKinds.get(what) ?? 0) + 1);
  }
}
