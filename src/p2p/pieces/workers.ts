import type { Worker } from "node:worker_threads";
import type { DatabaseRequest } from "./database-thread.ts";
import type { DigestRequest } from "./digest-thread.ts";

/** Posts to a worker; the empty list says that nothing is transferred, which the linter wants to see said. */
export const send = (worker: Worker, message: DatabaseRequest | DigestRequest): void => worker.postMessage(message, []);
