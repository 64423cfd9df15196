import { AnaxError, errorOf } from "../../base/errors.ts";
import type { BidiCall } from "../../wire/grpc/handlers.ts";
import type { OpenStream } from "./runner.ts";

/** One side of a conversation that either side may end. */
export interface Conversation<Req, Res> {
  readonly stream: OpenStream<Res>;
  /** Digests requests in their order until one side ends it; throws why, where it did not end well. */
  readonly run: (handle: (request: Req) => void | Promise<void>) => Promise<void>;
}

/** Those who wait for one and the same signal: an AbortSignal looks through all its listeners whenever one is added; here are thousands. */
export class Watchers {
  readonly #bySignal = new WeakMap<AbortSignal, Set<() => void>>();

  /** Calls `notice` when the signal aborts, unless it is disposed before. */
  watch(signal: AbortSignal, notice: () => void): Disposable {
    const watchers = this.#bySignal.get(signal) ?? this.#begin(signal);
    if (signal.aborted) notice();
    else watchers.add(notice);
    return { [Symbol.dispose]: () => void watchers.delete(notice) };
  }

  #begin(signal: AbortSignal): Set<() => void> {
    const watchers = new Set<() => void>();
    this.#bySignal.set(signal, watchers);
    const tell = (): void => {
      for (const notice of watchers) notice();
    };
    signal.addEventListener("abort", tell, { once: true });
    return watchers;
  }
}

/** Joins a call with the sending of decisions: what ends the one ends the other. */
export function converse<Req, Res>(
  call: BidiCall<Req, Res>,
  { id, stops }: { readonly id: number; readonly stops: Watchers },
): Conversation<Req, Res> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => undefined); // it may end before anyone waits
  const stop = (): void => reject(new AnaxError("rpc.unavailable", { reason: "the scheduler is stopping" }));
  // The caller reads slowly or is gone; either way the stream is of no use any more.
  const send = (message: Res): void => void call.send(message).catch((thrown: unknown) => reject(errorOf(thrown)));
  const stream: OpenStream<Res> = { id, send, end: (error) => (error === undefined ? resolve() : reject(error)) };
  return {
    stream,
    run: async (handle) => {
      using watch = stops.watch(call.draining, stop);
      void watch;
      const reading = readAll(call.requests, handle);
      reading.catch(() => undefined); // after the end nobody asks what became of it
      await Promise.race([ended, reading]);
    },
  };
}

async function readAll<Req>(requests: AsyncIterable<Req>, handle: (request: Req) => void | Promise<void>): Promise<void> {
  for await (const request of requests) await handle(request);
}
