import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";

/** A TCP proxy to a port of this machine whose answers can be kept from arriving. */
export interface ReplyCutter extends AsyncDisposable {
  readonly port: number;
  /** From now on requests arrive, and answers do not. */
  holdReplies(): void;
  /** Breaks all connections; new ones work as they should. */
  cut(): void;
}

export async function startReplyCutter(targetPort: number): Promise<ReplyCutter> {
  const sockets = new Set<Socket>();
  let holds = false;
  const server = createServer((client) => {
    const target = connect(targetPort, "127.0.0.1");
    const end = (): void => {
      for (const socket of [client, target]) {
        socket.destroy();
        sockets.delete(socket);
      }
    };
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", end);
      socket.on("close", end);
    }
    client.pipe(target);
    target.on("data", (bytes) => {
      if (!holds) client.write(bytes);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = (): void => {
    holds = false;
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as AddressInfo).port, // a listening TCP server has one
    holdReplies: () => void (holds = true),
    cut,
    async [Symbol.asyncDispose]() {
      cut();
      await server[Symbol.asyncDispose]();
    },
  };
}
