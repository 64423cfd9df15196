import { malformed } from "./malformed.ts";

/** Frame types of RFC 9113; others are ignored, as it says. */
export const FRAME = {
  data: 0,
  headers: 1,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goAway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;

export const SETTING = { headerTableSize: 1, enablePush: 2, initialWindowSize: 4 } as const;

/** What both sides may send until they agree on more, which we never do. */
export const FRAME_BYTES_MAX = 16_384;
/** Of flow control, for a connection and for each stream, until settings say otherwise. */
export const WINDOW_BYTES = 65_535;
export const WINDOW_BYTES_MAX = 2 ** 31 - 1;

export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

const HEAD_BYTES = 9;
const EMPTY = new Uint8Array(0);

export interface Frame {
  readonly type: number;
  readonly flags: number;
  /** 0: it is about the connection. */
  readonly streamId: number;
  /** May be part of the bytes that were fed. */
  readonly payload: Uint8Array;
}

export function encodeFrame(frame: Pick<Frame, "type"> & Partial<Frame>): Buffer {
  const { type, flags = 0, streamId = 0, payload = EMPTY } = frame;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, HEAD_BYTES);
  return bytes;
}

export function encodeSettings(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  settings.forEach(([id, value], place) => {
    payload.writeUInt16BE(id, 6 * place);
    payload.writeUInt32BE(value, 6 * place + 2);
  });
  return encodeFrame({ type: FRAME.settings, payload });
}

/** Throws `rpc.internal`. */
export function decodeSettings(payload: Uint8Array): ReadonlyMap<number, number> {
  if (payload.length % 6 !== 0) throw malformed("settings of a wrong length");
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return new Map(Array.from({ length: payload.length / 6 }, (_, place) => [view.getUint16(6 * place), view.getUint32(6 * place + 2)]));
}

/** A frame whose whole payload is a number of 32 bits. */
export function encodeNumber(type: number, streamId: number, value: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(value);
  return encodeFrame({ type, streamId, payload });
}

/** The number of 32 bits that a frame begins with. Throws `rpc.internal`. */
export function decodeNumber({ payload, type }: Pick<Frame, "payload" | "type">): number {
  if (payload.length < 4) throw malformed("a frame that is too short", { type });
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

/** The same where its first bit is set aside and means nothing: in stream ids and windows. Throws `rpc.internal`. */
export const decodeUint31 = (frame: Pick<Frame, "payload" | "type">): number => decodeNumber(frame) & 0x7fff_ffff;

/** The content of a frame without its padding and priority. Throws `rpc.internal`. */
export function contentOf({ type, flags, payload }: Frame): Uint8Array {
  const padded = (flags & FLAG.padded) !== 0;
  const start = (padded ? 1 : 0) + (type === FRAME.headers && (flags & FLAG.priority) !== 0 ? 5 : 0);
  const end = payload.length - (padded ? (payload[0] ?? 0) : 0);
  if (start > end) throw malformed("more padding than frame");
  return payload.subarray(start, end);
}

export interface FrameParser {
  /** Takes the next bytes as they came and returns the frames that are complete. Throws `rpc.internal` for a frame that is too long. */
  feed(chunk: Uint8Array): readonly Frame[];
}

/** Holds less than one frame between calls. */
export function createFrameParser(): FrameParser {
  let held: Uint8Array = EMPTY;
  return {
    feed(chunk) {
      const bytes = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const frames: Frame[] = [];
      let at = 0;
      while (bytes.length - at >= HEAD_BYTES) {
        const length = view.getUint32(at) >>> 8;
        if (length > FRAME_BYTES_MAX) throw malformed("a frame longer than was allowed", { length });
        const start = at + HEAD_BYTES;
        if (bytes.length < start + length) break;
        const payload = bytes.subarray(start, start + length);
        frames.push({ type: view.getUint8(at + 3), flags: view.getUint8(at + 4), streamId: view.getUint32(at + 5) & 0x7fff_ffff, payload });
        at = start + length;
      }
      held = bytes.subarray(at);
      return frames;
    },
  };
}
