import type { EventEmitter } from "node:events";
import type { Metadata } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { AnaxError, errorOf } from "../../base/errors.ts";

/** What a handler knows of the call that it answers. */
export interface CallContext {
  /** "/scheduler.v2.Scheduler/StatTask". */
  readonly method: string;
  /** "10.0.0.7:50123", or "unix" for a program on this machine. */
  readonly peer: string;
  /** Aborts when the caller leaves, its deadline passes, or the server can wait no longer. Always an AnaxError as reason. */
  readonly signal: AbortSignal;
  /** Aborts when the server begins to stop: endless streams end now, finite work goes on until `signal`. */
  readonly draining: AbortSignal;
  /** A request header in lower case, first value. */
  readonly header: (name: string) => string | undefined;
}

/** Told of every call that failed by our doing; a caller that merely left is not a failure. */
export type OnCallError = (error: AnaxError, call: CallContext) => void;

/** What the calls of grpc-js have in common, whether they stream or not. */
interface ServerCall extends EventEmitter {
  readonly metadata: Metadata;
  getPath(): string;
  getPeer(): string;
  getDeadline(): Date | number;
}

interface OpenCall {
  readonly controller: AbortController;
  readonly fail: (error: AnaxError) => void;
  readonly ended: Promise<void>;
}

/** The calls that a server is answering: each has its own signal, and stopping waits for them. */
export class OpenCalls {
  readonly #clock: Clock;
  readonly #onError: OnCallError;
  readonly #draining = new AbortController();
  readonly #open = new Set<OpenCall>();

  constructor(clock: Clock, onError: OnCallError) {
    this.#clock = clock;
    this.#onError = onError;
  }

  /** Runs `answer`; when it throws, `fail` gets the error to send. */
  run(call: ServerCall, answer: (context: CallContext) => Promise<void>, fail: (error: AnaxError) => void): void {
    const controller = new AbortController();
    // grpc-js says so of every call at its end; to one that was answered it means nothing.
    call.once("cancelled", () => this.#open.has(open) && controller.abort(this.#reasonOf(call)));
    const context = contextOf(call, controller.signal, this.#draining.signal);
    const open: OpenCall = { controller, fail, ended: this.#answer(context, answer, fail).finally(() => this.#open.delete(open)) };
    this.#open.add(open);
  }

  /** Asks endless streams to end. */
  drain(): void {
    this.#draining.abort(new AnaxError("rpc.unavailable", { reason: "the server is stopping" }));
  }

  /** Ends every call that is still open: its caller is told at once, its handler through the signal. */
  abort(): void {
    for (const { controller, fail } of this.#open) {
      const reason = new AnaxError("rpc.unavailable", { reason: "the server is stopping" });
      controller.abort(reason);
      fail(reason);
    }
  }

  /** Resolves once no handler runs. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await Promise.all([...this.#open].map((call) => call.ended));
  }

  async #answer(context: CallContext, answer: (context: CallContext) => Promise<void>, fail: (error: AnaxError) => void): Promise<void> {
    try {
      context.signal.throwIfAborted();
      await answer(context);
    } catch (thrown) {
      const error = errorOf(thrown);
      if (!context.signal.aborted) this.#onError(error, context);
      fail(error);
    }
  }

  #reasonOf(call: ServerCall): AnaxError {
    const late = Number(call.getDeadline()) <= this.#clock.wallMs();
    return new AnaxError(late ? "rpc.deadline-exceeded" : "rpc.cancelled", { method: call.getPath() });
  }
}

function contextOf(call: ServerCall, signal: AbortSignal, draining: AbortSignal): CallContext {
  const peer = call.getPeer();
  return {
    method: call.getPath(),
    peer: peer === "unknown" ? "unix" : peer, // grpc-js knows no name for the other end of a Unix socket
    signal,
    draining,
    header: (name) => call.metadata.get(name)[0]?.toString(),
  };
}
