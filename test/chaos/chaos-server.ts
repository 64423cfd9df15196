import { syncs } from "./failing-syncs.ts"; // before all that syncs
import { createInterface } from "node:readline";
import { busyClock } from "../../src/base/busy-clock.ts";
import type { Clock } from "../../src/base/clock.ts";
import { createRandom } from "../../src/base/random.ts";
import { startStore, type StoreOptions } from "../../src/kv/start-store.ts";
import { registerOn } from "../../src/register/engine.ts";
import { openSqlite } from "../../src/register/sqlite.ts";
import { lateEngine, type Lateness } from "./late-engine.ts";
import type { Order } from "./order.ts";

// A store for tests that spoil what it stands on: `chaos-server OPTIONS`; prints its ports once it is ready, and takes orders from standard input.

const lateness: Lateness = { maxMs: 0, random: createRandom(0) };
let wallOffsetMs = 0;
/** All of the store reads the wall's time here. */
const clock: Clock = { ...busyClock, wallMs: () => busyClock.wallMs() + wallOffsetMs };

createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line) as Order;
  if (order.do === "clock") wallOffsetMs = order.offsetMs;
  else if (order.do === "syncs") syncs.mode = order.mode;
  else Object.assign(lateness, { maxMs: order.maxMs, random: createRandom(order.seed) });
});

async function start(): Promise<void> {
  const store = await startStore({
    ...(JSON.parse(process.argv[2] ?? "{}") as StoreOptions),
    clock,
    openRegister: async (url, timeoutMs) => {
      const engine = openSqlite(url.slice("sqlite:".length), clock);
      return registerOn(lateEngine(engine, lateness, { clock }), { clock, timeoutMs });
    },
  });
  console.log(`${store.port} ${store.tlsPort}`);
}

start().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
