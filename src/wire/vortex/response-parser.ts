import {
  DIGEST_BYTES_MAX,
  ERROR_MESSAGE_BYTES_MAX,
  HEADER_BYTES,
  METADATA_BYTES_MAX,
  METADATA_FIXED_BYTES,
  PARENT_ID_BYTES_MAX,
  PIECE_KINDS,
  TAG_CLOSE,
  TAG_ERROR,
  malformed,
  type PieceKind,
  type PieceMetadata,
} from "./codec.ts";

/** What a piece server says; after `content`, `length` raw bytes follow that are the caller's business. */
export type ResponseHead =
  | ({ readonly type: "content"; readonly kind: PieceKind; readonly id: number } & PieceMetadata)
  | { readonly type: "error"; readonly id: number; readonly code: number; readonly message: string }
  | { readonly type: "close"; readonly id: number };

export interface ParsedResponse {
  readonly head: ResponseHead;
  /** Bytes of the given chunk that belong to the head; the piece begins behind them. */
  readonly consumedBytes: number;
}

export interface ResponseHeadParser {
  /**
   * Takes bytes that begin where the last head or piece ended. Undefined: all of the chunk is taken and the head needs more.
   * A chunk that holds the whole head, the usual case, is read in place. Throws `vortex.malformed`; the connection is then of no use.
   */
  feed(chunk: Uint8Array): ParsedResponse | undefined;
}

const HEAD_BYTES_MAX = HEADER_BYTES + 4 + METADATA_BYTES_MAX;

/** Holds at most one head (4 KiB) between calls, and nothing until a head arrives in parts. */
export function createResponseHeadParser(): ResponseHeadParser {
  let buffer: Buffer | undefined;
  let held = 0;
  return {
    feed(chunk) {
      const before = held;
      let bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      if (before > 0 || !isWhole(bytes)) {
        buffer ??= Buffer.allocUnsafe(HEAD_BYTES_MAX);
        held += bytes.copy(buffer, held);
        bytes = buffer.subarray(0, held);
        if (!isWhole(bytes)) return undefined;
      }
      held = 0;
      return { head: decode(bytes), consumedBytes: HEADER_BYTES + bytes.readUInt32BE(2) - before };
    },
  };
}

/** Whether a head is complete. Refuses what never could be, so that an incomplete one is always shorter than `HEAD_BYTES_MAX`. */
function isWhole(bytes: Buffer): boolean {
  if (bytes.length < HEADER_BYTES) return false;
  const tag = bytes[1]!;
  const valueBytes = bytes.readUInt32BE(2);
  const [min, max] = valueBoundsOf(tag);
  if (valueBytes < min || valueBytes > max) throw malformed("wrong length for the tag", { tag, valueBytes });
  return bytes.length >= HEADER_BYTES + valueBytes;
}

function valueBoundsOf(tag: number): readonly [number, number] {
  if (tag === TAG_CLOSE) return [0, 0];
  if (tag === TAG_ERROR) return [1, 1 + ERROR_MESSAGE_BYTES_MAX];
  if (tag % 2 === 1 && tag < PIECE_KINDS.length * 2) return [4 + METADATA_FIXED_BYTES, 4 + METADATA_BYTES_MAX];
  throw malformed("not the tag of a response", { tag });
}

function decode(bytes: Buffer): ResponseHead {
  const [id, tag] = [bytes[0]!, bytes[1]!]; // the head is whole
  const value = bytes.subarray(HEADER_BYTES, HEADER_BYTES + bytes.readUInt32BE(2));
  if (tag === TAG_CLOSE) return { type: "close", id };
  if (tag === TAG_ERROR) return { type: "error", id, code: value[0]!, message: value.toString("utf8", 1) };
  return { type: "content", kind: PIECE_KINDS[(tag - 1) / 2]!, id, ...decodeMetadata(value) };
}

/** Every field lies within the value, because the two text lengths must make up its size exactly. */
function decodeMetadata(value: Buffer): PieceMetadata {
  const metadataBytes = value.readUInt32BE(0);
  const digestBytes = value.readUInt32BE(24);
  if (metadataBytes !== value.length - 4) throw malformed("the metadata length contradicts the header", { metadataBytes });
  if (digestBytes > Math.min(DIGEST_BYTES_MAX, metadataBytes - METADATA_FIXED_BYTES)) throw malformed("digest too long", { digestBytes });
  const parentAt = 28 + digestBytes;
  const parentBytes = value.readUInt32BE(parentAt);
  const tailAt = parentAt + 4 + parentBytes;
  if (parentBytes > PARENT_ID_BYTES_MAX) throw malformed("parent id too long", { parentBytes });
  if (metadataBytes !== METADATA_FIXED_BYTES + digestBytes + parentBytes) throw malformed("the fields do not fill the metadata");
  return {
    number: value.readUInt32BE(4),
    offset: safe(value.readBigUInt64BE(8)),
    length: safe(value.readBigUInt64BE(16)),
    digest: text(value.subarray(28, parentAt)),
    parentId: text(value.subarray(parentAt + 4, tailAt)),
    trafficType: value.readUInt8(tailAt),
    costSeconds: safe(value.readBigUInt64BE(tailAt + 1)),
    createdAtSeconds: safe(value.readBigInt64BE(tailAt + 9)),
  };
}

function safe(number: bigint): number {
  if (number > Number.MAX_SAFE_INTEGER || number < Number.MIN_SAFE_INTEGER) throw malformed("a number beyond 2^53");
  return Number(number);
}

function text(bytes: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw malformed("text that is not UTF-8", {}, cause);
  }
}
