import { slotOfKey } from "../../src/kv/keyspace/key-slot.ts";
import { RespClient, type Reply } from "../store/resp-client.ts";

/** What came of a call; `unknown`: it was sent, and no answer came. */
export type Outcome =
  | { readonly kind: "answer"; readonly reply: Reply; readonly callMs: number; readonly returnMs: number }
  | { readonly kind: "unknown"; readonly callMs: number }
  | { readonly kind: "not-made" };

const ANSWER_MS = 4000;
const TRIES_MS = 15_000;
const RETRY_MS = 10;
/** Refused before anything was done. */
const NOT_NOW = /^(TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|UNBLOCKED|MISCONF)\b/;

/** A client of the cluster: it sends a call where it belongs, and says what came of it. One call at a time. */
export class ClusterCaller implements Disposable {
  readonly #ports: readonly number[];
  readonly #connections = new Map<number, RespClient>();
  readonly #portOf = new Map<number, number>();
  readonly #stops: () => boolean;
  /** Answers by which the cluster has sent it elsewhere, or told it to wait. */
  redirections = 0;
  waits = 0;
  /** Other errors, which no client should see. */
  readonly errors: string[] = [];
  /** What was answered last that was no answer. */
  lastReply = "";

  constructor(ports: readonly number[], stops: () => boolean) {
    this.#ports = ports;
    this.#stops = stops;
  }

  /** One command, or those of a transaction, of which the answer is that of EXEC. */
  async call(key: string, ...commands: readonly (readonly string[])[]): Promise<Outcome> {
    const slot = slotOfKey(key);
    const untilMs = performance.now() + TRIES_MS;
    while (performance.now() < untilMs) {
      if (this.#stops()) return { kind: "not-made" };
      const port = this.#portOf.get(slot) ?? this.#ports[slot % this.#ports.length]!;
      const connection = await this.#connect(port);
      if (connection === undefined) {
        this.#portOf.delete(slot);
        await pause();
        continue;
      }
      const callMs = performance.now();
      const reply = await this.#send(port, connection, commands);
      if (reply === undefined) return { kind: "unknown", callMs };
      if (!(reply instanceof Error)) return { kind: "answer", reply, callMs, returnMs: performance.now() };
      this.lastReply = `${port}: ${reply.message}`;
      const moved = /^(?:EXECABORT .*)?MOVED \d+ [^:]*:(\d+)/.exec(reply.message)?.[1];
      if (moved !== undefined) {
        this.redirections++;
        this.#portOf.set(slot, Number(moved));
      } else if (NOT_NOW.test(reply.message) || reply.message.startsWith("EXECABORT")) {
        this.waits++;
        await pause();
      } else {
        this.errors.push(reply.message);
        return { kind: "not-made" };
      }
    }
    return { kind: "not-made" };
  }

  async #connect(port: number): Promise<RespClient | undefined> {
    const known = this.#connections.get(port);
    if (known !== undefined) return known;
    const fresh = await within(ANSWER_MS, RespClient.connect(port)).catch(() => undefined);
    if (fresh !== undefined) this.#connections.set(port, fresh);
    return fresh;
  }

  /** Undefined: no answer. Then the connection is of no use, as a late answer would be taken for another's. */
  async #send(port: number, connection: RespClient, commands: readonly (readonly string[])[]): Promise<Reply | undefined> {
    const all = commands.length === 1 ? commands : [["MULTI"], ...commands, ["EXEC"]];
    try {
      const replies = await within(ANSWER_MS, Promise.all(all.map((parts) => connection.call(...parts))));
      const last = replies.at(-1)!;
      // What was refused when it was queued says why; EXEC only says that it was.
      const first = replies.find((reply) => reply instanceof Error);
      return last instanceof Error ? (first ?? last) : last;
    } catch {
      connection[Symbol.dispose]();
      this.#connections.delete(port);
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections.values()) connection[Symbol.dispose]();
  }
}

export const pause = (ms = RETRY_MS): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)));
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
