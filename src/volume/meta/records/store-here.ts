import { once } from "node:events";
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from "node:worker_threads";
import { AnaxError } from "../../../base/errors.ts";
import { workerUrlOf } from "../../../base/worker-url.ts";
import type { CommitRequest, Fetched, FetchRequest } from "./record-store.ts";
import { CALL_MS } from "./open-store.ts";
import { pause } from "../pause.ts";
import type { SyncRecordStore } from "./transaction.ts";

export interface StoreThreadStart {
  readonly url: string;
  readonly volumeUuid: string;
  /** Longest time for a call. */
  readonly callMs: number;
  /** One Int32: the number of the last call that was answered. */
  readonly flag: SharedArrayBuffer;
  readonly port: MessagePort;
}

export type StoreCall =
  | { readonly id: number; readonly kind: "fetch"; readonly request: FetchRequest }
  | { readonly id: number; readonly kind: "commit"; readonly request: CommitRequest };

export interface StoreAnswer {
  readonly id: number;
  readonly result?: Fetched | boolean;
  readonly failure?: { readonly code: AnaxError["code"]; readonly details: AnaxError["details"] };
}

/** Beyond what connecting and then asking may take. All of it, with the time below, is less than after what a mount that shows no sign of life is replaced. */
const MORE_MS = 500;
/** How long a commit whose answer was lost is asked after. */
const FATE_MS = 2000;
const FATE_PAUSE_MS = 100;
/** A number that goes round. */
const ID_MAX = 2 ** 30;

/**
 * An engine for a thread that may not turn its event loop, such as the one that answers the kernel: another thread speaks with the engine, and this one sleeps until
 * it has the answer. Throws `volume.unreachable` after a limited time, as a rule `CALL_MS`.
 */
export class StoreHere implements SyncRecordStore, AsyncDisposable {
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #answered: Int32Array;
  readonly #waitMs: number;
  #lastId = 0;
  #ended = false;

  private constructor(worker: Worker, port: MessagePort, { answered, callMs }: { readonly answered: Int32Array; readonly callMs: number }) {
    this.#worker = worker;
    this.#port = port;
    this.#answered = answered;
    this.#waitMs = 2 * callMs + MORE_MS;
  }

  static async open(url: string, volumeUuid: string, callMs = CALL_MS): Promise<StoreHere> {
    const { port1, port2 } = new MessageChannel();
    const flag = new SharedArrayBuffer(4);
    const workerData: StoreThreadStart = { url, volumeUuid, callMs, flag, port: port2 };
    const worker = new Worker(workerUrlOf("store-worker", import.meta.url), {
      workerData,
      transferList: [port2],
    });
    await once(worker, "message"); // rejects with what it throws
    worker.unref();
    port1.unref();
    return new StoreHere(worker, port1, { answered: new Int32Array(flag), callMs });
  }

  fetch(request: FetchRequest): Fetched {
    return this.#call("fetch", request) as Fetched;
  }

  /** With a marker among what is touched, the fate of a commit whose answer did not come can be told. */
  commit(request: CommitRequest): boolean {
    try {
      return this.#call("commit", request) as boolean;
    } catch (error) {
      const marker = request.touched.find((group) => group.startsWith("m"));
      if (marker === undefined || !(error instanceof AnaxError) || error.code !== "volume.unreachable") throw error;
      return this.#fate(marker, request.stamp, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#port.postMessage("end", []);
    this.#port.close();
    await Promise.race([once(this.#worker, "exit"), new Promise((resolve) => setImmediate(resolve))]);
    await this.#worker.terminate();
  }

  /** The marker has the stamp: it was made. It has the one before: it was not, and cannot be any more once another commit has compared it. */
  #fate(marker: string, stamp: string, error: AnaxError): boolean {
    const untilMs = performance.now() + FATE_MS;
    do {
      pause(FATE_PAUSE_MS);
      try {
        const request = { wants: [], groups: [marker] };
        return (this.#call("fetch", request, untilMs - performance.now()) as Fetched).versions[0] === stamp;
      } catch {
        // not yet
      }
    } while (performance.now() < untilMs);
    throw error;
  }

  #call(kind: "fetch" | "commit", request: FetchRequest | CommitRequest, waitMs = this.#waitMs): unknown {
    const id = (this.#lastId = (this.#lastId % ID_MAX) + 1);
    this.#port.postMessage({ id, kind, request }, []);
    const untilMs = performance.now() + waitMs;
    for (;;) {
      const answer = receiveMessageOnPort(this.#port)?.message as StoreAnswer | undefined; // store-worker.ts sends nothing else
      if (answer?.id === id) {
        if (answer.failure !== undefined) throw new AnaxError(answer.failure.code, answer.failure.details);
        return answer.result;
      }
      if (answer !== undefined) continue; // too late for an earlier call
      const leftMs = untilMs - performance.now();
      if (leftMs <= 0) throw new AnaxError("volume.unreachable", { reason: `no answer within ${Math.round(waitMs)} ms` });
      const seen = Atomics.load(this.#answered, 0);
      if (seen !== id) Atomics.wait(this.#answered, 0, seen, leftMs);
    }
  }
}
