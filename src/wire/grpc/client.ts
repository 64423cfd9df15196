import { isIP } from "node:net";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { ChannelCredentials, Client, logVerbosity, Metadata, setLogVerbosity } from "@grpc/grpc-js";
import type { CallOptions as GrpcCallOptions } from "@grpc/grpc-js";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { addressText, type GrpcAddress } from "./address.ts";
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
import { ClientStream, type StreamEnding } from "./client-stream.ts";
import type { BidiMethod, ServerStreamMethod, UnaryMethod } from "./method.ts";
import { errorOfStatus, isGrpcStatus } from "./status.ts";

/** PEM texts: the authority that the server's certificate must come from (undefined: those that the system knows), and our own certificate if it asks for one. */
export interface ClientTls {
  readonly authorityPem: string | undefined;
  readonly certificatePem?: string | undefined;
  readonly privateKeyPem?: string | undefined;
}

export interface ChannelOptions extends CallerOptions {
  readonly tls?: ClientTls | undefined;
}

/** A stream has to begin in time. */
export interface StreamOptions extends ServerStreamOptions {
  /** Time for the connection to be made, if there is none. Default 5000. */
  readonly connectTimeoutMs?: number | undefined;
}

/** An open bidirectional stream. Disposing it cancels what is not finished. */
export interface BidiStream<Req, Res> extends Disposable {
  /** Resolves once the transport has taken the message. Throws why the stream ended when it did. */
  readonly send: (request: Req) => Promise<void>;
  /** Ends without an error when the server ended the stream with OK. Iterate once. */
  readonly responses: AsyncIterable<Res>;
  /** Nothing more will be sent; responses still come. */
  readonly close: () => void;
}

/** A lazy, self-mending connection to one server. Every failure of a call is an AnaxError: the server's own, or `rpc.*`. */
export class GrpcChannel implements GrpcCaller {
  /** As `addressText` writes it. */
  readonly target: string;
  readonly #client: Client;
  readonly #clock: Clock;

  constructor(address: GrpcAddress, options: ChannelOptions) {
    setLogVerbosity(logVerbosity.NONE);
    const tls = "path" in address ? undefined : options.tls;
    this.target = addressText(address);
    this.#clock = options.clock;
    const ip = tls !== undefined && "host" in address && isIP(address.host) !== 0 ? address.host : undefined;
    // An address is no name of a server that TLS could send (RFC 6066), and grpc-js would; the certificate has to be for the address all the same.
    const naming = ip === undefined ? {} : { "grpc.ssl_target_name_override": NO_NAME };
    this.#client = new Client(this.target, credentialsOf(tls, ip), { ...channelOptionsOf(options), ...naming });
  }

  async unary<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, options: UnaryOptions): Promise<Res> {
    options.signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<Res>();
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(options.headers),
      this.#callOptions(options.timeoutMs),
      (error, response) => (error === null ? resolve(response as Res) : reject(error)), // one of both is there
    );
    const onAbort = (): void => call.cancel();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } catch (thrown) {
      options.signal?.throwIfAborted();
      throw isGrpcStatus(thrown) ? errorOfStatus(thrown, method.path) : thrown;
    } finally {
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  async *serverStream<Req, Res>(method: ServerStreamMethod<Req, Res>, request: Req, options: StreamOptions): AsyncGenerator<Res> {
    options.signal.throwIfAborted();
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadataOf(options.headers),
      this.#callOptions(options.timeoutMs),
    );
    using stream = new ClientStream(call, method.path, this.#ending(options));
    yield* stream.responses();
  }

  /** Requests and responses independent of each other. */
  bidi<Req, Res>(method: BidiMethod<Req, Res>, options: StreamOptions): BidiStream<Req, Res> {
    options.signal.throwIfAborted();
    const call = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      metadataOf(options.headers),
      this.#callOptions(options.timeoutMs),
    );
    const stream = new ClientStream(call, method.path, this.#ending(options));
    return {
      send: (request) => stream.send((done) => call.write(request, done)),
      responses: { [Symbol.asyncIterator]: () => stream.responses() },
      close: () => call.end(),
      [Symbol.dispose]: () => stream[Symbol.dispose](),
    };
  }

  /** Closes the connection; open calls end with `rpc.unavailable` or `rpc.cancelled`. */
  [Symbol.dispose](): void {
    this.#client.close();
  }

  #callOptions(timeoutMs: number | undefined): GrpcCallOptions {
    return timeoutMs === undefined ? {} : { deadline: this.#clock.wallMs() + timeoutMs };
  }

  #ending(options: StreamOptions): StreamEnding {
    const { signal, connectTimeoutMs = CONNECT_TIMEOUT_MS } = options;
    const tooSlow = (): AnaxError =>
      new AnaxError("rpc.unavailable", { address: this.target, reason: "no connection in time", connectTimeoutMs });
    const channel = this.#client.getChannel();
    return { signal, clock: this.#clock, channel, connectTimeoutMs, tooSlow };
  }
}

/** Nothing is connected before the first call. */
export const openChannel = (address: GrpcAddress, options: ChannelOptions): GrpcChannel => new GrpcChannel(address, options);

function channelOptionsOf(options: ChannelOptions) {
  return {
    "grpc.max_receive_message_length": options.receiveBytesMax ?? RECEIVE_BYTES_MAX,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    // A peer that restarts must be found again within seconds, and a dead one not be hammered.
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.min_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5000,
    // Retrying belongs to base/retry; the buffers that grpc-js keeps for it would defeat back-pressure.
    "grpc.enable_retries": 0,
    // Channels to one server must not share their backoff, nor outlive each other.
    "grpc.use_local_subchannel_pool": 1,
    // The proxy of the environment is for sources, and may well be this very process.
    "grpc.enable_http_proxy": 0,
    "grpc.service_config_disable_resolution": 1,
    "grpc.enable_channelz": 0,
  };
}

/** Of a server that is known by its address. */
const NO_NAME = "localhost";

function credentialsOf(tls: ClientTls | undefined, ip: string | undefined): ChannelCredentials {
  if (tls === undefined) return ChannelCredentials.createInsecure();
  const verify =
    ip === undefined ? {} : { checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(ip, certificate) };
  return ChannelCredentials.createSsl(bufferOf(tls.authorityPem), bufferOf(tls.privateKeyPem), bufferOf(tls.certificatePem), verify);
}

const bufferOf = (text: string | undefined): Buffer | null => (text === undefined ? null : Buffer.from(text));

function metadataOf(headers: Readonly<Record<string, string>> = {}): Metadata {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return metadata;
}
