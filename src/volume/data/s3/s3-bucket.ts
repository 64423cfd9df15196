import type * as Library from "@aws-sdk/client-s3";
import type { S3Client, S3ServiceException } from "@aws-sdk/client-s3";
import type { Clock } from "../../../base/clock.ts";
import { AnaxError, type ErrorDetails } from "../../../base/errors.ts";
import { createRandom } from "../../../base/random.ts";
import { retry, type Backoff } from "../../../base/retry.ts";
import { escape } from "../../../wire/http/signature-v4.ts";
import type { S3Data } from "../volume-data.ts";

type Sdk = typeof Library;

const CONNECT_MS = 5000;
/** Without a byte in either direction. */
const IDLE_MS = 10_000;
/** All of a request, so that one that trickles ends, too. */
const REQUEST_MS = 60_000;
const SOCKETS_MAX = 64;
/** What a store that is busy for a moment needs; who waits longer for it tries again on its own terms. */
const RETRY: Backoff = { attemptsMax: 4, firstMs: 100, maxMs: 2000 };

/** Refusals that are worth another attempt at once: slow down, time-out, too many. */
const PASSING: ReadonlySet<number> = new Set([408, 425, 429]);

export interface ListedObject {
  readonly key: string;
  readonly bytes: number;
}

/**
 * Requests to one bucket, each with its time-outs and a few attempts. What passes (no answer, busy, refused, no such bucket) throws `volume.unreachable`: credentials
 * and buckets come back, too.
 */
export class S3Bucket implements Disposable {
  readonly #data: S3Data;
  readonly #clock: Clock;
  readonly #client: S3Client;
  readonly #sdk: Sdk;
  readonly #random = createRandom();

  private constructor(data: S3Data, clock: Clock, sdk: Sdk) {
    this.#data = data;
    this.#clock = clock;
    this.#sdk = sdk;
    this.#client = new sdk.S3Client({
      region: data.region,
      ...(data.endpoint !== undefined && { endpoint: data.endpoint, forcePathStyle: true }), // few others serve a host per bucket
      maxAttempts: 1,
      followRegionRedirects: true,
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED", // every blob is compared with its digest
      requestHandler: {
        connectionTimeout: CONNECT_MS,
        socketTimeout: IDLE_MS,
        httpAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
        httpsAgent: { keepAlive: true, maxSockets: SOCKETS_MAX },
      },
    });
  }

  /** Asks nobody anything. The library is loaded on first use: most volumes never need it. */
  static async open(data: S3Data, clock: Clock): Promise<S3Bucket> {
    return new S3Bucket(data, clock, await import("@aws-sdk/client-s3"));
  }

  /** `sha256` in hexadecimal: the store refuses what arrives otherwise. */
  async put(key: string, content: Uint8Array, sha256: string): Promise<void> {
    const checksum = Buffer.from(sha256, "hex").toString("base64");
    await this.#send(key, (signal) =>
      this.#client.send(
        new this.#sdk.PutObjectCommand({ ...this.#at(key), Body: content, ContentLength: content.length, ChecksumSHA256: checksum }),
        { abortSignal: signal },
      ),
    );
  }

  /** At most `bytesMax` bytes of it, so that a stranger's object fills no memory. Undefined: there is none. Throws the signal's reason when it aborts. */
  get(key: string, bytesMax: number, stop?: AbortSignal): Promise<Buffer | undefined> {
    const attempt = async (signal: AbortSignal): Promise<Buffer | undefined> => {
      try {
        const { Body: body } = await this.#client.send(new this.#sdk.GetObjectCommand(this.#at(key)), { abortSignal: signal });
        return body === undefined ? undefined : await headOf(body as AsyncIterable<Uint8Array>, bytesMax); // of Node's handler
      } catch (error) {
        if (nameOf(error) === "NoSuchKey") return undefined;
        throw error;
      }
    };
    return this.#send(key, attempt, stop);
  }

  /** An address by which whoever has it may read this object, and nothing else, for so long. */
  async readUrl(key: string, validMs: number): Promise<string> {
    const { region, bucket, endpoint = `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}` } = this.#data;
    const { protocol, hostname, port, host, pathname } = new URL(endpoint);
    const path = `${pathname.replace(/\/$/, "")}/${[bucket, ...key.split("/")].map(escape).join("/")}`;
    const signer = (await this.#client.config.signer()) as unknown as Presigner; // the library's own has it, as its package for such addresses relies on
    const request = {
      method: "GET",
      protocol,
      hostname,
      ...(port !== "" && { port: Number(port) }),
      path,
      query: {},
      headers: { host, "x-amz-content-sha256": "UNSIGNED-PAYLOAD" },
    };
    const { query } = await signer.presign(request, { expiresIn: Math.ceil(validMs / 1000) });
    const text = Object.entries(query).map(([name, value]) => `${escape(name)}=${escape(value)}`);
    return `${protocol}//${host}${path}?${text.join("&")}`;
  }

  /** Its size. Undefined: there is none. */
  head(key: string): Promise<number | undefined> {
    return this.#send(key, async (signal) => {
      try {
        return (await this.#client.send(new this.#sdk.HeadObjectCommand(this.#at(key)), { abortSignal: signal })).ContentLength;
      } catch (error) {
        if (statusOf(error) !== 404) throw error;
        // An answer without a text: a bucket that is missing looks the same, and only its listing tells.
        await this.#page(key, { MaxKeys: 1 }, signal);
        return undefined;
      }
    });
  }

  /** Within the store, without its content passing through here; `from` may be in another bucket of it. False: there is none. */
  copy(from: { readonly bucket: string; readonly key: string }, key: string): Promise<boolean> {
    const source = `${from.bucket}/${from.key.split("/").map(encodeURIComponent).join("/")}`;
    return this.#send(key, async (signal) => {
      try {
        await this.#client.send(new this.#sdk.CopyObjectCommand({ ...this.#at(key), CopySource: source }), { abortSignal: signal });
        return true;
      } catch (error) {
        if (nameOf(error) === "NoSuchKey") return false;
        throw error;
      }
    });
  }

  /** Nothing there is no failure. */
  async remove(key: string): Promise<void> {
    await this.#send(key, (signal) => this.#client.send(new this.#sdk.DeleteObjectCommand(this.#at(key)), { abortSignal: signal }));
  }

  /** Everything below the prefix. A page that cannot be had throws: an incomplete list must not look like a complete one. */
  async *list(prefix: string): AsyncIterable<ListedObject> {
    let token: string | undefined;
    do {
      const at = token;
      const page = await this.#send(prefix, (signal) => this.#page(prefix, at === undefined ? {} : { ContinuationToken: at }, signal));
      for (const { Key: key, Size: bytes } of page.Contents ?? []) if (key !== undefined) yield { key, bytes: bytes ?? 0 };
      token = page.NextContinuationToken;
      if (page.IsTruncated === true && (token === undefined || token === at)) throw this.#unreachable(prefix, "the list does not go on");
    } while (token !== undefined);
  }

  [Symbol.dispose](): void {
    this.#client.destroy();
  }

  #page(prefix: string, more: { readonly MaxKeys?: number; readonly ContinuationToken?: string }, signal: AbortSignal) {
    return this.#client.send(new this.#sdk.ListObjectsV2Command({ Bucket: this.#data.bucket, Prefix: prefix, ...more }), {
      abortSignal: signal,
    });
  }

  #at(key: string): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#data.bucket, Key: key };
  }

  #send<T>(key: string, work: (signal: AbortSignal) => Promise<T>, stop?: AbortSignal): Promise<T> {
    const refused = new AbortController();
    const attempt = async (): Promise<T> => {
      stop?.throwIfAborted();
      using deadline = this.#clock.deadline(REQUEST_MS, stop);
      try {
        return await work(deadline.signal);
      } catch (error) {
        stop?.throwIfAborted();
        if (error instanceof AnaxError && !deadline.expired) throw error;
        const status = statusOf(error);
        if (status !== undefined && status >= 400 && status < 500 && !PASSING.has(status)) refused.abort();
        throw this.#unreachable(key, reasonOf(error), status, error);
      }
    };
    return retry(attempt, { ...RETRY, clock: this.#clock, random: this.#random, signal: refused.signal });
  }

  #unreachable(key: string, reason: string, status?: number, cause?: unknown): AnaxError {
    const { bucket, endpoint } = this.#data;
    const details: ErrorDetails = {
      bucket,
      key,
      ...(endpoint !== undefined && { endpoint }),
      ...(status !== undefined && { status }),
      reason,
    };
    return new AnaxError("volume.unreachable", details, { cause });
  }
}

async function headOf(body: AsyncIterable<Uint8Array>, bytesMax: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= bytesMax) break; // ends the stream, too
  }
  return Buffer.concat(chunks).subarray(0, bytesMax);
}

/** What the signer of the library can do besides what its type tells. */
interface Presigner {
  presign(request: object, options: { readonly expiresIn: number }): Promise<{ readonly query: Readonly<Record<string, string>> }>;
}

const nameOf = (error: unknown): string | undefined => (error instanceof Error ? error.name : undefined);

const statusOf = (error: unknown): number | undefined => (error as Partial<S3ServiceException>).$metadata?.httpStatusCode; // of whatever was thrown

const reasonOf = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
