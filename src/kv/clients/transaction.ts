import type { Request } from "../../wire/resp/request.ts";
import type { Command } from "../commands/command.ts";
import type { Client } from "./client.ts";
import type { Database } from "../keyspace/database.ts";

/** What was queued since MULTI. */
export interface Transaction {
  readonly queue: { readonly command: Command; readonly request: Request }[];
  /** A command was refused: EXEC will be, too. */
  refused: boolean;
}

/** About what a watched key takes besides its letters. */
const WATCHED_BYTES = 200;

/** Who watches which keys. */
export class Watches {
  readonly #clients = new Map<Database, Map<string, Set<Client>>>();
  readonly #keys = new Map<Client, { readonly db: Database; readonly key: string; readonly gone: boolean }[]>();

  get any(): boolean {
    return this.#keys.size > 0;
  }

  add(client: Client, db: Database, key: string): void {
    const keys = this.#keys.get(client) ?? [];
    if (keys.some((watched) => watched.db === db && watched.key === key)) return;
    const address = db.peekText(key);
    keys.push({ db, key, gone: address === 0 });
    this.#keys.set(client, keys);
    const byKey = this.#clients.get(db) ?? new Map<string, Set<Client>>();
    this.#clients.set(db, byKey);
    const clients = byKey.get(key) ?? new Set();
    byKey.set(key, clients.add(client));
  }

  count(client: Client): number {
    return this.#keys.get(client)?.length ?? 0;
  }

  /** Memory that it takes to watch. */
  bytesOf(client: Client): number {
    return (this.#keys.get(client) ?? []).reduce((sum, { key }) => sum + WATCHED_BYTES + key.length, 0);
  }

  drop(client: Client): void {
    for (const { db, key } of this.#keys.get(client) ?? []) {
      const byKey = this.#clients.get(db);
      const clients = byKey?.get(key);
      clients?.delete(client);
      if (clients?.size === 0) byKey?.delete(key);
    }
    this.#keys.delete(client);
  }

  changed(db: Database, key: string): void {
    const clients = this.#clients.get(db)?.get(key);
    if (clients !== undefined) for (const client of clients) client.spoiled = true;
  }

  /** All keys of a database are about to go, or are replaced by others: those watched that are, or will be, there are changed. */
  replaced(db: Database, willBeThere: (key: string) => boolean): void {
    for (const [key, clients] of this.#clients.get(db) ?? [])
      if (db.peekText(key) !== 0 || willBeThere(key)) for (const client of clients) client.spoiled = true;
  }

  /** Slots have come or gone with all their keys. */
  moved(db: Database, isOne: (key: string) => boolean): void {
    for (const [key, clients] of this.#clients.get(db) ?? []) if (isOne(key)) for (const client of clients) client.spoiled = true;
  }

  /** A watched key that was there when it was watched has expired since. */
  hasExpired(client: Client): boolean {
    return (this.#keys.get(client) ?? []).some(({ db, key, gone }) => !gone && db.peekText(key) === 0);
  }
}

export function endTransaction(client: Client): void {
  client.transaction = undefined;
  client.spoiled = false;
  client.store.watches.drop(client);
}
