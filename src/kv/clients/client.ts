import { isLoopback } from "./admission.ts";
import type { User } from "../acl/user.ts";
import { ReplyWriter } from "../../wire/resp/reply-writer.ts";
import type { Request } from "../../wire/resp/request.ts";
import type { Command } from "../commands/command.ts";
import type { Blocked } from "./blocking.ts";
import { CommandError, wrongType } from "../command-error.ts";
import type { Database } from "../keyspace/database.ts";
import type { Address } from "../keyspace/arena.ts";
import { STRING, type Value } from "../keyspace/value.ts";
import type { Replica } from "../replica/replica.ts";
import type { Store } from "../store.ts";
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
  /** Closes the connection at once; what was written and not sent is lost. Undefined for one that has none, as `peer`. */
  drop?(): void;
  /** Resolves when the other side has taken most of what was written, or has gone. */
  drained?(): Promise<void>;
  /** Undefined for one that has no connection. */
  readonly peer?: Peer | undefined;
}

export interface ReplicaOffers {
  /** Where it listens itself. */
  readonly port: number;
  readonly host: string | undefined;
  /** It takes a snapshot whose length is not told before. */
  readonly eof: boolean;
  /** It takes another name of the history. */
  readonly psync2: boolean;
}

const NO_OFFERS: ReplicaOffers = { port: 0, host: undefined, eof: false, psync2: false };

/** What a client has subscribed to. */
export interface Subscriptions {
  readonly channels: Set<string>;
  readonly patterns: Set<string>;
  readonly shards: Set<string>;
}

/** How a client is told of keys that change. */
export interface Tracking {
  /** The connection that gets the messages; undefined: this one. */
  readonly redirect: number | undefined;
  /** Of BCAST: keys that begin so; undefined: those that it has read. */
  readonly prefixes: ReadonlySet<string> | undefined;
  readonly mode: "all" | "optin" | "optout";
  readonly noLoop: boolean;
  /** What CLIENT CACHING has said for the next command. */
  caching: boolean | undefined;
  /** The connection that got the messages is gone. */
  broken: boolean;
}

/** About what a client takes that does nothing. */
const CLIENT_BYTES = 20_000;

/** About what a name takes in a set besides its letters. */
const NAME_BYTES = 100;

/** What is known of the connection behind a client. */
export interface Peer {
  /** `127.0.0.1:50312`. */
  readonly address: string;
  readonly localAddress: string;
  /** Bytes that were received and not read yet, of all that is allocated for them, or will be once the argument under way has come. */
  readonly queryBytes: number;
  readonly queryAllocatedBytes: number;
  /** Bytes of replies that were not taken yet by the other side. */
  readonly unsentBytes: number;
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
  /** As `CLIENT SETINFO` has them. */
  library = { name: "", version: "" };
  /** Signed in, or nobody has to. */
  known: boolean;
  /** Commands queued since MULTI. */
  transaction: Transaction | undefined;
  /** Keys that EXEC depends on were changed. */
  spoiled = false;
  blocked: Blocked | undefined;
  /** The command that waits, and since when (monotonic milliseconds). */
  waited: { readonly request: Request; readonly sinceMs: number } | undefined;
  /** Not within a transaction or a script: there a command that would wait answers at once. */
  mayBlock = true;
  /** The command that runs, or ran last. */
  command: Command | undefined;
  /** Of one that runs the commands of a script: whose script it is. */
  caller: Client | undefined;
  lastUsedMs: number;
  /** Since when it has been over the soft limit of what waits to be sent. */
  slowSinceMs: number | undefined;
  closing = false;
  /** Answers that are not sent: none, to the command that follows, or to all. */
  silence: "off" | "next" | "all" = "off";
  noEvict = false;
  noTouch = false;
  /** Arguments of the command that runs which are shown nowhere: passwords. */
  secrets: Set<number> | undefined;
  monitors = false;
  user: User;
  /** EXEC runs its commands. */
  inExec = false;
  subscriptions: Subscriptions | undefined;
  tracking: Tracking | undefined;
  /** The command that runs. */
  running: Request | undefined;
  /** Called once when the connection is gone. */
  onClosed: (() => void) | undefined;
  /** A command that waits for the end of CLIENT PAUSE. */
  postponed: Request | undefined;

  /** By READONLY: a replica answers it what it has. */
  readsReplica = false;
  /** By ASKING: the next command, or the one that runs, is for a slot that is still on its way. */
  asking: "no" | "next" | "now" = "no";

  /** A key that it has waited for is there; its reply is being written. */
  served = false;
  /** It gets the history of changes. */
  replica: Replica | undefined;
  /** What a replica has told of itself before it asked for the history. */
  offers = NO_OFFERS;
  /** The server that this one follows: it may do what others may not. */
  isPrimary = false;
  /** How far history and journal went when it had last changed something. */
  replicationOffset = 0;
  journalOffset = 0;

  #held: Buffer[] = [];

  constructor(store: Store, id: number, output: ClientOutput) {
    this.store = store;
    this.id = id;
    this.output = output;
    this.db = store.databases[0]!;
    this.user = store.acl.default;
    this.known = this.user.enabled && this.user.noPassword;
    this.createdMs = this.lastUsedMs = store.nowMs;
  }

  get address(): string {
    return this.output.peer?.address ?? "";
  }

  /** Memory that the client itself takes: what was received and not run, what was not sent, what is queued. */
  get memoryBytes(): number {
    const peer = this.output.peer;
    return CLIENT_BYTES + (peer?.queryAllocatedBytes ?? 0) + (peer?.unsentBytes ?? 0) + this.transactionBytes + this.#namesBytes;
  }

  /** Of what it watches, has subscribed to, and is told of. */
  get #namesBytes(): number {
    const { channels = [], patterns = [], shards = [] } = this.subscriptions ?? {};
    let bytes = this.store.watches.bytesOf(this);
    for (const names of [channels, patterns, shards, this.tracking?.prefixes ?? []])
      for (const name of names) bytes += NAME_BYTES + name.length;
    return bytes;
  }

  get transactionBytes(): number {
    return (this.transaction?.queue ?? []).reduce((sum, { request }) => sum + request.bytes.length, 0);
  }

  get isLocal(): boolean {
    return this.address === "" || isLoopback(this.address);
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

  /** Writes a message that comes by itself: after the reply of the command that runs, if one does, and whatever CLIENT REPLY says. */
  pushes(write: (reply: ReplyWriter) => void): void {
    const { reply } = this;
    const from = reply.length;
    write(reply);
    if (this.running === undefined && !this.served) return this.output.wake();
    this.#held.push(Buffer.from(reply.view(from)));
    reply.truncate(from);
  }

  /** At the end of a command: its messages follow its reply. */
  releaseHeld(): void {
    if (this.#held.length === 0) return;
    for (const message of this.#held) this.reply.raw(message);
    this.#held = [];
  }

  get userName(): string {
    return this.user.name;
  }

  /** Throws `WRONGPASS`. */
  signIn(name: string, password: string): void {
    const user = this.store.acl.get(name);
    if (user?.accepts(password) !== true) {
      this.store.acl.deny(this, "auth", this.running?.text(0) ?? "", name); // by AUTH or HELLO
      throw new CommandError("WRONGPASS invalid username-password pair or user is disabled.");
    }
    this.user = user;
    this.known = true;
  }

  /** An error that is no `CommandError` of the command that runs: of one that waited, say. */
  fail(message: string): void {
    this.store.statistics.error(message);
    this.reply.error(message);
  }

  /** Does not show this argument of the command that runs, from the log of slow commands to MONITOR. */
  redact(index: number): void {
    (this.secrets ??= new Set()).add(index);
  }

  /** Journal and replicas get these commands instead of the one that runs; none: nothing. */
  propagateAs(...commands: (readonly (string | Uint8Array)[])[]): void {
    this.store.effects = commands;
  }

  /** One more of these commands. */
  alsoPropagate(command: readonly string[]): void {
    (this.store.effects ??= []).push(command);
  }
}
