import type { Worker } from "node:worker_threads";
import type { DatabaseRequest } from "./database-thread.ts";
import type { DigestRequest } from "./digest-thread.ts";

/**
 * Address of a worker's module beside the one at `from` (`import.meta.url`): a `.ts` file when the sources run directly, `.js` in the
 * built package. The compiler rewrites import paths but not texts, so the extension is taken from the caller's own.
 */
export const workerUrlOf = (name: string, from: string): URL => new URL(`./${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from);

/** Posts to a worker; the empty list says that nothing is transferred, which the linter wants to see said. */
export const send = (worker: Worker, message: DatabaseRequest | DigestRequest): void => worker.postMessage(message, []);
