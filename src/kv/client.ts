import { ReplyWriter } from "../wire/resp/reply-writer.ts";
import type { Request } from "../wire/resp/request.ts";
import type { Blocked } from "./blocking.ts";
import { wrongType } from "./command-error.ts";
import type { Database } from "./keyspace/database.ts";
import type { Address } from "./keyspace/arena.ts";
import { STRING, type Value } from "./keyspace/value.ts";
import type { Store } from "./store.ts";
import type { Transaction } from "./transaction.ts";

/** Classes of keyspace events, by the letter that `notify-keyspace-events` has for them. */
export type EventClass = "g" | "$" | "l" | "s" | "h" | "z" | "x" | "e" | "t" | "m" | "n" | "d";

/** Sends what was written to a client; a connection, or whoever runs commands without one. */
export interface ClientOutput {
  /** Replies are there; they are sent before this thread waits again. */
  wake(): void;
  /** The client may go on after it was blocked. */
  resume(): void;
  /** Closes the connection, after what was written is sent. */
  close(): void;
}

/** One that sends commands, with all that the server knows of it. */
export class Client {
  readonly id: number;
  readonly store: Store;
  readonly reply = new ReplyWriter();
  readonly output: ClientOutput;
  readonly createdMs: number;
  db: Database;
  name = "";
  /** Signed in, or nobody has to. */
  known: boolean;
  /** Commands queued since MULTI. */
  transaction: Transaction | undefined;
  /** Keys that EXEC depends on were changed. */
  spoiled = false;
  blocked: Blocked | undefined;
  /** Not within a transaction or a script: there a command that would wait answers at once. */
  mayBlock = true;
  /** Name of the command that runs, or ran last. */
  lastCommand = "";
  lastUsedMs: number;
  closing = false;

  constructor(store: Store, id: number, output: ClientOutput) {
    this.store = store;
    this.id = id;
    this.output = output;
    this.db = store.databases[0]!;
    this.known = store.parameters.requirepass === "";
    this.createdMs = this.lastUsedMs = store.nowMs;
  }

  // --- for commands -----------------------------------------------------------------------------------------------------------------

  /** The string of a key that is read, 0 where there is none. Throws `WRONGTYPE`. */
  readString(request: Request, index: number): Address {
    return this.#stringOr(this.db.read(request, index));
  }

  /** The string of a key that is written, 0 where there is none. Throws `WRONGTYPE`. */
  findString(request: Request, index: number): Address {
    return this.#stringOr(this.db.find(request, index));
  }

  /** The value of a key that is read. Throws `WRONGTYPE` where it is of another type. */
  readValue<V extends Value>(request: Request, index: number, type: number): V | undefined {
    return this.#valueOf(this.db.read(request, index), type);
  }

  /** The value of a key that is written. Throws `WRONGTYPE` where it is of another type. */
  findValue<V extends Value>(request: Request, index: number, type: number): V | undefined {
    return this.#valueOf(this.db.find(request, index), type);
  }

  #stringOr(address: Address): Address {
    if (address !== 0 && this.db.typeOf(address) !== STRING) throw wrongType();
    return address;
  }

  #valueOf<V extends Value>(address: Address, type: number): V | undefined {
    if (address === 0) return undefined;
    if (this.db.typeOf(address) !== type) throw wrongType();
    return this.db.objectOf(address) as V;
  }

  /** A key was changed: counts, wakes who watches or waits for it, and tells who listens. */
  wrote(request: Request, index: number, kind: EventClass, event: string): void {
    this.store.dirty++;
    if (this.store.watchful) this.store.keyChanged(this.db, request.text(index), this);
    if (this.store.notifies) this.store.notify(kind, event, request.text(index), this.db);
  }

  /** The same for a key that is not among the arguments. */
  wroteText(key: string, kind: EventClass, event: string, db = this.db): void {
    this.store.dirty++;
    if (this.store.watchful) this.store.keyChanged(db, key, this);
    if (this.store.notifies) this.store.notify(kind, event, key, db);
  }

  /** A key is gone: by `DEL`, or since its last element has. */
  removed(request: Request, index: number, address: Address, event = "del"): void {
    this.db.remove(address);
    this.wrote(request, index, "g", event);
  }

  /** Journal and replicas get these commands instead of the one that runs; none: nothing. */
  propagateAs(...commands: readonly (readonly (string | Uint8Array)[])[]): void {
    this.store.effects = commands;
  }
}
