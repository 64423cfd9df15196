import { AnaxError, invariant } from "../../base/errors.ts";

// How our own peers move blocks: docs/formats/blocks.md. A connection of the piece port that begins with the greeting speaks this instead of
// Vortex; Vortex has no packet with that tag. Big-endian, like everything there.

/** `id 0 | tag 160 | length u32`, in the form of a Vortex packet. */
const GREETING_TAG = 160;
const GREETING_HEADER_BYTES = 6;
const MAGIC = Buffer.from("anax-blocks/2\n");
const HOST_ID_BYTES_MAX = 1024;
export const GREETING_BYTES_MAX = GREETING_HEADER_BYTES + MAGIC.length + HOST_ID_BYTES_MAX;

/** `type u8 | flags u8 | stream u16 | length u32` before each payload. */
export const FRAME_HEADER_BYTES = 8;
const TASK_ID_BYTES = 32;
const REQUEST_BYTES = TASK_ID_BYTES + 4;
const HASH_BYTES = 32;
const KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
const PIECE_FIXED_BYTES = 16;
const HASHES_MAX = 1024;
/** Longest payload that is no run of blocks. */
export const SMALL_PAYLOAD_BYTES_MAX = PIECE_FIXED_BYTES + HASHES_MAX * HASH_BYTES + KEY_BYTES + SIGNATURE_BYTES;

export const FRAMES = { request: 1, cancel: 2, news: 3, piece: 16, run: 17, end: 18 } as const;
export type FrameType = keyof typeof FRAMES;
const TYPE_OF = new Map<number, FrameType>(Object.entries(FRAMES).map(([type, number]) => [number, type as FrameType])); // its own keys

/** Why a stream of blocks ends. `busy`: no free slot; `elsewhere`: another has just got this piece, ask that one; `gone`: it stopped arriving here. */
export const ENDS = ["done", "busy", "elsewhere", "not-found", "gone", "failed"] as const;
export type End = (typeof ENDS)[number];

export interface FrameHeader {
  readonly type: FrameType;
  readonly flags: number;
  readonly stream: number;
  readonly lengthBytes: number;
}

/** A request that waits for any piece that nobody was sent yet. */
export const ANY_PIECE = 0xffff_ffff;

export interface BlockRequest {
  readonly stream: number;
  /** 64 hexadecimal characters. */
  readonly taskId: string;
  /** Or `ANY_PIECE`. */
  readonly piece: number;
  /** Another piece that nobody has yet is as welcome. */
  readonly orAnother: boolean;
}

/** The hashes of a piece's blocks and who vouches for them. */
export interface BlockHashes {
  /** SHA-256 of each block, one after the other. */
  readonly hashes: Uint8Array;
  /** Ed25519, raw. */
  readonly key: Uint8Array;
  readonly signature: Uint8Array;
}

/** What is known of a piece before its blocks. */
export interface PieceStart {
  readonly stream: number;
  readonly piece: number;
  readonly lengthBytes: number;
  readonly blockBytes: number;
  readonly crc32: number;
  /** Undefined where nobody vouches: then only the whole piece can be checked. */
  readonly proof: BlockHashes | undefined;
}

/** News of the sender about a task, as on the control stream. */
export interface NewsFrame {
  /** 64 hexadecimal characters. */
  readonly taskId: string;
  /** An encoded `MeshUpdate`. */
  readonly update: Uint8Array;
}

/** Longest update that a frame of news carries. */
export const UPDATE_BYTES_MAX = SMALL_PAYLOAD_BYTES_MAX - TASK_ID_BYTES;

export const malformedFrame = (reason: string, details: Readonly<Record<string, number>> = {}): AnaxError =>
  new AnaxError("vortex.malformed", { reason, ...details });

export function encodeGreeting(hostId: string): Buffer {
  const name = Buffer.from(hostId);
  invariant(name.length <= HOST_ID_BYTES_MAX, "a host id is short");
  const header = Buffer.alloc(GREETING_HEADER_BYTES);
  header.writeUInt8(GREETING_TAG, 1);
  header.writeUInt32BE(MAGIC.length + name.length, 2);
  return Buffer.concat([header, MAGIC, name]);
}

/** Whether a connection that begins so speaks blocks; needs two bytes. */
export const isGreeting = (first: Uint8Array): boolean => first[0] === 0 && first[1] === GREETING_TAG;

/** The greeting at the front of `bytes`, or undefined while it is not complete. Throws `vortex.malformed`. */
export function decodeGreeting(bytes: Buffer): { readonly hostId: string; readonly consumedBytes: number } | undefined {
  if (bytes.length < GREETING_HEADER_BYTES) return undefined;
  const lengthBytes = bytes.readUInt32BE(2);
  if (!isGreeting(bytes) || lengthBytes < MAGIC.length || lengthBytes > MAGIC.length + HOST_ID_BYTES_MAX)
    throw malformedFrame("not a greeting", { lengthBytes });
  const end = GREETING_HEADER_BYTES + lengthBytes;
  if (bytes.length < end) return undefined;
  const name = GREETING_HEADER_BYTES + MAGIC.length;
  if (!bytes.subarray(GREETING_HEADER_BYTES, name).equals(MAGIC)) throw malformedFrame("another protocol than blocks, version 2");
  return { hostId: bytes.toString("utf8", name, end), consumedBytes: end };
}

/** Throws `vortex.malformed` for an unknown type, or a length that none of its kind has. Needs `FRAME_HEADER_BYTES`. */
export function decodeFrameHeader(bytes: Buffer): FrameHeader {
  const type = TYPE_OF.get(bytes.readUInt8(0));
  const lengthBytes = bytes.readUInt32BE(4);
  if (type === undefined) throw malformedFrame("no such frame", { type: bytes.readUInt8(0) });
  if (!fits(type, lengthBytes)) throw malformedFrame("a frame of this kind has another length", { type: FRAMES[type], lengthBytes });
  return { type, flags: bytes.readUInt8(1), stream: bytes.readUInt16BE(2), lengthBytes };
}

function fits(type: FrameType, lengthBytes: number): boolean {
  switch (type) {
    case "request":
      return lengthBytes === REQUEST_BYTES;
    case "cancel":
      return lengthBytes === 0;
    case "news":
      return lengthBytes >= TASK_ID_BYTES && lengthBytes <= SMALL_PAYLOAD_BYTES_MAX;
    case "piece":
      return lengthBytes >= PIECE_FIXED_BYTES && lengthBytes <= SMALL_PAYLOAD_BYTES_MAX;
    case "run":
      return lengthBytes > 0; // the piece's layout says how much
    case "end":
      return lengthBytes === 1;
  }
}

export function encodeRequest({ stream, taskId, piece, orAnother }: BlockRequest): Buffer {
  const frame = frameOf("request", stream, REQUEST_BYTES);
  frame.writeUInt8(orAnother ? 1 : 0, 1);
  writeTaskId(frame, taskId);
  frame.writeUInt32BE(piece, FRAME_HEADER_BYTES + TASK_ID_BYTES);
  return frame;
}

export function decodeRequest(header: FrameHeader, payload: Buffer): BlockRequest {
  return {
    stream: header.stream,
    taskId: payload.toString("hex", 0, TASK_ID_BYTES),
    piece: payload.readUInt32BE(TASK_ID_BYTES),
    orAnother: (header.flags & 1) !== 0,
  };
}

/** An update of at most `UPDATE_BYTES_MAX`. */
export function encodeNews({ taskId, update }: NewsFrame): Buffer {
  const frame = frameOf("news", 0, TASK_ID_BYTES + update.length);
  writeTaskId(frame, taskId);
  frame.set(update, FRAME_HEADER_BYTES + TASK_ID_BYTES);
  return frame;
}

/** The update lies in the payload's memory. */
export const decodeNews = (payload: Buffer): NewsFrame => ({
  taskId: payload.toString("hex", 0, TASK_ID_BYTES),
  update: payload.subarray(TASK_ID_BYTES),
});

export const encodeCancel = (stream: number): Buffer => frameOf("cancel", stream, 0);

export function encodePieceStart({ stream, piece, lengthBytes, blockBytes, crc32, proof }: PieceStart): Buffer {
  const hashes = proof?.hashes ?? NOTHING;
  const frame = frameOf("piece", stream, PIECE_FIXED_BYTES + (proof === undefined ? 0 : hashes.length + KEY_BYTES + SIGNATURE_BYTES));
  let at = frame.writeUInt32BE(piece, FRAME_HEADER_BYTES);
  at = frame.writeUInt32BE(lengthBytes, at);
  at = frame.writeUInt32BE(blockBytes, at);
  at = frame.writeUInt32BE(crc32, at);
  if (proof === undefined) return frame;
  frame.set(proof.key, at);
  frame.set(proof.signature, at + KEY_BYTES);
  frame.set(hashes, at + KEY_BYTES + SIGNATURE_BYTES);
  return frame;
}

/** Copies what it keeps. Throws `vortex.malformed` when the number of hashes is not that of the blocks. */
export function decodePieceStart(header: FrameHeader, payload: Buffer): PieceStart {
  const lengthBytes = payload.readUInt32BE(4);
  const blockBytes = payload.readUInt32BE(8);
  const start = { stream: header.stream, piece: payload.readUInt32BE(0), lengthBytes, blockBytes, crc32: payload.readUInt32BE(12) };
  if (lengthBytes === 0 || blockBytes === 0) throw malformedFrame("a piece or block without bytes");
  if (payload.length === PIECE_FIXED_BYTES) return { ...start, proof: undefined };
  const hashBytes = payload.length - PIECE_FIXED_BYTES - KEY_BYTES - SIGNATURE_BYTES;
  if (hashBytes !== Math.ceil(lengthBytes / blockBytes) * HASH_BYTES)
    throw malformedFrame("not a hash for each block", { lengthBytes, blockBytes, hashBytes });
  const proof = Buffer.from(payload.subarray(PIECE_FIXED_BYTES));
  return {
    ...start,
    proof: {
      key: proof.subarray(0, KEY_BYTES),
      signature: proof.subarray(KEY_BYTES, KEY_BYTES + SIGNATURE_BYTES),
      hashes: proof.subarray(KEY_BYTES + SIGNATURE_BYTES),
    },
  };
}

/** Before the raw bytes of one or more blocks that follow each other. */
export function encodeRunHead(stream: number, lengthBytes: number): Buffer {
  const head = frameOf("run", stream, 0);
  head.writeUInt32BE(lengthBytes, 4);
  return head;
}

export function encodeEnd(stream: number, end: End): Buffer {
  const frame = frameOf("end", stream, 1);
  frame.writeUInt8(ENDS.indexOf(end), FRAME_HEADER_BYTES);
  return frame;
}

/** An unknown reason reads as `failed`: a newer peer told us something, and that is all that is sure. */
export const decodeEnd = (payload: Buffer): End => ENDS[payload.readUInt8(0)] ?? "failed";

const NOTHING = new Uint8Array(0);

function writeTaskId(frame: Buffer, taskId: string): void {
  invariant(/^[0-9a-f]{64}$/.test(taskId), "a task id is 64 hexadecimal characters");
  frame.write(taskId, FRAME_HEADER_BYTES, "hex");
}

function frameOf(type: FrameType, stream: number, payloadBytes: number): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payloadBytes);
  frame.writeUInt8(FRAMES[type], 0);
  frame.writeUInt16BE(stream, 2);
  frame.writeUInt32BE(payloadBytes, 4);
  return frame;
}
