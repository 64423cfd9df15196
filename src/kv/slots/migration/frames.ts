import { AnaxError } from "../../../base/errors.ts";
import { SLOT_COUNT } from "../../keyspace/key-slot.ts";
import type { ExpectedRange } from "../slot-map.ts";
import type { Frame } from "./types.ts";

// docs/formats/slot-migration.md. Big-endian; whatever is longer than it may be, too short, or has bytes left over is refused.

const KINDS = ["init", "data", "fence", "unfence", "look", "accept", "refuse", "applied", "confirm", "ping", "cancel"] as const;
const TEXT_BYTES_MAX = 1024;
const RANGES_MAX = SLOT_COUNT;
/** Payload with what stands before it. */
const FRAME_BYTES_MAX = 512 * 1024 * 1024;

type KindOf<F> = F extends { readonly kind: infer K } ? K : never;
type Kind = KindOf<Frame>;
const NUMBER_OF: ReadonlyMap<Kind, number> = new Map(KINDS.map((kind, number) => [kind, number + 1]));

export function encodeFrame(frame: Frame): Buffer {
  const payload = frame.kind === "data" ? (frame.payload as Uint8Array) : EMPTY; // what the walk, or a write, has made
  const bytesMax = 64 + 4 * TEXT_BYTES_MAX + (frame.kind === "init" ? 12 * frame.expected.length : 0) + payload.length;
  const out = new Writer(bytesMax <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafeSlow(bytesMax));
  out.u8(NUMBER_OF.get(frame.kind)!);
  out.text(frame.job);
  out.u32(frame.attempt);
  switch (frame.kind) {
    case "init":
      out.text(frame.from);
      out.u32(frame.expected.length);
      for (const { start, end, epoch } of frame.expected) {
        out.u16(start);
        out.u16(end);
        out.f64(epoch);
      }
      break;
    case "data":
      out.u32(frame.seq);
      out.u32(frame.keys);
      out.raw(payload);
      break;
    case "fence":
    case "confirm":
      out.u32(frame.fence);
      out.u32(frame.seq);
      break;
    case "unfence":
      out.u32(frame.fence);
      break;
    case "applied":
      out.u32(frame.seq);
      break;
    case "refuse":
    case "cancel":
      out.text(frame.reason);
      break;
    case "look":
    case "accept":
    case "ping":
      break;
  }
  return out.done();
}

/** The payload of a data frame lies in `bytes`. Throws `migration.malformed`. */
export function decodeFrame(bytes: Buffer): Frame {
  if (bytes.length > FRAME_BYTES_MAX) throw malformed("a frame that is too long");
  const read = new Reader(bytes);
  const kind = KINDS[read.u8() - 1];
  const head = { job: read.text(), attempt: read.u32() };
  const frame = bodyOf(kind, head, read);
  read.end();
  return frame;
}

function bodyOf(kind: Kind | undefined, head: { readonly job: string; readonly attempt: number }, read: Reader): Frame {
  switch (kind) {
    case "init":
      return { ...head, kind, from: read.text(), expected: rangesOf(read) };
    case "data": {
      const [seq, keys] = [read.u32(), read.u32()];
      const payload = read.rest();
      return { ...head, kind, seq, keys, bytes: payload.length, payload };
    }
    case "fence":
    case "confirm":
      return { ...head, kind, fence: read.u32(), seq: read.u32() };
    case "unfence":
      return { ...head, kind, fence: read.u32() };
    case "applied":
      return { ...head, kind, seq: read.u32() };
    case "refuse":
    case "cancel":
      return { ...head, kind, reason: read.text() };
    case "look":
    case "accept":
    case "ping":
      return { ...head, kind };
    case undefined:
      throw malformed("a kind that is not known");
  }
}

/** In order, without overlaps, each with an epoch that a map can have. */
function rangesOf(read: Reader): readonly ExpectedRange[] {
  const count = read.u32();
  if (count === 0 || count > RANGES_MAX) throw malformed(`${count} ranges`);
  const ranges: ExpectedRange[] = [];
  for (let i = 0; i < count; i++) {
    const range = { start: read.u16(), end: read.u16(), epoch: read.f64() };
    const ordered = range.start <= range.end && range.end < SLOT_COUNT;
    if (!ordered || !Number.isSafeInteger(range.epoch) || range.epoch < 0) throw malformed("a range that cannot be");
    if (ranges.some(({ start, end }) => start <= range.end && range.start <= end)) throw malformed("ranges that overlap");
    ranges.push(range);
  }
  return ranges;
}

export const malformed = (reason: string): AnaxError => new AnaxError("migration.malformed", { reason });

const EMPTY = Buffer.alloc(0);
/** Most frames are short, and copied from here. */
const SCRATCH = Buffer.alloc(8 * 1024);

class Writer {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(into: Buffer) {
    this.#bytes = into;
  }

  u8(value: number): void {
    this.#at = this.#bytes.writeUInt8(value, this.#at);
  }

  u16(value: number): void {
    this.#at = this.#bytes.writeUInt16BE(value, this.#at);
  }

  u32(value: number): void {
    this.#at = this.#bytes.writeUInt32BE(value, this.#at);
  }

  f64(value: number): void {
    this.#at = this.#bytes.writeDoubleBE(value, this.#at);
  }

  /** Cut where it is too long. */
  text(text: string): void {
    const bytes = Buffer.from(text, "utf8").subarray(0, TEXT_BYTES_MAX);
    this.u16(bytes.length);
    this.raw(bytes);
  }

  raw(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  done(): Buffer {
    const written = this.#bytes.subarray(0, this.#at);
    return this.#bytes === SCRATCH ? Buffer.from(written) : written;
  }
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  #take(count: number): number {
    const from = this.#at;
    if (from + count > this.#bytes.length) throw malformed("a frame that is cut off");
    this.#at += count;
    return from;
  }

  u8 = (): number => this.#bytes.readUInt8(this.#take(1));
  u16 = (): number => this.#bytes.readUInt16BE(this.#take(2));
  u32 = (): number => this.#bytes.readUInt32BE(this.#take(4));
  f64 = (): number => this.#bytes.readDoubleBE(this.#take(8));

  text(): string {
    const length = this.u16();
    if (length > TEXT_BYTES_MAX) throw malformed("a text that is too long");
    const from = this.#take(length);
    return this.#bytes.toString("utf8", from, from + length);
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#take(this.#bytes.length - this.#at));
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed("bytes behind a frame");
  }
}
