import { connectivityState, status, type Client, type ClientReadableStream } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { errorOfStatus, isGrpcStatus } from "./status.ts";

/** What may end a stream before its server does. */
export interface StreamEnding {
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly channel: ReturnType<Client["getChannel"]>;
  readonly connectTimeoutMs: number;
  /** Why the stream ends when there is no connection by then. */
  readonly tooSlow: () => AnaxError;
}

interface Call<Res> extends Pick<ClientReadableStream<Res>, "cancel" | "on"> {
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<Res>;
}

/** A running stream of grpc-js, with one place that knows why it ended. */
export class ClientStream<Res> implements Disposable {
  readonly #call: Call<Res>;
  readonly #method: string;
  readonly #release = new DisposableStack();
  readonly #onEnd = new Set<(reason: unknown) => void>();
  #ended: { readonly reason: unknown } | undefined;

  constructor(call: Call<Res>, method: string, ending: StreamEnding) {
    this.#call = call;
    this.#method = method;
    // Also keeps an error that nobody iterates for from being an uncaught one.
    call.on("error", (error) => this.#end(error));
    call.on("status", (final) => this.#end(final));
    this.#watch(ending);
  }

  async *responses(): AsyncGenerator<Res> {
    try {
      for await (const response of this.#call.iterator({ destroyOnReturn: false })) yield response;
    } catch (thrown) {
      throw this.#errorOf(this.#ended?.reason ?? thrown);
    } finally {
      this[Symbol.dispose]();
    }
    // An error from before the loop began is no event for it any more: the stream just looks finished.
    if (this.#ended !== undefined && !isOk(this.#ended.reason)) throw this.#errorOf(this.#ended.reason);
  }

  /** Waits until `write` calls back, or the stream has ended: grpc-js forgets the callbacks of a dead call. */
  send(write: (done: (error?: Error | null) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const onEnd = (reason: unknown): void => reject(this.#errorOf(reason));
      if (this.#ended !== undefined) return onEnd(this.#ended.reason);
      this.#onEnd.add(onEnd);
      write((error) => {
        this.#onEnd.delete(onEnd);
        if (error) reject(this.#errorOf(error));
        else resolve();
      });
    });
  }

  [Symbol.dispose](): void {
    this.#release.dispose();
    this.#call.cancel();
  }

  #watch({ signal, clock, channel, connectTimeoutMs, tooSlow }: StreamEnding): void {
    const onAbort = (): void => this.#cancel(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#release.defer(() => signal.removeEventListener("abort", onAbort));
    const notConnected = (): void => {
      if (channel.getConnectivityState(false) !== connectivityState.READY) this.#cancel(tooSlow());
    };
    this.#release.use(clock.timer(connectTimeoutMs, notConnected));
  }

  #cancel(reason: unknown): void {
    this.#end(reason);
    this.#call.cancel();
  }

  /** The first reason stands: what follows it is only its echo. */
  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#release.dispose();
    for (const tell of this.#onEnd) tell(reason);
    this.#onEnd.clear();
  }

  #errorOf(reason: unknown): unknown {
    if (isOk(reason)) return new AnaxError("rpc.cancelled", { method: this.#method, reason: "the server has ended the stream" });
    return isGrpcStatus(reason) ? errorOfStatus(reason, this.#method) : reason;
  }
}

const isOk = (reason: unknown): boolean => isGrpcStatus(reason) && reason.code === status.OK;
