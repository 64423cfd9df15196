import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { AnaxError } from "../../base/errors.ts";
import { workerUrlOf } from "../../base/worker-url.ts";
import type { CloneOptions } from "../meta/sqlite/clone.ts";

/** What the thread has to say in the end. */
export interface Cloned {
  readonly failure?: { readonly code: AnaxError["code"]; readonly details: AnaxError["details"] };
}

/** `cloneSqlite` in a thread of its own: it takes seconds for each million of files, in which a service has others to answer. Throws as that. */
export async function cloneApart(options: CloneOptions): Promise<void> {
  const worker = new Worker(workerUrlOf("clone-worker", import.meta.url), { workerData: options });
  try {
    const [{ failure }] = (await once(worker, "message")) as [Cloned]; // sent by clone-worker.ts
    if (failure !== undefined) throw new AnaxError(failure.code, failure.details);
  } finally {
    await worker.terminate();
  }
}
