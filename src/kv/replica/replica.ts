import type { Client } from "../clients/client.ts";
import type { PrimaryAddress } from "./link.ts";

/**
 * A connection that gets the history: it waits for a snapshot, then gets one while what is changed meanwhile is kept for it, and then whatever is changed.
 * `acknowledging`: it has all of the snapshot, and is to say so.
 */
export type ReplicaState = "waiting" | "snapshot" | "acknowledging" | "online";

/** One that follows this server. What it does not take in time is limited; beyond it is dropped, so that nobody waits for it. */
export class Replica {
  readonly client: Client;
  state: ReplicaState = "waiting";
  /** How far it has come, as it says itself; undefined: it has never said so. */
  ackOffset: number | undefined;
  /** Of that, on its disk. */
  diskOffset = 0;
  ackMs: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #overSinceMs: number | undefined;
  /** Bytes that were sent to it, and of them those that it had taken when that was looked at last. */
  #sentBytes = 0;
  #takenBytes = 0;
  #tookMs: number;

  constructor(client: Client) {
    this.client = client;
    this.ackMs = this.#tookMs = client.store.nowMs;
  }

  /** Where it can be reached, as far as it has said so. */
  get announced(): PrimaryAddress {
    const { offers, address } = this.client;
    return { host: offers.host ?? hostOf(address), port: offers.port };
  }

  /** Bytes of the history that it has not taken. */
  get unsentBytes(): number {
    const pending = this.state === "snapshot" ? this.client.store.snapshots.pendingBytes : 0;
    return this.#heldBytes + pending + (this.client.output.peer?.unsentBytes ?? 0);
  }

  /** From time to time: whether it has taken nothing for so long of what there is for it. */
  hasStalled(ms: number): boolean {
    const { nowMs } = this.client.store;
    const unsent = this.client.output.peer?.unsentBytes ?? 0;
    const taken = this.#sentBytes - unsent;
    if (unsent === 0 || taken > this.#takenBytes) this.#tookMs = nowMs;
    this.#takenBytes = taken;
    return nowMs - this.#tookMs > ms;
  }

  /** More of the history. */
  feed(bytes: Buffer): void {
    if (this.state === "waiting" || this.client.closing) return;
    if (this.state === "online") this.send(bytes);
    else {
      this.#held.push(bytes);
      this.#heldBytes += bytes.length;
    }
    if (this.#isOverLimit()) this.drop();
  }

  /** It has the snapshot: it gets what was kept, and then all the rest. */
  goOnline(): void {
    this.state = "online";
    this.ackMs = this.client.store.nowMs;
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const bytes of held) this.send(bytes);
  }

  send(bytes: Uint8Array): void {
    this.#sentBytes += bytes.length;
    this.client.reply.raw(bytes);
    this.client.output.wake();
  }

  drop(): void {
    this.#held = [];
    this.#heldBytes = 0;
    this.client.closing = true;
    this.client.output.drop?.();
  }

  #isOverLimit(): boolean {
    const { store } = this.client;
    const { hardBytes, softBytes, softSeconds } = store.outputLimits.slave;
    const bytes = this.unsentBytes;
    if (hardBytes > 0 && bytes > Math.max(hardBytes, store.parameters["repl-backlog-size"])) return true;
    if (softBytes === 0 || bytes <= softBytes) {
      this.#overSinceMs = undefined;
      return false;
    }
    this.#overSinceMs ??= store.nowMs;
    return store.nowMs - this.#overSinceMs > softSeconds * 1000;
  }
}

const hostOf = (address: string): string => address.slice(0, address.lastIndexOf(":"));
