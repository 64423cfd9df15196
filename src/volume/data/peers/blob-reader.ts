import type { Clock } from "../../../base/clock.ts";
import { AnaxError, errorOf } from "../../../base/errors.ts";
import type { Blob } from "../../meta/extents.ts";
import type { FromDaemon } from "./daemon-blobs.ts";
import { PeerPolicy, type Patience } from "./peer-policy.ts";
import type { ReadCounts } from "./read-counts.ts";

/** A smaller one is had from the store for less than asking around costs. */
const PEER_BYTES_MIN = 256 * 1024;

export interface BlobReaderOptions {
  /** All of a blob, compared with its digest. */
  readonly store: (blob: Blob, stop: AbortSignal) => Promise<Buffer>;
  /** Undefined: nobody else is asked. */
  readonly peers: ((blob: Blob, stop: AbortSignal, onBegun: () => void) => Promise<FromDaemon>) | undefined;
  /** What peers may always take until they begin to give. */
  readonly waitMs: number;
  readonly counts: ReadCounts;
  readonly clock: Clock;
}

/** What ends whoever was not the first. */
const LOST = new AnaxError("download.cancelled", { reason: "another one was quicker" });

interface Asked {
  /** Somebody has it, or it has come, or failed. */
  readonly begun: Promise<unknown>;
  readonly done: Promise<Buffer>;
}

/** Reads blobs from peers, and from the store where those are late, fail, or are not there: they never make fail what the store can give. */
export class BlobReader {
  readonly #options: BlobReaderOptions;
  readonly #policy: PeerPolicy;
  /** Aborts when peers are to be left alone: who waits for them asks the store at once. */
  #resting = new AbortController();

  constructor(options: BlobReaderOptions) {
    this.#options = options;
    this.#policy = new PeerPolicy(options.waitMs);
  }

  /** Why peers are not asked now. */
  resting(): { readonly untilMs: number; readonly reason: string } | undefined {
    return this.#policy.resting(this.#options.clock.nowMs());
  }

  /** Throws what the store throws. */
  async content(blob: Blob, signal: AbortSignal): Promise<Buffer> {
    const { peers, clock } = this.#options;
    const patience = peers === undefined || blob.bytes < PEER_BYTES_MIN ? undefined : this.#policy.patience(clock.nowMs());
    if (peers === undefined || patience === undefined) return this.#fromStore(blob, signal);
    const stop = new AbortController();
    const onAbort = (): void => stop.abort(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      return await this.#raced(blob, patience, stop.signal);
    } finally {
      signal.removeEventListener("abort", onAbort);
      stop.abort(LOST);
    }
  }

  async #raced(blob: Blob, patience: Patience, stop: AbortSignal): Promise<Buffer> {
    const { clock, counts } = this.#options;
    const startedMs = clock.nowMs();
    const asked = this.#ask(blob, startedMs, stop);
    const late = await this.#late(asked, patience, stop);
    if (late === undefined) return asked.done;
    stop.throwIfAborted();
    if (late === "slow") counts.add("hedges", 1);
    const store = this.#fromStore(blob, stop);
    try {
      const { from, content } = await firstOf(asked.done, store);
      if (late === "slow" && from === "store") {
        counts.add("hedgesWon", 1);
        this.#failed(`no answer within ${Math.round(clock.nowMs() - startedMs)} ms`);
      }
      return content;
    } catch {
      return store; // what it says counts
    }
  }

  #ask(blob: Blob, startedMs: number, stop: AbortSignal): Asked {
    const { peers, counts, clock } = this.#options;
    const begun = Promise.withResolvers<void>();
    let begunMs = 0;
    const ask = async (): Promise<Buffer> => {
      try {
        const { content, storeBytes } = await peers!(blob, stop, () => {
          begunMs = clock.nowMs() - startedMs;
          begun.resolve();
        }); // only called where there are some
        this.#policy.served({ begunMs, wholeMs: clock.nowMs() - startedMs });
        counts.add("storeBytes", storeBytes);
        counts.add("peerBytes", content.length - storeBytes);
        return content;
      } catch (thrown) {
        if (!stop.aborted) {
          const { code, message } = errorOf(thrown);
          counts.add("peerFailures", 1);
          this.#failed(`${code}: ${message}`);
        }
        throw thrown;
      } finally {
        begun.resolve();
      }
    };
    const done = ask();
    done.catch(() => undefined); // the store is asked then
    return { begun: begun.promise, done };
  }

  /** Undefined: they have given it in time. */
  async #late({ begun, done }: Asked, patience: Patience, stop: AbortSignal): Promise<"slow" | "failed" | undefined> {
    const { clock } = this.#options;
    const startedMs = clock.nowMs();
    const resting = this.#resting.signal;
    for (const [awaited, untilMs] of [
      [begun, patience.begunMs],
      [done, patience.wholeMs],
      [done, patience.giveUpMs],
    ] as const) {
      using time = clock.deadline(Math.max(0, startedMs + untilMs - clock.nowMs()), resting);
      const came = await Promise.race([outcomeOf(awaited), aborted(time.signal), aborted(stop)]);
      if (came === "failed" || stop.aborted) return "failed";
      if (came === "came" && awaited === done) return undefined;
      if (came === undefined && (resting.aborted || this.#policy.takeHedge())) return "slow";
    }
    return "slow";
  }

  #failed(reason: string): void {
    if (!this.#policy.failed(reason, this.#options.clock.nowMs())) return;
    this.#resting.abort();
    this.#resting = new AbortController();
  }

  async #fromStore(blob: Blob, stop: AbortSignal): Promise<Buffer> {
    const content = await this.#options.store(blob, stop);
    this.#options.counts.add("storeBytes", content.length);
    return content;
  }
}

interface First {
  readonly from: "peers" | "store";
  readonly content: Buffer;
}

const firstOf = (peers: Promise<Buffer>, store: Promise<Buffer>): Promise<First> =>
  Promise.any([peers.then((content): First => ({ from: "peers", content })), store.then((content): First => ({ from: "store", content }))]);

const outcomeOf = (work: Promise<unknown>): Promise<"came" | "failed"> =>
  work.then(
    () => "came",
    () => "failed",
  );

/** Resolves once it aborts. */
function aborted(signal: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  if (signal.aborted) resolve(undefined);
  else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  return promise;
}
