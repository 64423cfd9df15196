import { createHash } from "node:crypto";
import { AwsChunkedDecoder, type ChunkEvent } from "../../wire/http/aws-chunked.ts";
import { EMPTY_SHA256, scopeText, signatureOf } from "../../wire/http/signature-v4.ts";
import type { Caller } from "./access.ts";
import { sameSignature, type Signing } from "./authorization.ts";
import { CHECKSUM_NAMES, checksumHeaderOf, checksumNameOf, createChecksum, type ChecksumName, type Digest } from "./checksum.ts";
import { headerOf, type S3Request } from "./request.ts";
import { S3Error } from "./s3-error.ts";

/** What arrived, as computed here and compared with everything that the client said of it. */
export interface Received {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly md5: string;
  /** In base64. */
  readonly checksum: { readonly name: ChecksumName; readonly value: string } | undefined;
}

/** Largest object of one request, and largest part. */
export const UPLOAD_BYTES_MAX = 5 * 1024 ** 3;

const SIGNED_STREAM = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const STREAMS: ReadonlySet<string> = new Set([SIGNED_STREAM, `${SIGNED_STREAM}-TRAILER`, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]);

/** The content that a request brings, decoded, and verified by the time that it has been read to its end. */
export class Body {
  /** Before it was encoded for the way. */
  readonly decodedBytes: number;
  readonly #request: S3Request;
  readonly #payload: string;
  readonly #md5 = createHash("md5");
  readonly #sha256: Digest | undefined;
  readonly #checksum: { readonly name: ChecksumName; readonly digest: Digest; expected: string | undefined } | undefined;
  readonly #chunks: ChunkSignatures | undefined;
  #bytes = 0;
  #received: Received | undefined;

  /** `computed`: the checksum when the client names none; or none at all, where that of the headers is of something else. Throws `MissingContentLength`, `EntityTooLarge`, `InvalidRequest`, `InvalidDigest`, `NotImplemented`. */
  constructor(request: S3Request, { payload, signing }: Pick<Caller, "payload" | "signing">, computed?: ChecksumName | "none") {
    this.#request = request;
    this.#payload = payload;
    const streams = payload.startsWith("STREAMING-");
    if (streams && !STREAMS.has(payload)) throw new S3Error("NotImplemented");
    this.decodedBytes = lengthOf(request, streams);
    this.#sha256 = /^[0-9a-f]{64}$/.test(payload) ? createHash("sha256") : undefined;
    if (this.#sha256 === undefined && !streams && payload !== "UNSIGNED-PAYLOAD")
      throw new S3Error("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-…, or a valid sha256 value.");
    this.#checksum = computed === "none" ? undefined : checksumOf(request, computed);
    this.#chunks = payload.startsWith(SIGNED_STREAM) ? new ChunkSignatures(signing) : undefined;
  }

  /** Pieces in order. Throws also when, at the end, something of it is not as was said: what was read must not be used then. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const decoder = this.#payload.startsWith("STREAMING-")
      ? new AwsChunkedDecoder({ signed: this.#chunks !== undefined, decodedBytes: this.decodedBytes })
      : undefined;
    for await (const piece of this.#request.http as AsyncIterable<Uint8Array>) {
      if (decoder === undefined) yield this.#seen(piece);
      else yield* this.#decoded(decoder.push(piece));
    }
    if (decoder !== undefined) yield* this.#decoded(decoder.finish());
    this.#received = this.#verified();
  }

  /** After the last piece. */
  get received(): Received {
    if (this.#received === undefined) throw new Error("the body has not been read to its end");
    return this.#received;
  }

  /** All of it, of at most so many bytes. */
  async whole(bytesMax: number): Promise<Buffer> {
    if (this.decodedBytes > bytesMax) throw new S3Error("MaxMessageLengthExceeded");
    const pieces: Uint8Array[] = [];
    for await (const piece of this.pieces()) pieces.push(Buffer.from(piece));
    return Buffer.concat(pieces);
  }

  *#decoded(events: Iterable<ChunkEvent>): Generator<Uint8Array> {
    for (const event of events) {
      if (event.kind === "data") {
        this.#chunks?.update(event.bytes);
        yield this.#seen(event.bytes);
      } else if (event.kind === "chunk") this.#chunks?.check(event.signature ?? "");
      else this.#takeTrailers(event.trailers);
    }
  }

  #seen(piece: Uint8Array): Uint8Array {
    this.#bytes += piece.length;
    if (this.#bytes > this.decodedBytes) throw new S3Error("IncompleteBody");
    this.#md5.update(piece);
    this.#sha256?.update(piece);
    this.#checksum?.digest.update(piece);
    return piece;
  }

  #takeTrailers(trailers: readonly (readonly [string, string])[]): void {
    const own = trailers.filter(([name]) => name !== "x-amz-trailer-signature");
    if (this.#payload === `${SIGNED_STREAM}-TRAILER`)
      this.#chunks?.checkTrailers(own, trailers.find(([name]) => name === "x-amz-trailer-signature")?.[1] ?? "");
    for (const [name, value] of own)
      if (this.#checksum !== undefined && name === checksumHeaderOf(this.#checksum.name)) this.#checksum.expected = value;
  }

  #verified(): Received {
    if (this.#bytes !== this.decodedBytes) throw new S3Error("IncompleteBody");
    if (this.#sha256 !== undefined && this.#sha256.digest().toString("hex") !== this.#payload)
      throw new S3Error("XAmzContentSHA256Mismatch");
    const md5 = this.#md5.digest();
    const expected = headerOf(this.#request, "content-md5");
    if (expected !== undefined && expected !== md5.toString("base64")) throw new S3Error("BadDigest");
    const checksum = this.#checksum && { name: this.#checksum.name, value: this.#checksum.digest.digest().toString("base64") };
    if (this.#checksum?.expected !== undefined && this.#checksum.expected !== checksum?.value)
      throw new S3Error("BadDigest", `The ${this.#checksum.name} that you specified did not match the calculated checksum.`);
    return { bytes: this.#bytes, md5: md5.toString("hex"), checksum };
  }
}

/** Each chunk's signature covers its content and the signature before it, so that none can be left out or moved. */
class ChunkSignatures {
  readonly #signing: Signing;
  #before: string;
  #sha256 = createHash("sha256");

  constructor(signing: Signing) {
    this.#signing = signing;
    this.#before = signing.signature;
  }

  update(bytes: Uint8Array): void {
    this.#sha256.update(bytes);
  }

  check(signature: string): void {
    this.#compare("AWS4-HMAC-SHA256-PAYLOAD", [EMPTY_SHA256, this.#sha256.digest("hex")], signature);
    this.#sha256 = createHash("sha256");
  }

  checkTrailers(trailers: readonly (readonly [string, string])[], signature: string): void {
    const text = trailers.map(([name, value]) => `${name}:${value}\n`).join("");
    this.#compare("AWS4-HMAC-SHA256-TRAILER", [createHash("sha256").update(text).digest("hex")], signature);
  }

  #compare(algorithm: string, hashes: readonly string[], signature: string): void {
    const { key, scope, date } = this.#signing;
    const own = signatureOf(key, [algorithm, date, scopeText(scope), this.#before, ...hashes].join("\n"));
    if (!sameSignature(own, signature)) throw new S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match.");
    this.#before = own;
  }
}

function lengthOf(request: S3Request, streams: boolean): number {
  const text = headerOf(request, streams ? "x-amz-decoded-content-length" : "content-length");
  if (text === undefined) {
    if (!streams && headerOf(request, "transfer-encoding") === undefined) return 0;
    throw new S3Error("MissingContentLength");
  }
  if (!/^\d{1,15}$/.test(text)) throw new S3Error("InvalidArgument", "The length of the body is none.");
  if (Number(text) > UPLOAD_BYTES_MAX) throw new S3Error("EntityTooLarge");
  return Number(text);
}

/** Of a checksum in a trailer, until that is there: it is equal to none. */
const TO_COME = "";

/** The one checksum that the client names, in a header with its value, in a trailer to come, or by its algorithm alone. */
function checksumOf(
  request: S3Request,
  computed: ChecksumName | undefined,
): { name: ChecksumName; digest: Digest; expected: string | undefined } | undefined {
  const md5 = headerOf(request, "content-md5");
  if (md5 !== undefined && !/^[A-Za-z0-9+/]{22}==$/.test(md5)) throw new S3Error("InvalidDigest");
  const trailer = headerOf(request, "x-amz-trailer")?.toLowerCase();
  const given = CHECKSUM_NAMES.filter((name) => headerOf(request, checksumHeaderOf(name)) !== undefined);
  const trailing = CHECKSUM_NAMES.filter((name) => trailer?.split(",").some((part) => part.trim() === checksumHeaderOf(name)));
  if (trailer !== undefined && trailing.length === 0)
    throw new S3Error("InvalidRequest", "The trailer that you announced is not supported.");
  const algorithm = headerOf(request, "x-amz-sdk-checksum-algorithm");
  const named = algorithm === undefined ? undefined : checksumNameOf(algorithm);
  if (algorithm !== undefined && named === undefined)
    throw new S3Error("InvalidRequest", "The checksum algorithm that you named is not supported.");
  const names = new Set([...given, ...trailing]);
  if (names.size > 1) throw new S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header.");
  const [name = named ?? computed] = names;
  const expected = name && (headerOf(request, checksumHeaderOf(name)) ?? (trailing.length > 0 ? TO_COME : undefined));
  return name && { name, digest: createChecksum(name), expected };
}
