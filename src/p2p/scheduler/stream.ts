import { AnaxError, errorOf } from "../../base/errors.ts";
import type { BidiCall } from "../../wire/grpc/handlers.ts";
import type { OpenStream } from "./runner.ts";

/** One side of a conversation that either side may end. */
export interface Conversation<Req, Res> {
  readonly stream: OpenStream<Res>;
  /** Digests requests in their order until one side ends it; throws why, where it did not end well. */
  readonly run: (handle: (request: Req) => void | Promise<void>) => Promise<void>;
}

/** Joins a call with the sending of decisions: what ends the one ends the other. */
export function converse<Req, Res>(call: BidiCall<Req, Res>, id: number): Conversation<Req, Res> {
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => undefined); // it may end before anyone waits
  const stop = (): void => reject(new AnaxError("rpc.unavailable", { reason: "the scheduler is stopping" }));
  // The caller reads slowly or is gone; either way the stream is of no use any more.
  const send = (message: Res): void => void call.send(message).catch((thrown: unknown) => reject(errorOf(thrown)));
  const stream: OpenStream<Res> = { id, send, end: (error) => (error === undefined ? resolve() : reject(error)) };
  return {
    stream,
    run: async (handle) => {
      if (call.draining.aborted) stop();
      call.draining.addEventListener("abort", stop, { once: true });
      const reading = readAll(call.requests, handle);
      reading.catch(() => undefined); // after the end nobody asks what became of it
      try {
        await Promise.race([ended, reading]);
      } finally {
        call.draining.removeEventListener("abort", stop);
      }
    },
  };
}

async function readAll<Req>(requests: AsyncIterable<Req>, handle: (request: Req) => void | Promise<void>): Promise<void> {
  for await (const request of requests) await handle(request);
}
