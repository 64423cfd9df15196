import { realClock } from "../../src/base/clock.ts";
import { openRegister } from "../../src/register/open-register.ts";
import { startStore, type StoreOptions } from "../../src/kv/start-store.ts";

// A store for tests that kill it: `store-server.ts OPTIONS`; prints its ports once it is ready.

const store = await startStore({
  openRegister: (url, timeoutMs) => openRegister(url, { clock: realClock, timeoutMs }),
  port: 0,
  ...(JSON.parse(process.argv[2] ?? "{}") as StoreOptions),
});
console.log(`${store.port} ${store.tlsPort}`);
