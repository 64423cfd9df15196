import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { AnaxError } from "../base/errors.ts";
import { realClock } from "../base/clock.ts";
import { lockDirectory } from "../disk/directory-lock.ts";
import { CommandError } from "../kv/command-error.ts";
import { kvMetrics } from "../kv/info/metrics.ts";
import { readRedisConf, settingsOfDirectives, type Directive } from "../kv/parameters/redis-conf.ts";
import { shutdownHowOf } from "../kv/shutdown.ts";
import { startStore } from "../kv/start-store.ts";
import { openRegister } from "../register/open-register.ts";
import { addressText } from "../wire/grpc/address.ts";
import { listening } from "./listening.ts";
import { defaultDataDir } from "./paths.ts";
import type { NodeParts, Role } from "./start.ts";

/** What its readiness is made of. */
export const STORE_PARTS = ["store"] as const;

const PORT_DEFAULT = 6379;
const METRICS_MS = 1000;

/** The Redis-compatible store with its listener. Parameters: those of the file, then of the settings. Throws `config.*`, `listen.*`. */
export async function startStoreRole({ config, log, registry, probes }: NodeParts, alone: boolean): Promise<Role> {
  await using scope = new AsyncDisposableStack();
  const { listenHost, port, configFile, parameters: given } = config.store;
  const named = Object.entries(given).map(([name, value]): Directive => ({
    name,
    values: valuesOf(value),
    from: `store.parameters.${name}`,
  }));
  const dataDir = join(config.dataDir, "store");
  const ownLog = log.child({ role: "store" });
  scope.use(await lockDirectory(dataDir));
  const own: Directive[] = [{ name: "dir", values: [dataDir], from: "data directory" }];
  const { parameters, users } = settingsOfDirectives([...own, ...(configFile === undefined ? [] : readRedisConf(configFile)), ...named]);
  const running = scope.use(
    await listening(
      "store.port",
      startStore({
        ...(listenHost !== undefined && { host: listenHost }),
        port: port ?? parameters.port ?? PORT_DEFAULT,
        parameters: { "enable-debug-command": "no", "enable-protected-configs": "no", "enable-module-command": "no", ...parameters },
        users,
        log: ownLog,
        openRegister: (url, timeoutMs) => openRegister(url || machinesRegister(), { clock: realClock, timeoutMs }),
        ...(configFile !== undefined && { configFile }),
        // A client of the store must not end what else runs in the process.
        ...(alone && { shutdown: () => void process.kill(process.pid, "SIGTERM") }),
      }).catch(explained),
    ),
  );
  const measure = kvMetrics(registry, running.store);
  scope.use(every(METRICS_MS, measure));
  ownLog.info("store.ready", { host: running.host, port: running.port, tlsPort: running.tlsPort });
  const address = addressText({ host: running.host, port: running.port });
  probes.reached("store", address);
  const owned = scope.move();
  return {
    listeners: [
      { name: "store", address },
      ...(running.tlsPort === 0 ? [] : [{ name: "store-tls", address: addressText({ host: running.host, port: running.tlsPort }) }]),
    ],
    status: () => {
      const { clients, databases, statistics } = running.store;
      const keys = databases.reduce((sum, db) => sum + db.count, 0);
      return { store: { clients: clients.size, keys, commandsProcessed: statistics.commandsProcessed } };
    },
    ...(alone && {
      mayEnd: (signal) => {
        const { store } = running;
        const words = store.parameters[signal === "SIGINT" ? "shutdown-on-sigint" : "shutdown-on-sigterm"].split(" ");
        return store.shutdown!.ask(shutdownHowOf(words)); // it was given one
      },
    }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Where nothing is set, all nodes of this machine that the same user runs share a file, whatever their data directories are. */
function machinesRegister(): string {
  const directory = join(defaultDataDir(process.env), "store-cluster");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return `sqlite:${join(directory, "register.db")}`;
}

const valuesOf = (value: string | number | boolean): string[] => [typeof value === "boolean" ? (value ? "yes" : "no") : String(value)];

/** Users that are wrong are wrong settings. */
function explained(thrown: unknown): never {
  if (thrown instanceof CommandError) throw new AnaxError("config.invalid", { problems: [thrown.message] }, { cause: thrown });
  throw thrown;
}

function every(ms: number, act: () => void): Disposable {
  let timer: Disposable;
  const next = (): void => {
    timer = realClock.timer(ms, () => {
      act();
      next();
    });
  };
  act();
  next();
  return { [Symbol.dispose]: () => timer[Symbol.dispose]() };
}
