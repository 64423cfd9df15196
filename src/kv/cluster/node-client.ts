import { AnaxError } from "../../base/errors.ts";

export interface NodeAddress {
  /** `redis://user:password@host:port`, or `rediss:`. */
  readonly url: string;
  /** For TLS: certificates, as Node takes them. */
  readonly tls?: object;
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
export async function connectNode({ url, tls }: NodeAddress): Promise<NodeClient> {
  const { createClient, ErrorReply } = await import("@redis/client"); // few need it
  const socket = { connectTimeout: CONNECT_MS, reconnectStrategy: false as const };
  const client = createClient({
    RESP: 2, // maps come as lists
    url,
    socket: tls === undefined ? socket : { ...socket, ...tls, tls: true },
    commandOptions: { timeout: ANSWER_MS },
  });
  client.on("error", () => {}); // each call says so itself
  const address = new URL(url).host;
  await client.connect().catch((cause: unknown) => {
    throw new AnaxError("socket.closed", { address, reason: (cause as Error).message }, { cause });
  });
  return {
    address,
    call: async (...parts) => {
      try {
        return await client.sendCommand([...parts]);
      } catch (cause) {
        if (!(cause instanceof ErrorReply)) throw new AnaxError("socket.closed", { address, reason: (cause as Error).message }, { cause });
        throw new AnaxError("input.invalid", { address, reason: cause.message }, { cause });
      }
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}
