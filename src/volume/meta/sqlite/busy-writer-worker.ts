import { parentPort, workerData } from "node:worker_threads";
import { realClock } from "../../../base/clock.ts";
import { ROOT_INO } from "../verbs.ts";
import { openSqliteVerbs } from "./sqlite-verbs.ts";

// For a test: creates files without a pause and without settling, until it is told to end.
const { path, stop } = workerData as { path: string; stop: Int32Array }; // the test's own
const verbs = openSqliteVerbs({ path, sessionId: 1, clock: realClock });
let count = 0;
while (Atomics.load(stop, 0) === 0) {
  const made = verbs.create(ROOT_INO, `f${count++}`, { kind: "file", permissions: 0o600, uid: 0, gid: 0 });
  if (typeof made === "number") throw new Error(`errno ${made}`);
  if (count === 1) parentPort?.postMessage("writing", []);
}
await verbs[Symbol.asyncDispose]();
parentPort?.postMessage(count, []);
