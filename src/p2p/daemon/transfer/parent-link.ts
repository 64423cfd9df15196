import { Semaphore } from "../../../base/limits.ts";
import type { ConnectionOptions } from "./parent-connection.ts";
import { ParentConnection } from "./parent-connection.ts";

/** The connections to one parent, and the line of requests for it. */
export class ParentLink {
  /** One slot per request that all connections together take. */
  readonly slots: Semaphore;
  readonly #options: Omit<ConnectionOptions, "onEnded" | "onIdle" | "onClosed">;
  readonly #connectionsMax: number;
  /** Those that take requests. */
  readonly #open = new Set<ParentConnection>();

  constructor(options: Omit<ConnectionOptions, "onEnded" | "onIdle" | "onClosed">) {
    const { fetchConnectionsPerParent, fetchPipelineMax, fetchWaitingMax } = options.config;
    const slots = fetchConnectionsPerParent * fetchPipelineMax;
    this.#options = options;
    this.#connectionsMax = options.parent.keepsConnection ? fetchConnectionsPerParent : slots;
    this.slots = new Semaphore({ slots, waitingMax: fetchWaitingMax });
  }

  /** Requests under way or in line. */
  get inFlight(): number {
    return this.slots.inFlight + this.slots.waiting;
  }

  get unused(): boolean {
    return this.inFlight === 0 && this.#open.size === 0;
  }

  /** Whether another connection would help. */
  get mayOpen(): boolean {
    return this.#open.size < this.#connectionsMax;
  }

  /** The connection with the fewest requests under way that takes another one. */
  leastBusy(): ParentConnection | undefined {
    const depth = this.#options.parent.keepsConnection ? this.#options.config.fetchPipelineMax : 0;
    let best: ParentConnection | undefined;
    for (const each of this.#open) if (each.inFlight < Math.min(depth, best?.inFlight ?? depth)) best = each;
    return best;
  }

  idleOne(): ParentConnection | undefined {
    return this.#open.values().find((each) => each.inFlight === 0);
  }

  connect(events: { readonly onIdle: (connection: ParentConnection) => void; readonly onClosed: () => void }): ParentConnection {
    const connection = new ParentConnection({
      ...this.#options,
      onIdle: () => events.onIdle(connection),
      onEnded: () => this.#open.delete(connection),
      onClosed: events.onClosed,
    });
    this.#open.add(connection);
    return connection;
  }

  connections(): readonly ParentConnection[] {
    return [...this.#open];
  }
}
