import type { Client } from "./client.ts";
import type { Database } from "../keyspace/database.ts";
import { observeServed } from "../info/observe.ts";

/** A client that waits for something, and how it ends. */
export interface Blocked {
  readonly db: Database;
  readonly keys: readonly string[];
  /** Tries to answer now that a key has changed. True: it has replied. */
  readonly serve: (key: string) => boolean;
  /** Replies when its time is over; undefined where it waits for ever. */
  readonly timedOut: () => void;
  /** What it waits for, for `CLIENT LIST` and `INFO`. */
  readonly reason: "keys" | "replicas" | "pause";
  readonly timer: Disposable | undefined;
}

/** Clients that wait for keys, served in the order in which they came. */
export class BlockedClients {
  readonly #waiting = new Map<Database, Map<string, Set<Client>>>();
  /** Changed keys that somebody waits for, in the order of the changes. */
  #ready: { readonly db: Database; readonly key: string }[] = [];
  #serving = false;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Names of keys that somebody waits for. */
  get keyCount(): number {
    let count = 0;
    for (const keys of this.#waiting.values()) count += keys.size;
    return count;
  }

  add(client: Client, blocked: Blocked): void {
    this.#count++;
    client.blocked = blocked;
    const byKey = this.#waiting.get(blocked.db) ?? new Map<string, Set<Client>>();
    this.#waiting.set(blocked.db, byKey);
    for (const key of blocked.keys) byKey.set(key, (byKey.get(key) ?? new Set()).add(client));
  }

  /** The client waits no more, whatever the reason; its connection goes on with what it has sent meanwhile. */
  release(client: Client): void {
    const { blocked } = client;
    if (blocked === undefined) return;
    this.#count--;
    client.blocked = undefined;
    blocked.timer?.[Symbol.dispose]();
    const byKey = this.#waiting.get(blocked.db);
    for (const key of blocked.keys) {
      const clients = byKey?.get(key);
      clients?.delete(client);
      if (clients?.size === 0) byKey?.delete(key);
    }
    client.output.wake();
    client.output.resume();
  }

  /** Remembers the key for `serve`, if somebody waits for it. */
  changed(db: Database, key: string): void {
    if (this.#waiting.get(db)?.has(key) === true && !this.#ready.some((ready) => ready.db === db && ready.key === key))
      this.#ready.push({ db, key });
  }

  /** Two databases change places, or all keys come anew: whatever is waited for may be there. */
  changedAll(db: Database): void {
    for (const key of this.#waiting.get(db)?.keys() ?? []) this.changed(db, key);
  }

  /** After a command, a transaction or a script: whoever can be served is, and what serving them changes serves others. */
  serve(): void {
    if (this.#serving) return;
    this.#serving = true;
    try {
      while (this.#ready.length > 0) {
        const ready = this.#ready;
        this.#ready = [];
        for (const { db, key } of ready)
          for (const client of Array.from(this.#waiting.get(db)?.get(key) ?? [])) {
            if (served(client, key)) this.release(client);
            client.store.propagation.flush(true);
          }
      }
    } finally {
      this.#serving = false;
    }
  }
}

/** What its own command changes is told to it after the reply. */
function served(client: Client, key: string): boolean {
  client.served = true;
  const done = client.blocked?.serve(key) === true;
  client.served = false;
  if (done) observeServed(client);
  client.releaseHeld();
  return done;
}
