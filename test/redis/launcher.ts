import { resolve } from "node:path";
import { readRedisConf, settingsOfDirectives, type Directive } from "../../src/kv/parameters/redis-conf.ts";
import { startStore } from "../../src/kv/start-store.ts";

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
const known = directives.filter(({ name }) => !["loadmodule", "rename-command", "unixsocket"].includes(name));
const { parameters, users } = settingsOfDirectives(known);
const configFile = hasFile ? resolve(first) : undefined; // before the directory changes
if (parameters.dir !== undefined) process.chdir(parameters.dir);
const stop = (): void => process.exit(0);
process.on("SIGTERM", stop).on("SIGINT", stop);
console.log(`${process.pid}:M oO0OoO0OoO0Oo starting PID: ${process.pid}`);
const running = await startStore({
  host: "127.0.0.1",
  port: parameters.port ?? 6379,
  parameters: { ...parameters, dir: process.cwd() },
  users,
  ...(configFile !== undefined && { configFile }),
  shutdown: stop,
});
console.log(`${process.pid}:M * Server initialized`);
console.log(`${process.pid}:M * Ready to accept connections on port ${running.port}`);
