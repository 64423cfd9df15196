import { AnaxError, invariant } from "../../base/errors.ts";

/** `id u8 | tag u8 | length u32`, big-endian like everything in Vortex. */
export const HEADER_BYTES = 6;
export const TASK_ID_BYTES = 64;
/** Task id and piece number. */
export const REQUEST_VALUE_BYTES = TASK_ID_BYTES + 4;
/** Content metadata without its two texts. */
export const METADATA_FIXED_BYTES = 45;
/** Limits on what a stranger may send before any piece's bytes; real metadata has about 150 bytes. */
export const METADATA_BYTES_MAX = 4096;
export const DIGEST_BYTES_MAX = 256;
export const PARENT_ID_BYTES_MAX = 1024;
export const ERROR_MESSAGE_BYTES_MAX = 4096;

export const TAG_CLOSE = 254;
export const TAG_ERROR = 255;

/** The families of tasks; kind i is requested with tag 2i and answered with tag 2i + 1. */
export const PIECE_KINDS = ["standard", "persistent", "persistent-cache", "cache"] as const;
export type PieceKind = (typeof PIECE_KINDS)[number];

/** The codes of an Error packet that upstream knows. */
export const VORTEX_ERRORS = { unknown: 0, invalidArgument: 1, notFound: 2, internal: 3 } as const;
export type VortexErrorCode = (typeof VORTEX_ERRORS)[keyof typeof VORTEX_ERRORS];

export interface PieceRequest {
  readonly kind: PieceKind;
  /** Any byte; replies do not repeat it. */
  readonly id: number;
  readonly taskId: string;
  readonly pieceNumber: number;
}

export interface PieceMetadata {
  readonly number: number;
  /** Bytes from the content's start. */
  readonly offset: number;
  /** Raw bytes that follow the packet. */
  readonly length: number;
  /** `crc32:<decimal>`; upstream accepts an empty one. */
  readonly digest: string;
  readonly parentId: string;
  /** 0 back to source, 1 remote peer, 2 local peer; others are passed on as they are. */
  readonly trafficType: number;
  /** Whole seconds. */
  readonly costSeconds: number;
  /** Whole seconds since 1970. */
  readonly createdAtSeconds: number;
}

export function encodeDownloadPiece(request: PieceRequest): Uint8Array {
  invariant(/^[0-9a-f]{64}$/.test(request.taskId), "a requested task id is 64 hexadecimal characters");
  const packet = packetOf(request.id, tagOf(request.kind), REQUEST_VALUE_BYTES);
  packet.write(request.taskId, HEADER_BYTES, "latin1");
  packet.writeUInt32BE(request.pieceNumber, HEADER_BYTES + TASK_ID_BYTES);
  return packet;
}

/** Header and metadata of a reply; the piece's `length` raw bytes are to follow. */
export function encodePieceContentHead(content: PieceMetadata & { readonly kind: PieceKind; readonly id: number }): Uint8Array {
  const digest = Buffer.from(content.digest);
  const parentId = Buffer.from(content.parentId);
  invariant(digest.length <= DIGEST_BYTES_MAX && parentId.length <= PARENT_ID_BYTES_MAX, "a piece's digest and parent id are short");
  const metadataBytes = METADATA_FIXED_BYTES + digest.length + parentId.length;
  const packet = packetOf(content.id, tagOf(content.kind) + 1, 4 + metadataBytes);
  let at = packet.writeUInt32BE(metadataBytes, HEADER_BYTES);
  at = packet.writeUInt32BE(content.number, at);
  at = packet.writeBigUInt64BE(BigInt(content.offset), at);
  at = packet.writeBigUInt64BE(BigInt(content.length), at);
  at = packet.writeUInt32BE(digest.length, at);
  at += digest.copy(packet, at);
  at = packet.writeUInt32BE(parentId.length, at);
  at += parentId.copy(packet, at);
  at = packet.writeUInt8(content.trafficType, at);
  at = packet.writeBigUInt64BE(BigInt(content.costSeconds), at);
  packet.writeBigInt64BE(BigInt(content.createdAtSeconds), at);
  return packet;
}

/** A message that is too long loses its end. */
export function encodeError(error: { readonly id: number; readonly code: VortexErrorCode; readonly message: string }): Uint8Array {
  const message = new Uint8Array(ERROR_MESSAGE_BYTES_MAX);
  const { written } = new TextEncoder().encodeInto(error.message, message); // stops before a character that does not fit
  const packet = packetOf(error.id, TAG_ERROR, 1 + written);
  packet.writeUInt8(error.code, HEADER_BYTES);
  packet.set(message.subarray(0, written), HEADER_BYTES + 1);
  return packet;
}

export const encodeClose = (id: number): Uint8Array => packetOf(id, TAG_CLOSE, 0);

/** The one error for bytes that are not Vortex; after it a connection has lost its framing. */
export const malformed = (reason: string, details: Readonly<Record<string, number>> = {}, cause?: unknown): AnaxError =>
  new AnaxError("vortex.malformed", { reason, ...details }, { cause });

const tagOf = (kind: PieceKind): number => PIECE_KINDS.indexOf(kind) * 2;

function packetOf(id: number, tag: number, valueBytes: number): Buffer {
  const packet = Buffer.allocUnsafe(HEADER_BYTES + valueBytes); // every byte is written by the caller
  packet.writeUInt8(id, 0);
  packet.writeUInt8(tag, 1);
  packet.writeUInt32BE(valueBytes, 2);
  return packet;
}
