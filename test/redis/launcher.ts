import { resolve } from "node:path";
import type { Log, LogFields } from "../../src/base/log.ts";
import { readRedisConf, settingsOfDirectives, type Directive } from "../../src/kv/parameters/redis-conf.ts";
import { shutdownHowOf } from "../../src/kv/shutdown.ts";
import { startStore, type RunningStore } from "../../src/kv/start-store.ts";

// What the suite starts as `src/redis-server FILE --name value…`: the store, with the lines in the log that it waits for.

const [first, ...rest] = process.argv.slice(2);
const hasFile = first !== undefined && !first.startsWith("--");
const directives: Directive[] = hasFile ? [...readRedisConf(first)] : [];
const more = hasFile ? rest : process.argv.slice(2);
for (let i = 0; i < more.length;) {
  const name = more[i++]!.replace(/^--/, "").toLowerCase();
  const values: string[] = [];
  while (i < more.length && !more[i]!.startsWith("--")) values.push(more[i++]!);
  directives.push({ name, values, from: "command line" });
}
// The suite's own directives for what only Redis has.
const known = directives.filter(({ name }) => !["loadmodule", "rename-command"].includes(name));
const { parameters, users } = settingsOfDirectives(known);
const configFile = hasFile ? resolve(first) : undefined; // before the directory changes
if (parameters.dir !== undefined) process.chdir(parameters.dir);
let running: RunningStore | undefined;
const stop = (): void => void Promise.resolve(running?.[Symbol.asyncDispose]()).finally(() => process.exit());
const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
  const { shutdown, parameters: now } = running?.store ?? {};
  if (now === undefined || shutdown === undefined) return stop();
  const words = now[signal === "SIGINT" ? "shutdown-on-sigint" : "shutdown-on-sigterm"].split(" ");
  if (await shutdown.ask(shutdownHowOf(words))) stop();
};
process.on("SIGTERM", (signal) => void onSignal(signal)).on("SIGINT", (signal) => void onSignal(signal));
/** What Redis writes where we write other words. */
const LINES: Readonly<Record<string, (fields: LogFields) => string>> = {
  "store.listening": () => `oO0OoO0OoO0Oo starting PID: ${process.pid}`,
  "store.shutdown-aborted": () => "Shutdown manually aborted",
  "store.shutdown-failed": ({ error }) => `Errors trying to shut down: Error trying to save the DB, can't exit: ${String(error)}`,
  "store.replica-lags": ({ host, port, bytes }) => `Lagging replica ${String(host)}:${String(port)}: ${String(bytes)} bytes`,
  "store.replicas-drained": ({ replicas, complete }) => `${String(complete)} of ${String(replicas)} replicas are in sync`,
  "store.ends": () => "Redis is now ready to exit, bye bye...",
  "store.failover-forced": ({ host, port }) => `FAILOVER to ${String(host)}:${String(port)} time out exceeded, failing over.`,
  "store.failover-aborted": ({ reason }) => `FAILOVER aborted: ${String(reason)}`,
  "store.replica-silent": ({ state }) => `Disconnecting timedout replica ${state === "online" ? "(streaming sync)" : "(full sync)"}`,
  "store.primary-resumed": () => "Successful partial resynchronization with master.",
  "store.synced": () => "MASTER <-> REPLICA sync: Finished with success",
  "store.primary-lost": ({ error }) => (String(error).includes("refuses AUTH") ? "Unable to AUTH to MASTER" : ""),
};
const write = (event: string, fields: LogFields = {}): void =>
  console.log(`${process.pid}:M * ${LINES[event]?.(fields) ?? ""} ${event} ${JSON.stringify(fields)}`);
const log: Log = { error: write, warn: write, info: write, debug: write, child: () => log };
running = await startStore({
  port: parameters.port ?? 6379,
  parameters: { bind: "* -::*", ...parameters, dir: process.cwd() },
  users,
  ...(configFile !== undefined && { configFile }),
  shutdown: stop,
  log,
});
console.log(`${process.pid}:M * Server initialized`);
console.log(`${process.pid}:M * Ready to accept connections on port ${running.port}`);
