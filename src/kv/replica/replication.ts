import type { Log } from "../../base/log.ts";
import type { CommandFlag } from "../commands/command.ts";
import { Client } from "../clients/client.ts";
import { pauseUntil, unpause } from "../clients/pause.ts";
import type { InfoField } from "../info/sections.ts";
import type { Store } from "../store.ts";
import { Failover } from "./failover.ts";
import { Link, type PrimaryAddress } from "./link.ts";
import { Primary } from "./primary.ts";
import type { Replica } from "./replica.ts";

const DRAIN_LOOK_MS = 10;
const READ_ONLY = "READONLY You can't write against a read only replica.";
const STALE = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

/** Whether this server follows another, and who follows this one. */
export class Replication implements Disposable {
  readonly primary: Primary;
  readonly failover: Failover;
  readonly #store: Store;
  readonly #log: Log;
  link: Link | undefined;
  /** Runs what comes from the server that is followed; made when one is. */
  #follower: Client | undefined;

  constructor(store: Store, log: Log) {
    this.#store = store;
    this.#log = log;
    this.primary = new Primary(store, log);
    this.failover = new Failover(store, log, this);
    store.infoSections.set("replication", () => this.#info());
  }

  readonly #gate = (_: Client, flags: readonly CommandFlag[]): string | undefined => {
    const { parameters } = this.#store;
    if (flags.includes("write") && parameters["replica-read-only"]) return READ_ONLY;
    const isStale = this.link?.state !== "connected" && !parameters["replica-serve-stale-data"];
    return isStale && !flags.includes("stale") ? STALE : undefined;
  };

  #newFollower(): Client {
    const store = this.#store;
    const link = (): Link | undefined => this.link;
    const client = new Client(store, store.nextClientId(), {
      wake: () => {},
      resume: () => {},
      close: () => link()?.drop(),
      drop: () => link()?.drop(),
      get peer() {
        return link()?.peer;
      },
    });
    client.known = client.isPrimary = true;
    client.mayBlock = false;
    return client;
  }

  /** What a snapshot tells of the history that it is a moment of, so that who reads it can go on from there; nothing where nobody could. */
  get snapshotFields(): readonly (readonly [string, string])[] {
    const { replicationId, replicationOffset } = this.#store;
    if (this.primary.backlog === undefined) return [];
    const database = this.link === undefined ? this.primary.streamDatabase : this.#follower!.db.index;
    return [
      ["repl-stream-db", String(database)],
      ["repl-id", replicationId],
      ["repl-offset", String(replicationOffset)],
    ];
  }

  /** The snapshot that was read at the start has told this. */
  restored(fields: ReadonlyMap<string, string>): void {
    const store = this.#store;
    const id = fields.get("repl-id") ?? "";
    const offset = Number(fields.get("repl-offset"));
    if (!/^[0-9a-f]{40}$/.test(id) || !Number.isSafeInteger(offset) || offset < 0) return;
    if (store.parameters.replicaof === "") return this.primary.restore(id, offset);
    store.replicationId = id;
    store.replicationOffset = offset;
    store.knowsHistory = true;
    const database = store.databases[Number(fields.get("repl-stream-db") ?? 0)];
    if (database !== undefined) (this.#follower ??= this.#newFollower()).db = database;
  }

  /** Follows whom `replicaof` names, if anybody. */
  followAsConfigured(): void {
    const [host, port] = this.#store.parameters.replicaof.split(" ");
    if (host !== undefined && port !== undefined && /^\d+$/.test(port)) this.follow({ host, port: Number(port) });
  }

  /** Follows that server from now on. */
  follow(address: PrimaryAddress): void {
    const store = this.#store;
    const wasPrimary = this.link === undefined;
    this.link?.[Symbol.dispose]();
    // What this server has may be a part of what the other has: if it knows the history, it says so.
    if (wasPrimary && this.primary.backlog !== undefined) store.knowsHistory = true;
    if (wasPrimary) this.#unblock();
    store.gates.add(this.#gate);
    store.parameters.replicaof = `${address.host} ${address.port}`;
    this.#log.info("store.follows", { ...address });
    this.link = new Link((this.#follower ??= this.#newFollower()), address, this.#log, {
      asksToLead: () => this.failover.asks,
      answered: (refusal) => this.failover.answered(refusal),
      restarted: (id, offset) => {
        store.knowsHistory = true;
        this.primary.restart(id, offset);
      },
      continued: (id) => {
        if (id === undefined || id === store.replicationId) return;
        this.primary.rename(id);
        this.primary.dropReplicas();
      },
      applied: (bytes) => this.primary.feed(bytes),
    });
    store.roleChanged();
    this.primary.begin();
  }

  /** Clients that wait for something which only a primary can give. */
  #unblock(): void {
    for (const client of this.#store.clients.values()) {
      if (client.blocked === undefined || client.blocked.reason === "pause") continue;
      client.fail("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");
      client.closing = true;
      this.#store.blocked.release(client);
    }
  }

  /** Follows nobody any more; whoever followed the same server can go on with this one. */
  lead(): void {
    if (this.link === undefined) return;
    this.link[Symbol.dispose]();
    this.link = undefined;
    const store = this.#store;
    store.gates.delete(this.#gate);
    store.parameters.replicaof = "";
    store.roleChanged();
    this.primary.rename();
    // They have to learn the new name, and go on at once.
    this.primary.dropReplicas();
    this.primary.begin();
    this.#log.info("store.leads");
  }

  tick(): void {
    this.failover.tick();
    this.primary.tick(this.link !== undefined);
    this.link?.tick();
  }

  /** Replicas that have not told that they have everything. */
  get lagging(): readonly Replica[] {
    const { replicationOffset } = this.#store;
    return this.link === undefined ? this.primary.online.filter(({ ackOffset }) => (ackOffset ?? 0) < replicationOffset) : [];
  }

  /** Before the server ends without having been asked: replicas get everything, for `shutdown-timeout` seconds at most, and meanwhile writes wait. */
  async drain(): Promise<void> {
    const { clock, parameters, shutdown } = this.#store;
    if (shutdown?.ready === true || this.lagging.length === 0) return;
    pauseUntil(this.#store, Infinity, "write", "shutdown");
    this.primary.askAckNow();
    const untilMs = clock.nowMs() + parameters["shutdown-timeout"] * 1000;
    while (this.lagging.length > 0 && clock.nowMs() < untilMs) await clock.sleep(DRAIN_LOOK_MS);
  }

  [Symbol.dispose](): void {
    unpause(this.#store, "shutdown");
    this.failover[Symbol.dispose]();
    this.link?.[Symbol.dispose]();
    for (const replica of this.primary.replicas.values()) replica.drop();
  }

  #info(): readonly InfoField[] {
    const { primary, link } = this;
    const { replicationId, replicationOffset, parameters } = this.#store;
    const { backlog, replicas, before } = primary;
    return [
      ["role", link === undefined ? "master" : "slave"],
      ...(link === undefined ? [] : this.#linkInfo(link)),
      ["connected_slaves", replicas.size],
      ...(parameters["min-replicas-to-write"] > 0 && parameters["min-replicas-max-lag"] > 0
        ? ([["min_slaves_good_slaves", primary.goodCount]] satisfies InfoField[])
        : []),
      ...[...replicas.values()].map((replica, index): InfoField => {
        const { host, port } = replica.announced;
        const lag = replica.ackOffset === undefined ? 0 : Math.floor((this.#store.nowMs - replica.ackMs) / 1000);
        const state = replica.state === "waiting" ? "wait_bgsave" : replica.state === "snapshot" ? "send_bulk" : "online";
        return [`slave${index}`, `ip=${host},port=${port},state=${state},offset=${replica.ackOffset ?? 0},lag=${lag}`];
      }),
      ["master_failover_state", this.failover.state],
      ["master_replid", replicationId],
      ["master_replid2", before.id],
      ["master_repl_offset", replicationOffset],
      ["second_repl_offset", before.offset < 0 ? -1 : before.offset + 1],
      ["repl_backlog_active", backlog === undefined ? 0 : 1],
      ["repl_backlog_size", parameters["repl-backlog-size"]],
      ["repl_backlog_first_byte_offset", backlog === undefined ? 0 : backlog.start + 1],
      ["repl_backlog_histlen", backlog?.length ?? 0],
    ];
  }

  #linkInfo({ address, state, lastHeardMs, downSinceMs, receivedBytes }: Link): readonly InfoField[] {
    const { nowMs, replicationOffset, parameters } = this.#store;
    const seconds = (sinceMs: number): number => Math.max(0, Math.floor((nowMs - sinceMs) / 1000));
    return [
      ["master_host", address.host],
      ["master_port", address.port],
      ["master_link_status", state === "connected" ? "up" : "down"],
      ["master_last_io_seconds_ago", state === "connected" ? seconds(lastHeardMs) : -1],
      ["master_sync_in_progress", state === "sync" ? 1 : 0],
      ["slave_read_repl_offset", replicationOffset],
      ["slave_repl_offset", replicationOffset],
      ...(state === "sync" ? ([["master_sync_read_bytes", receivedBytes]] satisfies InfoField[]) : []),
      ...(state === "connected" ? [] : ([["master_link_down_since_seconds", seconds(downSinceMs)]] satisfies InfoField[])),
      ["slave_priority", parameters["replica-priority"]],
      ["slave_read_only", parameters["replica-read-only"] ? 1 : 0],
      ["replica_announced", parameters["replica-announced"] ? 1 : 0],
    ];
  }
}
