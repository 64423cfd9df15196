import { parentPort, workerData } from "node:worker_threads";
import { realClock } from "../../../base/clock.ts";
import { errorOf } from "../../../base/errors.ts";
import { openStore } from "./open-store.ts";
import type { StoreAnswer, StoreCall, StoreThreadStart } from "./store-here.ts";

// The thread that speaks with an engine for another one, which cannot wait without blocking: see store-here.ts.
const { url, volumeUuid, callMs, flag, port } = workerData as StoreThreadStart; // given by store-here.ts
const answered = new Int32Array(flag);
const store = await openStore(url, volumeUuid, realClock, callMs);

async function answer({ id, kind, request }: StoreCall): Promise<void> {
  let said: StoreAnswer;
  try {
    said = { id, result: kind === "fetch" ? await store.fetch(request) : await store.commit(request) };
  } catch (thrown) {
    const { code, details } = errorOf(thrown);
    said = { id, failure: { code, details } };
  }
  port.postMessage(said, []);
  Atomics.store(answered, 0, id);
  Atomics.notify(answered, 0);
}

port.on("message", (call: StoreCall | "end") => {
  if (call === "end") {
    port.close();
    void store[Symbol.asyncDispose]();
    return;
  }
  void answer(call);
});
parentPort?.postMessage("ready", []);
