import type { Log } from "../../base/log.ts";
import { pauseUntil, unpause } from "../clients/pause.ts";
import { CommandError } from "../command-error.ts";
import type { Store } from "../store.ts";
import type { PrimaryAddress } from "./link.ts";
import type { Replica } from "./replica.ts";
import type { Replication } from "./replication.ts";

/** What FAILOVER asks for. */
export interface FailoverOrder {
  /** Undefined: whoever has everything first. */
  readonly target: PrimaryAddress | undefined;
  /** How long the target may take to get everything; undefined: for ever. */
  readonly timeoutMs: number | undefined;
  /** The target takes over after that time even if it lacks something. */
  readonly forces: boolean;
}

type State =
  | { readonly name: "no-failover" }
  | { readonly name: "waiting-for-sync"; readonly order: FailoverOrder; readonly endMs: number }
  | { readonly name: "failover-in-progress"; readonly target: PrimaryAddress };

const NONE: State = { name: "no-failover" };

/**
 * Hands the role of the primary over without losing a write: writes wait until one replica has everything, then this server follows that one and asks it with `PSYNC … FAILOVER`
 * to lead (https://redis.io/docs/latest/commands/failover/).
 */
export class Failover {
  readonly #store: Store;
  readonly #log: Log;
  readonly #replication: Replication;
  #state: State = NONE;

  constructor(store: Store, log: Log, replication: Replication) {
    this.#store = store;
    this.#log = log;
    this.#replication = replication;
  }

  /** As INFO has it. */
  get state(): State["name"] {
    return this.#state.name;
  }

  /** The target is asked, and has not answered. */
  get asks(): boolean {
    return this.#state.name === "failover-in-progress";
  }

  /** Throws a `CommandError` where that cannot be. */
  begin(order: FailoverOrder): void {
    const { primary, link } = this.#replication;
    const { target, timeoutMs, forces } = order;
    if (this.#state !== NONE) throw new CommandError("ERR FAILOVER already in progress.");
    if (link !== undefined) throw new CommandError("ERR FAILOVER is not valid when server is a replica.");
    if (primary.replicas.size === 0) throw new CommandError("ERR FAILOVER requires connected replicas.");
    if (forces && (target === undefined || timeoutMs === undefined))
      throw new CommandError("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
    if (target !== undefined) {
      const replica = this.#find(target);
      if (replica === undefined) throw new CommandError("ERR FAILOVER target HOST and PORT is not a replica.");
      if (replica.state !== "online") throw new CommandError("ERR FAILOVER target replica is not online.");
    }
    this.#log.info("store.failover-requested", { ...order });
    this.#state = { name: "waiting-for-sync", order, endMs: this.#store.nowMs + (timeoutMs ?? Infinity) };
    pauseUntil(this.#store, Infinity, "write", "failover");
    primary.askAckNow();
  }

  /** Leads on, or again. */
  abort(reason: string): void {
    const state = this.#state;
    if (state === NONE) throw new CommandError("ERR No failover in progress.");
    this.#log.warn("store.failover-aborted", { reason });
    if (state.name === "failover-in-progress") this.#replication.lead();
    this.#end();
  }

  /** Time has gone on, or a replica has come further. */
  tick(): void {
    const state = this.#state;
    if (state.name !== "waiting-for-sync") return;
    const { order, endMs } = state;
    const { nowMs, replicationOffset } = this.#store;
    if (nowMs >= endMs) {
      if (!order.forces) return this.abort("Replica never caught up before timeout");
      this.#log.warn("store.failover-forced", { ...order.target });
      return this.#proceed(order.target!); // FORCE has one
    }
    const candidates = order.target === undefined ? this.#replication.primary.online : [this.#find(order.target)];
    const replica = candidates.find((each) => each?.ackOffset === replicationOffset);
    if (replica !== undefined) this.#proceed(order.target ?? replica.announced);
  }

  /** The target has said whether it leads. */
  answered(refusal: string | undefined): void {
    if (!this.asks) return;
    if (refusal !== undefined) return this.abort(`Failover target rejected psync request: ${refusal}`);
    this.#log.info("store.failover-done");
    this.#end();
  }

  [Symbol.dispose](): void {
    if (this.#state !== NONE) this.#end();
  }

  #find({ host, port }: PrimaryAddress): Replica | undefined {
    for (const replica of this.#replication.primary.replicas.values()) {
      const { announced } = replica;
      if (announced.host === host && announced.port === port) return replica;
    }
    return undefined;
  }

  #proceed(target: PrimaryAddress): void {
    this.#state = { name: "failover-in-progress", target };
    this.#log.info("store.failover-proceeds", { ...target });
    this.#replication.follow(target);
  }

  #end(): void {
    this.#state = NONE;
    unpause(this.#store, "failover");
  }
}
