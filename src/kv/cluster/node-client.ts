import { realClock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";

export interface NodeAddress {
  /** `redis://user:password@host:port`, or `rediss:`. */
  readonly url: string;
  /** For TLS: certificates, as Node takes them. */
  readonly tls?: object;
  /** Longest time for an answer. */
  readonly answerMs?: number;
}

/** A connection to a node of a cluster, for commands that answer with anything. */
export interface NodeClient extends Disposable {
  readonly address: string;
  /** Throws `socket.closed`; `input.invalid` for an error that the node answers with. */
  readonly call: (...parts: readonly string[]) => Promise<unknown>;
}

const CONNECT_MS = 3000;
const ANSWER_MS = 10_000;

/** Throws `socket.closed`. */
export async function connectNode({ url, tls, answerMs = ANSWER_MS }: NodeAddress): Promise<NodeClient> {
  const { createClient, ErrorReply } = await import("@redis/client"); // few need it
  const socket = { connectTimeout: CONNECT_MS, reconnectStrategy: false as const };
  const closed = (cause: unknown): AnaxError =>
    new AnaxError("socket.closed", { address: /[^@/]*$/.exec(url)![0], reason: (cause as Error).message }, { cause });
  let client;
  try {
    client = createClient({
      RESP: 2, // maps come as lists
      url,
      socket: tls === undefined ? socket : { ...socket, ...tls, tls: true },
    });
  } catch (cause) {
    throw closed(cause);
  }
  client.on("error", () => {}); // each call says so itself
  const { host: address } = new URL(url);
  try {
    await answered(client.connect(), answerMs);
  } catch (cause) {
    client.destroy();
    throw closed(cause);
  }
  return {
    address,
    call: async (...parts) => {
      try {
        return await answered(client.sendCommand([...parts]), answerMs);
      } catch (cause) {
        if (cause instanceof ErrorReply) throw new AnaxError("input.invalid", { address, reason: cause.message }, { cause });
        if (client.isOpen) client.destroy(); // a late answer must not be taken for another's
        throw closed(cause);
      }
    },
    [Symbol.dispose]: () => {
      if (client.isOpen) client.destroy();
    },
  };
}

/** The library's own deadlines end with the TCP connection, and with the writing of a command: a node that stands still would be waited for without an end. */
async function answered<T>(answer: Promise<T>, answerMs: number): Promise<T> {
  using deadline = realClock.deadline(answerMs);
  const { promise: late, reject } = Promise.withResolvers<never>();
  deadline.signal.addEventListener("abort", () => reject(new Error(`no answer within ${answerMs} ms`)), { once: true });
  return await Promise.race([answer, late]);
}
