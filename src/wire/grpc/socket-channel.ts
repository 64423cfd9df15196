import { AnaxError } from "../../base/errors.ts";
import { Http2Connection } from "../http2/connection.ts";
import type { HeaderField } from "../http2/hpack.ts";
import { checkedSocket } from "./address.ts";
import {
  CONNECT_TIMEOUT_MS,
  KEEPALIVE_MS,
  KEEPALIVE_TIMEOUT_MS,
  RECEIVE_BYTES_MAX,
  type CallerOptions,
  type GrpcCaller,
  type ServerStreamOptions,
  type UnaryOptions,
} from "./caller.ts";
import { frameMessage } from "./message-parser.ts";
import type { Method, ServerStreamMethod, UnaryMethod } from "./method.ts";
import { SocketCall } from "./socket-call.ts";

/**
 * Calls over a Unix socket for programs that run for a moment: the same wire as `GrpcChannel`, without what grpc-js takes to load. Nothing
 * is connected before the first call, unless that is asked for, and a broken connection is made anew by the next one.
 */
export class SocketChannel implements GrpcCaller {
  readonly #path: string;
  readonly #options: CallerOptions;
  /** The last one takes new calls; those before it, which the other side wanted to end, finish what they have. */
  #connections: readonly Http2Connection[] = [];
  #reached = false;

  /** Throws `input.invalid` for a path that the operating system would cut. */
  constructor(path: string, options: CallerOptions) {
    this.#path = checkedSocket(path).path;
    this.#options = options;
  }

  /** Lets the connection be made while the first call is still being prepared. Whether it can be made, the call says. */
  connect(): void {
    this.#open();
  }

  /** Somebody has answered on this socket, if only to say what he can. */
  get reached(): boolean {
    return (this.#reached ||= this.#connections.some(({ greeted }) => greeted));
  }

  async unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options: UnaryOptions): Promise<Res> {
    let only: Res | undefined;
    for await (const response of this.#call(method, request, options)) {
      if (only !== undefined) throw new AnaxError("rpc.internal", { method: method.path, reason: "more than one response" });
      only = response;
    }
    if (only !== undefined) return only;
    throw new AnaxError("rpc.internal", { method: method.path, reason: "no response" });
  }

  serverStream<Req, Res>(method: ServerStreamMethod<Req, Res>, request: Req, options: ServerStreamOptions): AsyncGenerator<Res> {
    return this.#call(method, request, options);
  }

  /** Open calls end with `rpc.cancelled`. */
  [Symbol.dispose](): void {
    for (const connection of this.#connections) connection.close(new AnaxError("rpc.cancelled", { reason: "the channel was closed" }));
  }

  async *#call<Req, Res>(method: Method<Req, Res>, request: Req, { signal, timeoutMs, headers }: CallOptions): AsyncGenerator<Res> {
    signal?.throwIfAborted();
    const { clock, receiveBytesMax = RECEIVE_BYTES_MAX } = this.#options;
    const body = frameMessage(method.requestSerialize(request));
    const { path, responseDeserialize: decode } = method;
    using call = new SocketCall<Res>({ method: path, decode, receiveBytesMax, clock, signal, timeoutMs });
    call.begin((events) => this.#open().request(headersOf(path, timeoutMs, headers), body, events));
    for (let response = await call.next(); response !== undefined; response = await call.next()) yield response;
  }

  #open(): Http2Connection {
    const last = this.#connections.at(-1);
    if (last?.open === true) return last;
    void this.reached; // those that are closed are forgotten
    const connection = new Http2Connection({
      path: this.#path,
      clock: this.#options.clock,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      keepAliveMs: KEEPALIVE_MS,
      keepAliveTimeoutMs: KEEPALIVE_TIMEOUT_MS,
    });
    this.#connections = [...this.#connections.filter(({ closed }) => !closed), connection];
    return connection;
  }
}

interface CallOptions extends Omit<UnaryOptions, "timeoutMs"> {
  readonly timeoutMs?: number | undefined;
}

/** gRPC allows eight digits. */
const TIMEOUT_MS_MAX = 99_999_999;

function headersOf(path: string, timeoutMs: number | undefined, more: Readonly<Record<string, string>> = {}): HeaderField[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "localhost"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
    ...(timeoutMs === undefined ? [] : [["grpc-timeout", timeoutText(timeoutMs)] as const]),
    ...Object.entries(more).map(([name, value]): HeaderField => [name.toLowerCase(), value]),
  ];
}

const timeoutText = (ms: number): string => (ms <= TIMEOUT_MS_MAX ? `${Math.ceil(ms)}m` : `${Math.ceil(ms / 1000)}S`);
