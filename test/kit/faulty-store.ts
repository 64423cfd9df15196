import { AnaxError } from "../../src/base/errors.ts";
import type { CommitRequest, Fetched, FetchRequest, Held, RecordStore, StoredRecord } from "../../src/volume/meta/records/record-store.ts";

/** What becomes of a call, and of those after it. */
export type Fault = "killed" | "killed after it" | "answer lost" | "made late" | undefined;

/** A real store of which one call fails in a way that is asked for. */
export class FaultyStore implements RecordStore {
  readonly #store: RecordStore;
  readonly #faultOf: (call: number) => Fault;
  #calls = 0;
  #dead = false;
  #late: CommitRequest | undefined;

  constructor(store: RecordStore, faultOf: (call: number) => Fault = () => undefined) {
    this.#store = store;
    this.#faultOf = faultOf;
  }

  get address(): string {
    return this.#store.address;
  }

  fetch(request: FetchRequest): Promise<Fetched> {
    return this.#call(() => this.#store.fetch(request));
  }

  commit(request: CommitRequest): Promise<boolean> {
    return this.#call(() => this.#store.commit(request), request);
  }

  scan(): AsyncIterable<StoredRecord> {
    return this.#store.scan();
  }

  drop(keep: readonly string[], held?: Held): Promise<void> {
    return this.#call(() => this.#store.drop(keep, held));
  }

  /** The network had it all the time. */
  async lateCommit(): Promise<void> {
    if (this.#late !== undefined) await this.#store.commit(this.#late);
  }

  tell(): Promise<void> {
    return this.#store.tell();
  }

  listen(onTold: () => void): AsyncDisposable | undefined {
    return this.#store.listen(onTold);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#store[Symbol.asyncDispose]());
  }

  async #call<T>(work: () => Promise<T>, commit?: CommitRequest): Promise<T> {
    const fault = this.#dead ? "killed" : this.#faultOf(this.#calls++);
    if (fault === undefined) return work();
    this.#dead = fault.startsWith("killed");
    if (fault === "made late") this.#late = commit;
    else if (fault !== "killed") await work();
    throw new AnaxError("volume.unreachable", { reason: fault });
  }
}
