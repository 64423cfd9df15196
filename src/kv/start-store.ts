import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { busyClock } from "../base/busy-clock.ts";
import type { Clock } from "../base/clock.ts";
import { AnaxError, systemCodeOf } from "../base/errors.ts";
import { loadNativeSocket, type NativeSocket } from "../disk/native-socket.ts";
import { Request } from "../wire/resp/request.ts";
import { admissionRefusal } from "./clients/admission.ts";
import { COMMANDS } from "./commands/all.ts";
import { CommandTable } from "./commands/table.ts";
import { Connection, type ConnectionShared } from "./clients/connection.ts";
import { connectionPoller } from "./clients/connection-poller.ts";
import { startHousekeeping } from "./housekeeping.ts";
import type { Log } from "../base/log.ts";
import type { ParameterValues } from "./parameters/parameters.ts";
import { Persistence } from "./persist/persistence.ts";
import { Replication } from "./replica/replication.ts";
import { Store, type ShutdownHow } from "./store.ts";
import { acceptWaiting } from "./clients/native-accept.ts";
import { createTlsServer } from "./clients/tls.ts";

const READ_BYTES = 64 * 1024;

/** A store inside a program is that program's own, and its tests': those on this machine may DEBUG it. `anax store` says otherwise. */
const EMBEDDED: Partial<ParameterValues> = {
  "enable-debug-command": "local",
  "enable-protected-configs": "local",
  "enable-module-command": "local",
};

export interface StoreOptions {
  readonly host?: string;
  /** 0: a free one. Undefined: 6379. */
  readonly port?: number;
  readonly parameters?: Partial<ParameterValues>;
  /** Users besides those of `aclfile`: the name and its rules, as a `user` line of redis.conf has them. */
  readonly users?: readonly (readonly string[])[];
  /** The file that parameters came from, for INFO. */
  readonly configFile?: string;
  /** What SHUTDOWN does; undefined: the command is refused. */
  readonly shutdown?: (how: ShutdownHow) => void;
  readonly clock?: Clock;
  /** False: does without system calls that Node lacks, as where there is no library for them. */
  readonly native?: boolean;
  /** Where it keeps its data; undefined: it keeps none. The parameter `dir` says the same. */
  readonly dataDir?: string;
  readonly log?: Log;
}

const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, child: () => SILENT };

/** A server that runs. Disposing it closes its connections. */
export interface RunningStore extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** 0: none. */
  readonly tlsPort: number;
  readonly store: Store;
}

/**
 * Starts a Redis-compatible server in this thread; it is ready once what it has on disk is read. Throws `disk.corrupt`, `disk.io`, `listen.address-in-use`, `listen.failed`, `config.invalid` for certificates, or a `CommandError`
 * for users that are wrong.
 */
export async function startStore(options: StoreOptions = {}): Promise<RunningStore> {
  await using scope = new AsyncDisposableStack();
  const { clock = busyClock, host = "127.0.0.1", port = 6379 } = options;
  const directory = options.dataDir === undefined ? {} : { dir: options.dataDir };
  const store = new Store({
    clock,
    commands: new CommandTable(COMMANDS),
    parameters: { ...EMBEDDED, ...directory, ...options.parameters },
  });
  store.shutdown = options.shutdown;
  const persistence = (store.persistence = scope.use(new Persistence(store, options.log ?? SILENT)));
  const replication = (store.replication = scope.use(new Replication(store, options.log ?? SILENT)));
  store.tick();
  if (store.parameters.aclfile !== "") store.loadUsers(store.parameters.aclfile);
  if (options.users !== undefined && options.users.length > 0)
    store.acl.define(
      options.users.map((words) => ({ words: ["user", ...words], from: "user" })),
      store.acl.default.copy(), // it may have a password, by `requirepass`
    );
  const accept = acceptorFor(store, options.native === false ? undefined : await loadNativeSocket());
  const backlog = store.parameters["tcp-backlog"];
  const plain = port < 0 ? undefined : await listen(createServer({ pauseOnConnect: true }, accept), { host, port, backlog });
  if (plain !== undefined) {
    scope.defer(() => stopListening(plain.server));
    accept.whileBusyFrom(plain.server);
  }
  const wantedTls = store.parameters["tls-port"];
  const secure = wantedTls === 0 ? undefined : await listen(createTlsServer(store.parameters, accept), { host, port: wantedTls, backlog });
  if (secure !== undefined) scope.defer(() => stopListening(secure.server));
  store.listening = { host, port: plain?.port ?? 0, tlsPort: secure?.port ?? 0, configFile: options.configFile ?? "" };
  store.parameters.port = store.listening.port;
  scope.use(store.eviction);
  scope.use(startHousekeeping(store));
  scope.defer(() => accept.closeAll());
  await persistence.load(() => replication.followAsConfigured());
  const owned = scope.move();
  return { host, port: store.listening.port, tlsPort: store.listening.tlsPort, store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

interface Acceptor {
  (socket: Socket): void;
  closeAll(): void;
  /** Accepts connections of this server even while a script has the thread to itself. */
  whileBusyFrom(server: Server): void;
}

/** Makes clients of connections, or refuses them. */
function acceptorFor(store: Store, native: NativeSocket | undefined): Acceptor {
  const shared: ConnectionShared = { store, buffer: Buffer.allocUnsafeSlow(READ_BYTES), request: new Request(), native };
  const connections = new Set<Connection>();
  const accept = (socket: Socket): void => {
    const refusal = admissionRefusal(store, socket.remoteAddress);
    if (refusal !== undefined) {
      store.statistics.connectionsRejected++;
      socket.on("error", () => socket.destroy());
      socket.end(`-${refusal}\r\n`, () => socket.destroy());
      return;
    }
    const keepAliveSeconds = store.parameters["tcp-keepalive"];
    if (keepAliveSeconds > 0) socket.setKeepAlive(true, keepAliveSeconds * 1000);
    const connection = new Connection(socket, shared, () => connections.delete(connection));
    connections.add(connection);
  };
  const pollAll = connectionPoller(connections, shared.request);
  store.scripting.poll = pollAll;
  return Object.assign(accept, {
    whileBusyFrom: (server: Server) => {
      store.scripting.poll = () => {
        acceptWaiting(server, native, accept);
        pollAll();
      };
    },
    closeAll: () => {
      for (const connection of connections) connection.close();
    },
  });
}

/**
 * Not to be waited for: the server counts the connections that it has accepted, and never hears of the end of those that `Connection` has taken over. They
 * are closed by us.
 */
function stopListening(server: Server): void {
  server.close();
}

async function listen(
  server: Server,
  at: { readonly host: string; readonly port: number; readonly backlog: number },
): Promise<{ readonly server: Server; readonly port: number }> {
  server.listen(at);
  await once(server, "listening").catch((cause: unknown) => {
    const { host, port } = at;
    throw new AnaxError(systemCodeOf(cause) === "EADDRINUSE" ? "listen.address-in-use" : "listen.failed", { host, port }, { cause });
  });
  return { server, port: (server.address() as AddressInfo).port }; // a listening TCP server has one
}
