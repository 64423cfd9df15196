import type { Socket } from "node:net";
import { busyClock } from "../base/busy-clock.ts";
import type { Clock } from "../base/clock.ts";
import { loadHugeMemory, plainMemory } from "../disk/huge-pages.ts";
import { loadNativeConnections } from "../disk/native-connections.ts";
import { RequestBatch } from "../wire/resp/request-parser.ts";
import { admissionRefusal } from "./clients/admission.ts";
import { Rebalancer } from "./cluster/rebalance/rebalancer.ts";
import { openSlotMoves } from "./cluster/slot-moves.ts";
import { openCluster } from "./cluster/start-cluster.ts";
import { COMMANDS } from "./commands/all.ts";
import { CommandTable } from "./commands/table.ts";
import { Connection, type ConnectionShared } from "./clients/connection.ts";
import { Outbox } from "./clients/outbox.ts";
import { Turns } from "./clients/turns.ts";
import { connectionPoller } from "./clients/connection-poller.ts";
import { startHousekeeping } from "./housekeeping.ts";
import { AnaxError } from "../base/errors.ts";
import type { Log } from "../base/log.ts";
import type { Register } from "../register/register.ts";
import type { ParameterValues } from "./parameters/parameters.ts";
import { Persistence } from "./persist/persistence.ts";
import { Replication } from "./replica/replication.ts";
import { Shutdown } from "./shutdown.ts";
import { Store } from "./store.ts";
import { acceptWaiting } from "./clients/native-accept.ts";
import { Listeners } from "./clients/listeners.ts";

const READ_BYTES = 64 * 1024;

/** A store inside a program is that program's own, and its tests': those on this machine may DEBUG it. `anax store` says otherwise. */
const EMBEDDED: Partial<ParameterValues> = {
  "enable-debug-command": "local",
  "enable-protected-configs": "local",
  "enable-module-command": "local",
};

export interface StoreOptions {
  /** An address, or several as `bind` has them; undefined: those of the parameter, else 127.0.0.1. */
  readonly host?: string;
  /** 0: a free one; -1: none. Undefined: 6379. */
  readonly port?: number;
  readonly parameters?: Partial<ParameterValues>;
  /** Users besides those of `aclfile`: the name and its rules, as a `user` line of redis.conf has them. */
  readonly users?: readonly (readonly string[])[];
  /** The file that parameters came from, for INFO. */
  readonly configFile?: string;
  /** Ends the process once SHUTDOWN has seen to replicas and data; undefined: the command is refused. */
  readonly shutdown?: () => void;
  readonly clock?: Clock;
  /** False: does without system calls that Node lacks, as where there is no library for them. */
  readonly native?: boolean;
  /** Where it keeps its data; undefined: it keeps none. The parameter `dir` says the same. */
  readonly dataDir?: string;
  readonly log?: Log;
  /** The register that a cluster's nodes share, as `cluster-register` names it; needed where `cluster-enabled` is set. */
  readonly openRegister?: OpenRegister;
}

/** `url` is empty where nothing is set. Calls of the register end within `timeoutMs`. */
export type OpenRegister = (url: string, timeoutMs: number) => Promise<Register>;

/** A lease is renewed three times before it ends; a register that is much asked takes its time all the same. */
const REGISTER_MS_MIN = 1000;
const REGISTER_MS_MAX = 2000;

const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, child: () => SILENT };

/** A server that runs. Disposing it closes its connections. */
export interface RunningStore extends AsyncDisposable {
  /** The first of its addresses. */
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
  const { clock = busyClock, port = 6379, log = SILENT } = options;
  const bind = options.host ?? options.parameters?.bind ?? "127.0.0.1";
  const directory = options.dataDir === undefined ? {} : { dir: options.dataDir };
  const store = new Store({
    clock,
    commands: new CommandTable(COMMANDS),
    makeMemory: options.native === false ? plainMemory : await loadHugeMemory(),
    parameters: { ...EMBEDDED, ...directory, ...options.parameters, bind },
  });
  if (options.shutdown !== undefined) store.shutdown = new Shutdown(store, log, options.shutdown);
  const persistence = (store.persistence = scope.use(new Persistence(store, log)));
  const replication = (store.replication = scope.use(new Replication(store, log)));
  if (store.parameters["cluster-enabled"]) store.cluster = scope.use(openCluster(store, await registerFor(store, options), log));
  store.tick();
  if (store.parameters.aclfile !== "") store.loadUsers(store.parameters.aclfile);
  if (options.users !== undefined && options.users.length > 0)
    store.acl.define(
      options.users.map((words) => ({ words: ["user", ...words], from: "user" })),
      store.acl.default.copy(), // it may have a password, by `requirepass`
    );
  const outbox = new Outbox();
  const calls = options.native === false ? undefined : await loadNativeConnections();
  const turns = calls && Turns.of(store, outbox, calls);
  if (turns !== undefined) scope.use(turns);
  const native = calls && turns && { calls, turns, buffer: calls.pinned(READ_BYTES) };
  const accept = acceptorFor({ store, buffer: Buffer.allocUnsafeSlow(READ_BYTES), batch: new RequestBatch(), outbox, native });
  const listeners = (store.listeners = scope.use(new Listeners(store.parameters, clock, accept)));
  await listeners.apply({ plain: port, tls: store.parameters["tls-port"] || -1 });
  store.configFile = options.configFile ?? "";
  store.parameters.port = listeners.port("plain") || Math.max(0, port); // it counts once `bind` has an address
  log.info("store.listening", { host: listeners.host, port: store.parameters.port });
  scope.use(store.eviction);
  scope.use(startHousekeeping(store));
  scope.defer(() => accept.closeAll());
  scope.defer(() => replication.drain());
  await persistence.load(() => replication.followAsConfigured());
  if (store.cluster !== undefined) {
    store.migrations = scope.use(await openSlotMoves(store.cluster));
    await store.cluster.start();
    scope.use(new Rebalancer(store.cluster, store.migrations));
  }
  const owned = scope.move();
  return {
    host: listeners.host,
    port: listeners.port("plain"),
    tlsPort: listeners.port("tls"),
    store,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function registerFor({ parameters }: Store, { openRegister }: StoreOptions): Promise<Register> {
  if (openRegister === undefined) throw new AnaxError("config.invalid", { problems: ["cluster-enabled needs a register"] });
  const timeoutMs = Math.min(REGISTER_MS_MAX, Math.max(REGISTER_MS_MIN, Math.floor(parameters["cluster-node-timeout"] / 3)));
  return openRegister(parameters["cluster-register"], timeoutMs);
}

interface Acceptor {
  (socket: Socket): void;
  closeAll(): void;
}

/** Makes clients of connections, or refuses them. */
function acceptorFor(shared: ConnectionShared): Acceptor {
  const { store, native } = shared;
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
  const pollAll = connectionPoller(connections, shared.batch);
  store.scripting.poll = () => {
    shared.outbox.flush(); // what others were answered in this turn
    for (const server of store.listeners?.plain() ?? []) acceptWaiting(server, native?.calls, accept);
    pollAll();
  };
  return Object.assign(accept, {
    closeAll: () => {
      for (const connection of connections) connection.close();
    },
  });
}
