import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { keyAt, type Keys } from "./keys.ts";
import { WriterConnection } from "./writer-connection.ts";

// Writes keys, wherever they are, until it is told to stop: a process of its own, so that nothing but the servers holds it up. What it is to do comes over the channel of the parent.

export interface WriterOrder {
  /** Of two nodes; all keys that move are at the one that `at` names, those that stay at the first. */
  readonly ports: readonly [number, number];
  readonly at: 0 | 1;
  readonly moving: Keys;
  /** Every second write is to one of these, if there are any. */
  readonly staying: Keys | undefined;
  readonly valueBytes: number;
  readonly perSecond: number;
}

/** What a writer has seen. */
export interface Written {
  readonly perSecond: number;
  readonly redirected: number;
  /** Anything else than OK, MOVED and ASK. */
  readonly errors: number;
  /** From a write to its OK, redirections and repetitions in it. */
  readonly longestMs: number;
}

const TURN_MS = 2;
/** What could not be sent in time is not sent all at once later. */
const BEHIND_MAX = 4096;

class Writer {
  readonly #order: WriterOrder;
  readonly #nodes: readonly [WriterConnection, WriterConnection];
  /** By key, those that stay behind those that move: the number of its node, and since when it is being written (0: not). */
  readonly #owners: Uint8Array;
  readonly #sinceMs: Float64Array;
  #next = 0;
  #nowMs = performance.now();
  #count = 0;
  #redirected = 0;
  #errors = 0;
  #longestMs = 0;

  constructor(order: WriterOrder) {
    this.#order = order;
    const { moving, staying } = order;
    this.#owners = new Uint8Array(moving.count + (staying?.count ?? 0)).fill(order.at, 0, moving.count);
    this.#sinceMs = new Float64Array(this.#owners.length);
    this.#nodes = [this.#node(0), this.#node(1)];
  }

  #node(index: 0 | 1): WriterConnection {
    const { ports, valueBytes, moving, staying } = this.#order;
    const keyOf = (key: number): string => (key < moving.count ? keyAt(moving, key) : keyAt(staying!, key - moving.count));
    return new WriterConnection({ port: ports[index], valueBytes, keyOf }, (key, error) => this.#replied(index, key, error));
  }

  async run(signal: AbortSignal): Promise<Written> {
    await Promise.all(this.#nodes.map((node) => once(node.socket, "connect")));
    const beganMs = performance.now();
    let sent = 0;
    while (!signal.aborted) {
      this.#nowMs = performance.now();
      const due = ((this.#nowMs - beganMs) / 1000) * this.#order.perSecond;
      while (sent < due && this.#begin(this.#keyAt(this.#next))) {
        sent++;
        this.#next++;
      }
      sent = Math.max(sent, Math.floor(due) - BEHIND_MAX);
      for (const node of this.#nodes) node.flush();
      await sleep(TURN_MS);
    }
    const seconds = (performance.now() - beganMs) / 1000;
    return {
      perSecond: Math.round(this.#count / seconds),
      redirected: this.#redirected,
      errors: this.#errors,
      longestMs: Math.round(this.#longestMs),
    };
  }

  #keyAt(next: number): number {
    const { moving, staying } = this.#order;
    if (staying === undefined) return next % moving.count;
    return next % 2 === 0 ? (next / 2) % moving.count : moving.count + (((next - 1) / 2) % staying.count);
  }

  /** False: its node has enough to do. */
  #begin(key: number): boolean {
    if (!this.#ownerOf(key).add(key)) return false;
    if (this.#sinceMs[key] === 0) this.#sinceMs[key] = this.#nowMs;
    return true;
  }

  #ownerOf(key: number): WriterConnection {
    return this.#nodes[this.#owners[key]!]!;
  }

  #replied(from: 0 | 1, key: number, error: string | undefined): void {
    if (error === undefined) {
      this.#count++;
      const tookMs = performance.now() - this.#sinceMs[key]!;
      if (this.#sinceMs[key]! > 0 && tookMs > this.#longestMs) this.#longestMs = tookMs;
      this.#sinceMs[key] = 0;
    } else if (error.startsWith("-MOVED ")) {
      this.#redirected++;
      this.#owners[key] = this.#order.ports.indexOf(Number(error.slice(error.lastIndexOf(":") + 1)));
      this.#ownerOf(key).repeat(key);
    } else if (error.startsWith("-ASK ")) {
      this.#redirected++;
      this.#nodes[1 - from]!.addAsking(key);
    } else {
      this.#errors++;
      this.#ownerOf(key).repeat(key);
    }
  }
}

const ends = new AbortController();
process.on("message", (order: WriterOrder | "stop") => {
  if (order === "stop") return ends.abort();
  new Writer(order).run(ends.signal).then(
    (written) => {
      process.send!(written); // it has a channel: the order came over it
      process.disconnect();
      process.exit();
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
