import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { S3Client, S3ClientConfig } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { BodyChunks } from "./body.ts";
import type { SourceConfig } from "./config.ts";
import { escape } from "../../wire/http/signature-v4.ts";
import type { Exchange, Transport } from "./transport.ts";
import type { ObjectStorage, SourceRequest } from "./types.ts";

export interface S3Parts {
  readonly config: SourceConfig;
  readonly clock: Clock;
  readonly transport: Transport;
  readonly onBytes: (count: number) => void;
}

/** Clients of the S3 library, one per service and identity, on our own transport: its addresses, proxy, trust, limits and deadlines hold. */
export class S3Clients {
  readonly #parts: S3Parts;
  readonly #clients = new Map<string, S3Client>();

  constructor(parts: S3Parts) {
    this.#parts = parts;
  }

  /** Loads the library on first use: it is the heaviest that we have, and most daemons never need it. */
  async for(request: SourceRequest): Promise<S3Client> {
    const { S3Client: Client } = await import("@aws-sdk/client-s3");
    const storage = storageOf(this.#parts.config, request.objectStorage ?? {});
    const certificates = request.certificateChain ?? [];
    const key = createHash("sha256")
      .update(JSON.stringify([storage, certificates]))
      .digest("hex");
    const client = this.#clients.get(key) ?? new Client(this.#settings(storage, certificates));
    this.#clients.delete(key); // set again, so that the map is ordered by last use
    this.#clients.set(key, client);
    const [oldest] = this.#clients.keys();
    if (this.#clients.size > CLIENTS_MAX && oldest !== undefined) this.#clients.delete(oldest);
    return client;
  }

  #settings(storage: ObjectStorage, certificates: readonly string[]): S3ClientConfig {
    return {
      region: storage.region ?? this.#parts.config.s3Region,
      ...(storage.endpoint !== undefined && { endpoint: storage.endpoint, forcePathStyle: true }), // few others serve a host per bucket
      ...credentialsOf(this.#parts.config, storage),
      maxAttempts: 1, // trying again is decided in one place, for all sources
      followRegionRedirects: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED", // pieces and digests are checked by us; many servers know no checksums
      requestHandler: handlerOf(this.#parts, { certificates, insecure: storage.insecureSkipVerify }),
    };
  }
}

const CLIENTS_MAX = 64;

/** What the request says, completed by the settings; keys of the settings never go to an endpoint that a request chose. */
export function storageOf(config: SourceConfig, given: ObjectStorage): ObjectStorage {
  const ours = given.endpoint === undefined || given.endpoint === config.s3Endpoint;
  const located = { ...given, endpoint: given.endpoint ?? config.s3Endpoint };
  if (given.accessKeyId !== undefined || !ours) return located;
  return { ...located, accessKeyId: config.s3AccessKeyId, accessKeySecret: config.s3AccessKeySecret, sessionToken: config.s3SessionToken };
}

function credentialsOf(config: SourceConfig, storage: ObjectStorage): Pick<S3ClientConfig, "credentials" | "signer"> {
  const { accessKeyId, accessKeySecret: secretAccessKey, sessionToken } = storage;
  if (accessKeyId !== undefined && secretAccessKey !== undefined) {
    return { credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) } };
  }
  if (config.s3MachineCredentials && storage.endpoint === config.s3Endpoint) return {};
  return { credentials: { accessKeyId: "anonymous", secretAccessKey: "anonymous" }, signer: { sign: async (request) => request } };
}

/** The part of the library's request that a GET or HEAD has. */
interface LibraryRequest {
  readonly method: string;
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | null>>;
  readonly headers: Readonly<Record<string, string>>;
}

function handlerOf(parts: S3Parts, route: Pick<Exchange, "certificates" | "insecure">): Record<string, unknown> {
  return {
    metadata: { handlerProtocol: "http/1.1" },
    destroy: () => undefined, // the transport is not the client's to close
    updateHttpClientConfig: () => undefined,
    httpHandlerConfigs: () => ({}),
    async handle(request: LibraryRequest, options: { readonly abortSignal?: AbortSignal } = {}) {
      const { method } = request;
      if (method !== "GET" && method !== "HEAD") throw new AnaxError("internal", { reason: `a source sends no ${method}` });
      const { host: _, ...headers } = request.headers; // set from the URL, to the same value
      const signal = options.abortSignal ?? new AbortController().signal;
      const reply = await parts.transport.exchange({ ...route, url: urlOf(request), method, headers, signal });
      const isContent = reply.status === 200 || reply.status === 206 ? request.query?.["list-type"] === undefined : false;
      const body = isContent ? reply.body : Readable.from(document(parts, request, reply.body, signal));
      return { response: { statusCode: reply.status, headers: reply.headers, body } };
    },
  };
}

function urlOf(request: LibraryRequest): URL {
  const port = request.port === undefined ? "" : `:${request.port}`;
  const query = Object.entries(request.query ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? (value as readonly string[]) : [value as string | null]).map((item) =>
      item === null ? escape(name) : `${escape(name)}=${escape(item)}`,
    ),
  );
  return new URL(`${request.protocol}//${request.hostname}${port}${request.path}${query.length === 0 ? "" : `?${query.join("&")}`}`);
}

/** Listings and errors, which the library collects in memory, within a limit. */
async function* document(parts: S3Parts, request: LibraryRequest, body: Readable, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  const options = { url: urlOf(request).href, clock: parts.clock, signal, idleTimeoutMs: parts.config.idleTimeoutMs };
  for await (const chunk of new BodyChunks(body, { ...options, expectedBytes: undefined, onBytes: () => undefined })) {
    bytes += chunk.length;
    if (bytes > DOCUMENT_BYTES_MAX) throw new AnaxError("source.refused", { reason: "a listing or error text is too long", bytes });
    yield chunk;
  }
}

const DOCUMENT_BYTES_MAX = 16 * 1024 ** 2;
