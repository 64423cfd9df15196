import { resolve } from "node:path";
import { AnaxError, type ErrorDetails } from "../../src/base/errors.ts";
import { realClock } from "../../src/base/clock.ts";
import type { Log, LogFields } from "../../src/base/log.ts";
import { readRedisConf, settingsOfDirectives, type Directive } from "../../src/kv/parameters/redis-conf.ts";
import { shutdownHowOf } from "../../src/kv/shutdown.ts";
import { startStore, type RunningStore } from "../../src/kv/start-store.ts";
import { openRegister } from "../../src/register/open-register.ts";

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
/** The same for why it does not start. */
const REASONS: readonly (readonly [RegExp, (fields: ErrorDetails) => string])[] = [
  [/is not there/, ({ path }) => `Can't open ${String(path)} for reading: No such file or directory`],
  [/do not rise/, () => "Found a non-monotonic sequence number"],
  [/second base/, () => "Found duplicate base file information"],
  [/unknown type/, () => "Unknown AOF file type"],
  [/more than \d+ characters/, () => "The AOF manifest file contains too long line"],
  [/is empty/, () => "Found an empty AOF manifest"],
  [/no pairs|no file with/, () => "Invalid AOF manifest file format"],
  [/ends within a command/, () => "Unexpected end of file reading the append only file"],
  [/the command (\S+) is not known/, ({ reason }) => `Unknown command '${String(reason).split(" ")[2]}' reading the append only file`],
  [/is no command/, () => "Bad file format reading the append only file"],
  [/checksum/, () => "Wrong RDB checksum, CRC error"],
];
const fatal = (thrown: unknown): never => {
  const { details, message } = thrown instanceof AnaxError ? thrown : { details: {}, message: String(thrown) };
  const reason = String((details as ErrorDetails)["reason"]);
  const words = REASONS.find(([pattern]) => pattern.test(reason))?.[1](details);
  console.log(`${process.pid}:M # Fatal error loading: ${words ?? message} ${JSON.stringify(details)}`);
  process.exit(1);
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
  // All servers of a copy of the suite share one; clusters in it know nothing of each other.
  openRegister: (url, timeoutMs) => openRegister(url || `sqlite:${process.argv[1]!}.db`, { clock: realClock, timeoutMs }),
  log,
}).catch(fatal);
console.log(`${process.pid}:M * Server initialized`);
console.log(`${process.pid}:M * Ready to accept connections on port ${running.port}`);
