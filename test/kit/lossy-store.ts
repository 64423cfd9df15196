import { AnaxError } from "../../src/base/errors.ts";
import type { CommitRequest, Fetched, FetchRequest } from "../../src/volume/meta/records/record-store.ts";
import type { SyncRecordStore } from "../../src/volume/meta/records/transaction.ts";
import type { Loss } from "../../src/volume/meta/verbs.conformance.ts";

/** A real store, of which answers to commits can be lost, and requests, and those that come late. */
export class LossyStore implements SyncRecordStore, AsyncDisposable {
  readonly #store: SyncRecordStore & AsyncDisposable;
  #loss: Loss | undefined;
  #late: CommitRequest | undefined;

  constructor(store: SyncRecordStore & AsyncDisposable) {
    this.#store = store;
  }

  /** What becomes of the next commit. */
  lose(loss: Loss): void {
    this.#loss = loss;
  }

  fetch(request: FetchRequest): Fetched {
    return this.#store.fetch(request);
  }

  commit(request: CommitRequest): boolean {
    const [loss, late] = [this.#loss, this.#late];
    this.#loss = this.#late = undefined;
    if (late !== undefined) this.#store.commit(late);
    if (loss === undefined) return this.#store.commit(request);
    if (loss === "made") this.#store.commit(request);
    if (loss === "made late" || loss === "made after all") this.#late = request;
    if (loss === "made after all") return false;
    throw new AnaxError("volume.unreachable", { reason: "the answer is lost" });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#store[Symbol.asyncDispose]());
  }
}
