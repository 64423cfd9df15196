import { parentPort, workerData } from "node:worker_threads";
import { errorOf } from "../../base/errors.ts";
import { cloneSqlite, type CloneOptions } from "../meta/sqlite/clone.ts";
import type { Cloned } from "./clone-apart.ts";

// Copies metadata while the thread that wants them answers others: see clone-apart.ts.
const tell = (cloned: Cloned): void => parentPort?.postMessage(cloned, []);

try {
  cloneSqlite(workerData as CloneOptions); // given by clone-apart.ts
  tell({});
} catch (thrown) {
  const { code, details } = errorOf(thrown);
  tell({ failure: { code, details } });
}
