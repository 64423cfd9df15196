import type { Clock } from "../../base/clock.ts";
import type { ServerStreamMethod, UnaryMethod } from "./method.ts";

export interface CallerOptions {
  readonly clock: Clock;
  /** Longest response, checked before it is read. Default 4 MiB; raise it where pieces travel inside messages. */
  readonly receiveBytesMax?: number | undefined;
}

export interface UnaryOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** A stream may live as long as its signal lets it. */
export interface ServerStreamOptions {
  readonly signal: AbortSignal;
  /** Time for the whole stream. Default: no limit. */
  readonly timeoutMs?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** Makes calls to one server. Every failure of a call is an AnaxError: the server's own, or `rpc.*`. Disposing ends the calls that are open. */
export interface GrpcCaller extends Disposable {
  /** One request, one response. */
  unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options: UnaryOptions): Promise<Res>;
  /** One request, responses as they are pulled. Leaving the loop cancels the call. */
  serverStream<Req, Res>(method: ServerStreamMethod<Req, Res>, request: Req, options: ServerStreamOptions): AsyncGenerator<Res>;
}

/** Longest message that is taken where nobody says otherwise, as every gRPC implementation has it. */
export const RECEIVE_BYTES_MAX = 4 * 1024 * 1024;

/** Silence after which the other side is asked for a sign of life, and how long it may take to give one. */
export const KEEPALIVE_MS = 30_000;
export const KEEPALIVE_TIMEOUT_MS = 10_000;

/** Time for a connection to be made. */
export const CONNECT_TIMEOUT_MS = 5000;
