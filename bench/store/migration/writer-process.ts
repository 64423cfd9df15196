import { createConnection, type Socket } from "node:net";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { encode } from "../feed.ts";

// Writes keys that move, wherever they are, until it is told to stop: a process of its own, so that nothing but the servers holds it up. What it is to do comes over the channel of the parent.

export interface WriterOrder {
  /** Of two nodes; all keys are at the first that `at` names. */
  readonly ports: readonly [number, number];
  readonly at: 0 | 1;
  readonly keys: readonly string[];
  readonly valueBytes: number;
  readonly perSecond: number;
}

/** What a writer has seen. */
export interface Written {
  readonly perSecond: number;
  readonly redirected: number;
  /** Anything else than OK, MOVED and ASK. */
  readonly errors: number;
}

const TURN_MS = 2;
/** Of one connection without a reply: a server that is further behind does not keep up, and gets no more. */
const WAITING_MAX = 4096;
const OK = "+OK\r\n";
const ASKING = encode(["ASKING"]);

class Writer {
  readonly #order: WriterOrder;
  readonly #requests: readonly string[];
  readonly #nodes: readonly [Node, Node];
  /** By key, the number of its node. */
  readonly #owners: Uint8Array;
  #next = 0;
  #count = 0;
  #redirected = 0;
  #errors = 0;

  constructor(order: WriterOrder) {
    this.#order = order;
    const value = "y".repeat(order.valueBytes);
    this.#requests = order.keys.map((key) => encode(["SET", key, value]));
    this.#owners = new Uint8Array(order.keys.length).fill(order.at);
    this.#nodes = [this.#node(0), this.#node(1)];
  }

  #node(index: 0 | 1): Node {
    return new Node(this.#order.ports[index], (key, reply) => this.#replied(index, key, reply));
  }

  async run(signal: AbortSignal): Promise<Written> {
    await Promise.all(this.#nodes.map((node) => once(node.socket, "connect")));
    const beganMs = performance.now();
    let sent = 0;
    while (!signal.aborted) {
      const due = ((performance.now() - beganMs) / 1000) * this.#order.perSecond;
      for (; sent < due && this.#send(this.#next); sent++) this.#next = (this.#next + 1) % this.#requests.length;
      sent = Math.max(sent, Math.floor(due) - WAITING_MAX); // what could not be sent in time is not sent all at once later
      for (const node of this.#nodes) node.flush();
      await sleep(TURN_MS);
    }
    const seconds = (performance.now() - beganMs) / 1000;
    return { perSecond: Math.round(this.#count / seconds), redirected: this.#redirected, errors: this.#errors };
  }

  /** False: its node has enough to do. */
  #send(key: number): boolean {
    return this.#nodes[this.#owners[key]!]!.add(key, this.#requests[key]!);
  }

  #replied(from: 0 | 1, key: number, reply: string): void {
    if (reply === "") return void this.#count++;
    const other = this.#nodes[1 - from]!;
    if (reply.startsWith("-MOVED ")) {
      this.#redirected++;
      this.#owners[key] = this.#order.ports.indexOf(Number(reply.slice(reply.lastIndexOf(":") + 1)));
      this.#send(key);
    } else if (reply.startsWith("-ASK ")) {
      this.#redirected++;
      other.add(key, this.#requests[key]!, true);
    } else {
      this.#errors++;
      this.#send(key);
    }
  }
}

/** A pipelined connection. */
class Node {
  readonly socket: Socket;
  readonly #replied: (key: number, reply: string) => void;
  /** Keys without a reply, in their order; -1: what answers ASKING. */
  #waiting: number[] = [];
  #first = 0;
  #out: string[] = [];
  #rest = "";

  constructor(port: number, replied: (key: number, reply: string) => void) {
    this.#replied = replied;
    this.socket = createConnection({ host: "127.0.0.1", port, noDelay: true }).setEncoding("latin1");
    this.socket.on("data", (text: string) => this.#received(text));
  }

  add(key: number, request: string, asks = false): boolean {
    if (this.#waiting.length - this.#first >= WAITING_MAX && !asks) return false;
    if (asks) {
      this.#waiting.push(-1);
      this.#out.push(ASKING);
    }
    this.#waiting.push(key);
    this.#out.push(request);
    return true;
  }

  flush(): void {
    if (this.#out.length === 0) return;
    this.socket.write(this.#out.join(""), "latin1");
    this.#out = [];
  }

  /** Replies are lines; the empty one stands for OK, which most of them are. */
  #received(text: string): void {
    const all = this.#rest + text;
    let at = 0;
    for (let end = all.indexOf("\r\n"); end >= 0; end = all.indexOf("\r\n", at)) {
      const reply = end - at === OK.length - 2 && all.startsWith(OK, at) ? "" : all.slice(at, end);
      at = end + 2;
      const key = this.#waiting[this.#first++]!; // there is one for each reply
      if (key >= 0) this.#replied(key, reply);
    }
    this.#rest = all.slice(at);
    if (this.#first < WAITING_MAX) return;
    this.#waiting = this.#waiting.slice(this.#first);
    this.#first = 0;
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
