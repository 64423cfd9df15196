import type { Client, Tracking } from "./client.ts";
import { keysOf } from "../commands/found-keys.ts";
import type { Store } from "../store.ts";

/** Which channel RESP2 clients listen to, on the connection that gets the messages. */
const CHANNEL = "__redis__:invalidate";

interface Prefix {
  readonly clients: Set<Client>;
  /** Keys that were changed since the last message, and by whom at last. */
  changed: Map<string, Client | undefined>;
}

/**
 * Which clients are to be told of which keys (https://redis.io/docs/latest/develop/reference/client-side-caching/): of those that they have read, or of all
 * that begin with a prefix. Keys of all databases are one, as in Redis.
 */
export class TrackingTable {
  readonly #store: Store;
  /** Clients that are told of anything. */
  count = 0;
  readonly #readers = new Map<string, Set<number>>();
  readonly #prefixes = new Map<string, Prefix>();
  /** Keys with prefixes have changed since. */
  #unannounced = false;

  constructor(store: Store) {
    this.#store = store;
  }

  get keyCount(): number {
    return this.#readers.size;
  }

  get itemCount(): number {
    let count = 0;
    for (const readers of this.#readers.values()) count += readers.size;
    return count;
  }

  get prefixCount(): number {
    return this.#prefixes.size;
  }

  start(client: Client, tracking: Tracking): void {
    if (client.tracking === undefined) this.count++;
    client.tracking = tracking;
    for (const prefix of tracking.prefixes ?? []) {
      const found = this.#prefixes.get(prefix) ?? { clients: new Set(), changed: new Map() };
      this.#prefixes.set(prefix, found);
      found.clients.add(client);
    }
  }

  /** Keys that it has read stay in the table until they change: nobody is told then. */
  stop(client: Client): void {
    if (client.tracking === undefined) return;
    for (const prefix of client.tracking.prefixes ?? []) {
      const clients = this.#prefixes.get(prefix)?.clients;
      clients?.delete(client);
      if (clients?.size === 0) this.#prefixes.delete(prefix);
    }
    client.tracking = undefined;
    if (--this.count === 0) this.#readers.clear();
  }

  /** Remembers the keys of a command that has read them. */
  remember(client: Client): void {
    const { tracking, command, running } = client;
    if (tracking === undefined || tracking.prefixes !== undefined || command === undefined || running === undefined) return;
    if (tracking.mode === "optin" ? tracking.caching !== true : tracking.mode === "optout" && tracking.caching === false) return;
    for (const { index, flags } of keysOf(command, running)) {
      if (flags.includes("not_key")) continue;
      const key = running.text(index);
      const readers = this.#readers.get(key) ?? new Set();
      this.#readers.set(key, readers.add(client.id));
    }
  }

  /** A key was changed. */
  changed(key: string, by: Client | undefined): void {
    if (this.#prefixes.size > 0) this.#rememberPrefixed(key, by);
    const readers = this.#readers.get(key);
    if (readers === undefined) return;
    this.#readers.delete(key);
    for (const id of readers) {
      const client = this.#store.clients.get(id);
      const tracking = client?.tracking;
      if (tracking === undefined || tracking.prefixes !== undefined || (tracking.noLoop && client === by)) continue;
      this.#tell(client!, [key]);
    }
  }

  /** All keys are gone. */
  flushed(): void {
    for (const client of this.#store.clients.values()) if (client.tracking !== undefined) this.#tell(client, undefined);
    this.#readers.clear();
  }

  /** Forgets keys beyond `tracking-table-max-keys`, as if they had been changed. */
  limit(): void {
    const max = this.#store.parameters["tracking-table-max-keys"];
    if (max === 0) return;
    for (const key of this.#readers.keys()) {
      if (this.#readers.size <= max) return;
      this.changed(key, undefined);
    }
  }

  #rememberPrefixed(key: string, by: Client | undefined): void {
    for (const [prefix, { changed }] of this.#prefixes) if (key.startsWith(prefix)) changed.set(key, by);
    if (this.#unannounced) return;
    this.#unannounced = true;
    queueMicrotask(() => this.announce());
  }

  /**
   * Tells of keys with prefixes that have changed: many changes at once make one message. To be called before whoever changed them is answered, who may tell others;
   * where nobody is, it is called by itself.
   */
  announce(): void {
    if (!this.#unannounced) return;
    this.#unannounced = false;
    for (const prefix of this.#prefixes.values()) {
      const { changed } = prefix;
      if (changed.size === 0) continue;
      prefix.changed = new Map();
      for (const client of prefix.clients) {
        const keys = [...changed].filter(([, by]) => client.tracking?.noLoop !== true || by !== client).map(([key]) => key);
        if (keys.length > 0) this.#tell(client, keys);
      }
    }
  }

  /** Undefined: of all keys. */
  #tell(client: Client, keys: readonly string[] | undefined): void {
    const { redirect } = client.tracking!;
    const target = redirect === undefined ? client : this.#store.clients.get(redirect);
    if (target === undefined) return this.#tellBroken(client, redirect!);
    const inChannel = target.reply.protocol === 2;
    if (inChannel && (redirect === undefined || target.subscriptions === undefined)) return;
    target.pushes((reply) => {
      reply.push(inChannel ? 3 : 2);
      if (inChannel) {
        reply.bulk("message");
        reply.bulk(CHANNEL);
      } else reply.bulk("invalidate");
      if (keys === undefined) reply.null();
      else reply.bulks(keys);
    });
  }

  #tellBroken(client: Client, redirect: number): void {
    client.tracking!.broken = true;
    if (client.reply.protocol === 2) return;
    client.pushes((reply) => {
      reply.push(2);
      reply.bulk("tracking-redir-broken");
      reply.integer(redirect);
    });
  }
}
