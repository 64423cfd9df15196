import { constants, type ServerHttp2Stream } from "node:http2";
import type { handleBidiStreamingCall, handleServerStreamingCall, handleUnaryCall } from "@grpc/grpc-js";
import { AnaxError } from "../../base/errors.ts";
import type { BidiMethod, Method, ServerStreamMethod, UnaryMethod } from "./method.ts";
import type { CallContext, OpenCalls } from "./open-calls.ts";
import { statusOf } from "./status.ts";

/** A handler of a bidirectional stream answers through this; returning from it ends the stream. */
export interface BidiCall<Req, Res> extends CallContext {
  /** Ends when the caller has sent everything; pulls, so that a slow handler slows its caller down. */
  readonly requests: AsyncIterable<Req>;
  /** Resolves once the transport has taken the message. Throws the signal's reason when the call is over. */
  readonly send: (response: Res) => Promise<void>;
}

export type UnaryHandler<Req, Res> = (request: Req, call: CallContext) => Promise<Res> | Res;
export type ServerStreamHandler<Req, Res> = (request: Req, call: CallContext) => AsyncIterable<Res>;
export type BidiHandler<Req, Res> = (call: BidiCall<Req, Res>) => Promise<void>;

/** Responses that `send` was not awaited for; a handler that passes this many ignores back-pressure altogether. */
const UNSENT_MAX = 1024;

// Messages cross grpc-js as bytes and are coded here, so that a request that is no message, or a response that cannot be
// coded, is an error of ours with a code, reported like every other, and not a bare INTERNAL that nobody hears of.

export function unary<Req, Res>(calls: OpenCalls, method: UnaryMethod<Req, Res>, handle: UnaryHandler<Req, Res>) {
  const answer: handleUnaryCall<Buffer, Buffer> = (call, respond) =>
    calls.run(
      call,
      async (context) => respond(null, method.responseSerialize(await handle(decoded(method, call.request), context))),
      (error) => respond(statusOf(error)),
    );
  return answer;
}

export function serverStream<Req, Res>(calls: OpenCalls, method: ServerStreamMethod<Req, Res>, handle: ServerStreamHandler<Req, Res>) {
  const answer: handleServerStreamingCall<Buffer, Buffer> = (call) =>
    calls.run(
      call,
      async (context) => {
        const responses = handle(decoded(method, call.request), context);
        const write = writerOf(call, context.signal);
        for await (const response of responses) await write(method.responseSerialize(response));
        call.end();
      },
      (error) => call.emit("error", statusOf(error)),
    );
  return answer;
}

export function bidi<Req, Res>(calls: OpenCalls, method: BidiMethod<Req, Res>, handle: BidiHandler<Req, Res>) {
  const answer: handleBidiStreamingCall<Buffer, Buffer> = (call) =>
    calls.run(
      call,
      async (context) => {
        const write = writerOf(call, context.signal);
        const send = async (response: Res): Promise<void> => write(method.responseSerialize(response));
        await handle({ ...context, requests: requestsOf(call, method, context.signal), send });
        resetAfterTrailers(call);
        call.end();
      },
      (error) => call.emit("error", statusOf(error)),
    );
  return answer;
}

/**
 * The answer is complete, so the rest of the requests is not wanted: RST_STREAM with NO_ERROR says so (RFC 9113, 8.1), as servers in Go and
 * Rust do. Dragonfly's daemon keeps its half open until it hears that, and would wait forever. grpc-js has no way to say it.
 */
function resetAfterTrailers(call: object): void {
  const { stream } = (call as { readonly call?: { readonly stream?: ServerHttp2Stream } }).call ?? {};
  if (stream === undefined) return;
  // A reset overtakes what is still queued; what an answered PING followed has arrived. Only so many may be under way: then again.
  const reset = (): void => {
    const { session } = stream;
    if (stream.closed || session === undefined || session.destroyed) return;
    session.ping((error) => {
      if (error !== null) setImmediate(reset);
      else if (!stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
    });
  };
  stream.once("wantTrailers", () => setImmediate(reset));
}

interface Incoming {
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Buffer>;
}

/** The stream must survive a handler that stops reading early, since its answer is still to be sent. */
async function* requestsOf<Req>(call: Incoming, method: Decoder<Req>, signal: AbortSignal): AsyncGenerator<Req> {
  try {
    for await (const bytes of call.iterator({ destroyOnReturn: false })) yield decoded(method, bytes);
  } catch (thrown) {
    signal.throwIfAborted(); // what grpc-js throws then is only that the stream was torn down
    throw thrown;
  }
  signal.throwIfAborted();
}

type Decoder<Req> = Pick<Method<Req, never>, "path" | "requestDeserialize">;

function decoded<Req>(method: Decoder<Req>, bytes: Buffer): Req {
  try {
    return method.requestDeserialize(bytes);
  } catch (cause) {
    throw new AnaxError("input.invalid", { method: method.path, reason: "the bytes are not a message of this method" }, { cause });
  }
}

interface Outgoing {
  readonly writableLength: number;
  write(bytes: Buffer, done: (error?: Error | null) => void): boolean;
}

/**
 * Writes the messages of one call. grpc-js forgets the callbacks of a cancelled call, hence the signal; one listener ends all that wait, since a
 * signal looks through all of its listeners whenever one is added.
 */
function writerOf(call: Outgoing, signal: AbortSignal): (bytes: Buffer) => Promise<void> {
  const waiting = new Set<(reason: unknown) => void>();
  const onAbort = (): void => {
    for (const reject of waiting) reject(signal.reason);
    waiting.clear();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  return (bytes) => {
    if (call.writableLength >= UNSENT_MAX) throw new AnaxError("limit.exceeded", { unsentMax: UNSENT_MAX });
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      waiting.add(reject);
      call.write(bytes, (error) => {
        waiting.delete(reject);
        if (error) reject(error);
        else resolve();
      });
    });
  };
}
