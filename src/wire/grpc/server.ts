import { logVerbosity, Server, ServerCredentials, setLogVerbosity } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { addressText, type GrpcAddress } from "./address.ts";
import { KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, RECEIVE_BYTES_MAX } from "./caller.ts";
import { OpenCalls, type OnCallError } from "./open-calls.ts";
import type { GrpcService } from "./service.ts";
import { clearStaleSocket, restrictSocket } from "./unix-socket.ts";

/** PEM texts of a server's certificate, and of the authority whose clients alone are served, when there is one. */
export interface ServerTls {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly clientAuthorityPem?: string | undefined;
}

export interface GrpcServerOptions {
  readonly listen: readonly GrpcAddress[];
  readonly services: readonly GrpcService[];
  readonly clock: Clock;
  readonly onError: OnCallError;
  /** For TCP only; Unix sockets are guarded by their mode. */
  readonly tls?: ServerTls | undefined;
  /** Longest request, checked before it is read. Default 4 MiB, as every gRPC implementation has it. */
  readonly receiveBytesMax?: number | undefined;
  /** How long disposing waits for calls to end by themselves. Default 5000. */
  readonly drainTimeoutMs?: number | undefined;
}

const DRAIN_TIMEOUT_MS = 5000;
/** After the calls were ended by force: time for their statuses to leave. */
const FAREWELL_MS = 500;

/** A gRPC server that listens on all of its addresses. Disposing drains it: calls end by themselves, or at the deadline. */
export class GrpcServer implements AsyncDisposable {
  /** As asked for, with the real port where 0 was asked. */
  readonly addresses: readonly GrpcAddress[];
  readonly #server: Server;
  readonly #calls: OpenCalls;
  readonly #options: GrpcServerOptions;
  #stopped: Promise<void> | undefined;

  private constructor(server: Server, calls: OpenCalls, options: GrpcServerOptions, addresses: readonly GrpcAddress[]) {
    this.#server = server;
    this.#calls = calls;
    this.#options = options;
    this.addresses = addresses;
  }

  /** Throws `listen.address-in-use` or `listen.failed`; then nothing listens. */
  static async start(options: GrpcServerOptions): Promise<GrpcServer> {
    setLogVerbosity(logVerbosity.NONE); // grpc-js writes to stderr what reaches us as errors anyway
    const server = new Server(channelOptionsOf(options));
    const calls = new OpenCalls(options.clock, options.onError);
    for (const service of options.services) server.addService(service.definition, service.implement(calls));
    try {
      const addresses: GrpcAddress[] = [];
      for (const address of options.listen) addresses.push(await bind(server, address, options.tls));
      return new GrpcServer(server, calls, options, addresses);
    } catch (error) {
      server.forceShutdown();
      throw error;
    }
  }

  /** Stops accepting, waits for open calls under the drain deadline, then ends them. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    const { clock, drainTimeoutMs = DRAIN_TIMEOUT_MS } = this.#options;
    const closed = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    this.#calls.drain();
    const ended = Promise.all([closed, this.#calls.settled()]);
    if (await within(clock, drainTimeoutMs, ended)) return;
    this.#calls.abort();
    if (!(await within(clock, FAREWELL_MS, ended))) this.#server.forceShutdown();
  }
}

function channelOptionsOf(options: GrpcServerOptions) {
  return {
    "grpc.max_receive_message_length": options.receiveBytesMax ?? RECEIVE_BYTES_MAX,
    "grpc.max_send_message_length": -1, // a handler knows what it sends; the receiver has its own bound
    "grpc.max_concurrent_streams": 1024,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    "grpc.keepalive_permit_without_calls": 1,
    // grpc.enable_channelz stays on: without it forceShutdown knows of no connection to close (grpc-js 1.14).
  };
}

async function bind(server: Server, address: GrpcAddress, tls: ServerTls | undefined): Promise<GrpcAddress> {
  if ("path" in address) await clearStaleSocket(address.path);
  const secured = tls === undefined || "path" in address ? ServerCredentials.createInsecure() : credentialsOf(tls);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(addressText(address), secured, (error, bound) =>
      error === null ? resolve(bound) : reject(listenError(address, error)),
    );
  });
  if (!("path" in address)) return { host: address.host, port };
  await restrictSocket(address.path);
  return address;
}

/** grpc-js keeps of the system's error only the text, which names the code. */
function listenError(address: GrpcAddress, cause: Error): AnaxError {
  const code = cause.message.includes("EADDRINUSE") ? "listen.address-in-use" : "listen.failed";
  return new AnaxError(code, { address: addressText(address), reason: cause.message }, { cause });
}

function credentialsOf(tls: ServerTls): ServerCredentials {
  const authority = tls.clientAuthorityPem === undefined ? null : Buffer.from(tls.clientAuthorityPem);
  const pair = { cert_chain: Buffer.from(tls.certificatePem), private_key: Buffer.from(tls.privateKeyPem) };
  return ServerCredentials.createSsl(authority, [pair], authority !== null);
}

/** True when `promise` settled in time; it goes on otherwise. */
async function within(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: elapsed, resolve } = Promise.withResolvers<false>();
  using timer = clock.timer(ms, () => resolve(false));
  void timer;
  return await Promise.race([promise.then(() => true), elapsed]);
}
