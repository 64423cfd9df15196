import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { realClock, type Clock } from "../base/clock.ts";
import { AnaxError, systemCodeOf } from "../base/errors.ts";
import { Request } from "../wire/resp/request.ts";
import { COMMANDS } from "./commands/all.ts";
import { CommandTable } from "./commands/table.ts";
import { Connection, type ConnectionShared } from "./connection.ts";
import { startHousekeeping } from "./housekeeping.ts";
import type { ParameterValues } from "./parameters.ts";
import { Store } from "./store.ts";

const READ_BYTES = 64 * 1024;
const BACKLOG = 511;

/** A store inside a program is that program's own, and its tests': those on this machine may DEBUG it. `anax store` says otherwise. */
const EMBEDDED: Partial<ParameterValues> = {
  "enable-debug-command": "local",
  "enable-protected-configs": "local",
  "enable-module-command": "local",
};

export interface StoreOptions {
  readonly host?: string;
  /** 0: a free one. */
  readonly port?: number;
  readonly parameters?: Partial<ParameterValues>;
  readonly clock?: Clock;
}

/** A server that runs. Disposing it closes its connections. */
export interface RunningStore extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly store: Store;
}

/** Starts a Redis-compatible server in this thread. Throws `listen.address-in-use`, `listen.failed`. */
export async function startStore(options: StoreOptions = {}): Promise<RunningStore> {
  const clock = options.clock ?? realClock;
  const store = new Store({ clock, commands: new CommandTable(COMMANDS), parameters: { ...EMBEDDED, ...options.parameters } });
  store.tick();
  const shared: ConnectionShared = { store, buffer: Buffer.allocUnsafeSlow(READ_BYTES), request: new Request() };
  const connections = new Set<Connection>();
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    const connection = new Connection(socket, shared, () => connections.delete(connection));
    connections.add(connection);
  });
  const { host = "127.0.0.1", port = 6379 } = options;
  server.listen({ host, port, backlog: BACKLOG });
  await once(server, "listening").catch((cause: unknown) => {
    throw new AnaxError(systemCodeOf(cause) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed", { host, port }, { cause });
  });
  const bound = (server.address() as AddressInfo).port; // a listening TCP server has one
  store.listening = { ...store.listening, host, port: bound };
  store.parameters.port = bound;
  const housekeeping = startHousekeeping(store);
  return {
    host,
    port: bound,
    store,
    async [Symbol.asyncDispose]() {
      housekeeping[Symbol.dispose]();
      store.eviction[Symbol.dispose]();
      for (const connection of connections) connection.close();
      await server[Symbol.asyncDispose]();
    },
  };
}
