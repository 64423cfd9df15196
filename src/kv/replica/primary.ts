import { randomBytes } from "node:crypto";
import type { Log } from "../../base/log.ts";
import type { Client } from "../clients/client.ts";
import { commandBytes, EffectStream, type Effects } from "../propagation.ts";
import { REPLICATE } from "../replicate.ts";
import type { Store } from "../store.ts";
import { Backlog } from "./backlog.ts";
import { sendSnapshot } from "./full-sync.ts";
import { Replica } from "./replica.ts";

const PING = commandBytes("PING");
const GETACK = commandBytes("REPLCONF", "GETACK", "*");
const NO_ID = "0".repeat(40);

/** The history of changes, and those who follow it. */
export class Primary {
  readonly #store: Store;
  readonly #log: Log;
  readonly replicas = new Map<Client, Replica>();
  readonly #stream = new EffectStream(REPLICATE.replicas);
  readonly #sink = (effects: Effects): void => this.#stream.write(effects, (bytes) => this.feed(bytes));
  backlog: Backlog | undefined;
  /** The history that this one continues, up to an offset: that of the server which this one followed. */
  before = { id: NO_ID, offset: -1 };
  counts = { full: 0, partial: 0, partialRefused: 0 };
  #pingedMs = 0;
  #checkedMs = 0;
  #aloneSinceMs: number | undefined;
  #asksAck = false;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** The database that its stream has selected. */
  get streamDatabase(): number {
    return this.#stream.database;
  }

  /** Bytes that wait for replicas to take them. */
  get unsentBytes(): number {
    let bytes = 0;
    for (const replica of this.replicas.values()) bytes += replica.unsentBytes;
    return bytes;
  }

  /** Replicas that are online and were heard of at most `min-replicas-max-lag` seconds ago. */
  get goodCount(): number {
    const { nowMs, parameters } = this.#store;
    return this.online.filter(({ ackMs }) => Math.floor((nowMs - ackMs) / 1000) <= parameters["min-replicas-max-lag"]).length;
  }

  get online(): Replica[] {
    return [...this.replicas.values()].filter(({ state }) => state === "online");
  }

  /** A client wants the whole history: SYNC, or a PSYNC that cannot go on. */
  attach(client: Client, older: boolean): void {
    this.begin();
    if (this.replicas.size === 0) this.#pingedMs = this.#store.nowMs;
    const replica = new Replica(client);
    this.replicas.set(client, replica);
    client.replica = replica;
    this.counts.full++;
    void sendSnapshot(this.#store, replica, {
      older,
      log: this.#log,
      // The next command brings its SELECT along, as this replica begins with the first database.
      onMoment: () => this.#stream.restart(),
    });
  }

  /** A client goes on from an offset; false: that history, or that part of it, is not here. */
  resume(client: Client, id: string, offset: number): boolean {
    const store = this.#store;
    const known = id === store.replicationId || (id === this.before.id && offset <= this.before.offset + 1);
    const bytes = known ? this.backlog?.from(offset - 1) : undefined;
    if (bytes === undefined) {
      if (id !== "?") this.counts.partialRefused++;
      return false;
    }
    this.counts.partial++;
    const replica = new Replica(client);
    this.replicas.set(client, replica);
    client.replica = replica;
    client.reply.simple(client.offers.psync2 ? `CONTINUE ${store.replicationId}` : "CONTINUE");
    replica.goOnline();
    replica.send(bytes);
    return true;
  }

  /** A replica has gone. */
  detach(client: Client): void {
    this.replicas.delete(client);
    client.replica = undefined;
  }

  /** From now on there is a history, whether or not anybody follows it: what this server changes, or another one that it follows. */
  begin(): void {
    const store = this.#store;
    this.backlog ??= new Backlog(store.parameters["repl-backlog-size"], store.replicationOffset);
    if (store.replication?.link === undefined) store.propagation.sinks.add(this.#sink);
    else store.propagation.sinks.delete(this.#sink);
  }

  /** The history is another one, from that offset on. */
  restart(id: string, offset: number): void {
    this.#store.replicationId = id;
    this.#store.replicationOffset = offset;
    this.before = { id: NO_ID, offset: -1 };
    this.backlog = new Backlog(this.#store.parameters["repl-backlog-size"], offset);
    this.dropReplicas();
  }

  /** A snapshot has told of a history that this server goes on with: under another name, as nobody knows what was written after the snapshot. */
  restore(id: string, offset: number): void {
    this.before = { id, offset };
    this.#store.replicationOffset = offset;
    this.begin();
  }

  /** The history goes on under another name: those who know the old one may go on, too. */
  rename(id = randomBytes(20).toString("hex")): void {
    this.before = { id: this.#store.replicationId, offset: this.#store.replicationOffset };
    this.#store.replicationId = id;
    this.#stream.restart();
  }

  /** Something has changed that the history does not tell: who follows has to get everything. */
  beginAnew(): void {
    if (this.backlog !== undefined) this.restart(randomBytes(20).toString("hex"), this.#store.replicationOffset);
  }

  dropReplicas(): void {
    for (const { client } of this.replicas.values()) client.output.close();
  }

  /** Adds to the history. */
  feed(bytes: Buffer): void {
    const own = Buffer.from(bytes);
    this.#store.replicationOffset += own.length;
    this.backlog?.append(own);
    for (const replica of this.replicas.values()) replica.feed(own);
  }

  /** Wants to know how far replicas have come. */
  askAckNow(): void {
    this.feed(GETACK);
  }

  /** The same soon, for all who ask in this turn. In a failover the history stands, and replicas tell by themselves. */
  askAck(): void {
    if (this.#asksAck || this.#failsOver) return;
    this.#asksAck = true;
    queueMicrotask(() => {
      this.#asksAck = false;
      if (!this.#failsOver) this.askAckNow();
    });
  }

  get #failsOver(): boolean {
    return this.#store.replication !== undefined && this.#store.replication.failover.state !== "no-failover";
  }

  acknowledged(client: Client, offset: number, diskOffset: number | undefined): void {
    const replica = this.replicas.get(client);
    if (replica === undefined) return;
    replica.ackOffset = Math.max(offset, replica.ackOffset ?? 0);
    replica.diskOffset = Math.max(diskOffset ?? 0, replica.diskOffset);
    replica.ackMs = this.#store.nowMs;
    if (replica.state === "acknowledging") replica.goOnline();
  }

  /** How many have all up to that offset; on their disks, or in memory at least. */
  countAt(offset: number, disk: boolean): number {
    return this.online.filter(({ ackOffset, diskOffset }) => (disk ? diskOffset : (ackOffset ?? -1)) >= offset).length;
  }

  parametersChanged(): void {
    const size = this.#store.parameters["repl-backlog-size"];
    if (this.backlog !== undefined && this.backlog.size !== size) this.backlog = this.backlog.resized(size);
  }

  /** From time to time. `following`: the history is another server's, which does the pinging. */
  tick(following: boolean): void {
    const store = this.#store;
    const { nowMs, parameters } = store;
    if (nowMs - this.#checkedMs < 1000) return;
    this.#checkedMs = nowMs;
    for (const replica of this.replicas.values()) {
      // Those who never say how far they are cannot be told from those who are silent.
      const limitMs = parameters["repl-timeout"] * 1000;
      const isSilent = replica.ackOffset !== undefined && nowMs - replica.ackMs > limitMs;
      if (isSilent || replica.hasStalled(limitMs)) {
        this.#log.warn("store.replica-silent", { address: replica.client.address, state: replica.state });
        replica.drop();
      } else if (replica.state === "waiting") replica.send(Buffer.from("\n"));
    }
    if (
      this.replicas.size > 0 &&
      !following &&
      !this.#failsOver &&
      nowMs - this.#pingedMs >= parameters["repl-ping-replica-period"] * 1000
    ) {
      this.#pingedMs = nowMs;
      this.feed(PING);
    }
    if (!following) this.#forgetWhenAlone();
  }

  /** Without replicas for `repl-backlog-ttl` seconds nothing is kept for them any more, and who comes then begins anew. */
  #forgetWhenAlone(): void {
    const store = this.#store;
    const ttlMs = store.parameters["repl-backlog-ttl"] * 1000;
    if (this.replicas.size > 0 || this.backlog === undefined || ttlMs === 0) this.#aloneSinceMs = undefined;
    else if (this.#aloneSinceMs === undefined) this.#aloneSinceMs = store.nowMs;
    else if (store.nowMs - this.#aloneSinceMs > ttlMs) {
      this.backlog = undefined;
      store.propagation.sinks.delete(this.#sink);
      store.replicationId = randomBytes(20).toString("hex");
      this.before = { id: NO_ID, offset: -1 };
    }
  }
}
