import { startStore, type StoreOptions } from "../../src/kv/start-store.ts";

// A store for tests that kill it: `store-server.ts OPTIONS`; prints its ports once it is ready.

const store = await startStore({ port: 0, ...(JSON.parse(process.argv[2] ?? "{}") as StoreOptions) });
console.log(`${store.port} ${store.tlsPort}`);
