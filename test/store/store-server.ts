import type { ParameterValues } from "../../src/kv/parameters/parameters.ts";
import { startStore } from "../../src/kv/start-store.ts";

// A store for tests that kill it: `store-server.ts DIRECTORY PARAMETERS`; prints its port once it is ready.

const [dataDir = ".", parameters = "{}"] = process.argv.slice(2);
const store = await startStore({ port: 0, dataDir, parameters: JSON.parse(parameters) as Partial<ParameterValues> });
console.log(store.port);
