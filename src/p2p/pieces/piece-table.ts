import { invariant } from "../../base/errors.ts";
import { Bitmap, pieceRangeOf, type PieceLayout } from "../model/piece.ts";
import { trafficNumberOf, trafficTypeOf, type TrafficType } from "../model/types.ts";
import type { PieceInfo } from "./types.ts";

/** Bytes of one piece's record; layout in docs/formats/piece-store.md. */
export const RECORD_BYTES = 12;
/** Records in one database row: a commit rewrites rows as a whole, so they stay small. */
export const SEGMENT_RECORDS = 1024;
const SEGMENT_BYTES = RECORD_BYTES * SEGMENT_RECORDS;
/** More sources than this one task never names; pieces of later ones are stored without it. */
const PARENTS_MAX = 65_535;
const CREATED_OFFSET_MAX = 0xffff_ffff;

export interface PieceFacts {
  readonly crc32: number;
  readonly traffic: TrafficType;
  readonly parentId: string;
  readonly createdAtMs: number;
}

/**
 * What is known of a task's pieces, 12 bytes each, in the form in which it lies in the database. A recorded piece is held once
 * its bytes are known to be on disk: at once when written, after verification when read back from the database.
 */
export class PieceTable {
  readonly #layout: PieceLayout;
  readonly #pieceCount: number;
  readonly #createdAtMs: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #parents: string[];
  readonly #parentNumbers = new Map<string, number>();
  #held: Bitmap;
  #heldBytes = 0;

  constructor(options: {
    readonly layout: PieceLayout & { readonly pieceCount: number };
    readonly createdAtMs: number;
    readonly parents?: readonly string[];
  }) {
    this.#layout = options.layout;
    this.#pieceCount = options.layout.pieceCount;
    this.#createdAtMs = options.createdAtMs;
    this.#bytes = new Uint8Array(options.layout.pieceCount * RECORD_BYTES);
    this.#view = new DataView(this.#bytes.buffer);
    this.#parents = [...(options.parents ?? [])];
    for (const [i, parent] of this.#parents.entries()) this.#parentNumbers.set(parent, i + 1);
    this.#held = new Bitmap(options.layout.pieceCount);
  }

  get held(): Bitmap {
    return this.#held;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  get parents(): readonly string[] {
    return this.#parents;
  }

  isRecorded(index: number): boolean {
    this.#check(index);
    return this.#bytes[index * RECORD_BYTES] !== 0;
  }

  /** Records a piece whose bytes are on disk. Returns whether its parent is new to the table. */
  add(index: number, facts: PieceFacts): { readonly newParent: boolean } {
    const parentsBefore = this.#parents.length;
    this.#check(index);
    const at = index * RECORD_BYTES;
    this.#view.setUint8(at, 1 + trafficNumberOf(facts.traffic));
    this.#view.setUint8(at + 1, 0);
    this.#view.setUint16(at + 2, this.#parentNumberOf(facts.parentId), true);
    this.#view.setUint32(at + 4, facts.crc32, true);
    this.#view.setUint32(at + 8, Math.min(CREATED_OFFSET_MAX, Math.max(0, Math.round(facts.createdAtMs - this.#createdAtMs))), true);
    this.hold(index);
    return { newParent: this.#parents.length > parentsBefore };
  }

  /** Counts a recorded piece as held. */
  hold(index: number): void {
    if (this.#held.set(index)) this.#heldBytes += pieceRangeOf(this.#layout, index).length;
  }

  /** Counts every recorded piece as held. */
  holdRecorded(): void {
    for (let index = 0; index < this.#pieceCount; index++) if (this.isRecorded(index)) this.hold(index);
  }

  /** Forgets a piece. */
  drop(index: number): void {
    this.#check(index);
    this.#bytes.fill(0, index * RECORD_BYTES, (index + 1) * RECORD_BYTES);
    if (!this.#held.has(index)) return;
    this.#held = withoutBit(this.#held, index);
    this.#heldBytes -= pieceRangeOf(this.#layout, index).length;
  }

  dropAll(): void {
    this.#bytes.fill(0);
    this.#held = new Bitmap(this.#pieceCount);
    this.#heldBytes = 0;
  }

  crc32Of(index: number): number {
    this.#check(index);
    return this.#view.getUint32(index * RECORD_BYTES + 4, true);
  }

  /** Of a held piece. */
  info(index: number): PieceInfo | undefined {
    if (!(Number.isInteger(index) && index >= 0 && index < this.#pieceCount) || !this.#held.has(index)) return undefined;
    const at = index * RECORD_BYTES;
    const range = pieceRangeOf(this.#layout, index);
    return {
      index,
      offsetBytes: range.start,
      lengthBytes: range.length,
      crc32: this.#view.getUint32(at + 4, true),
      traffic: this.#trafficAt(at),
      parentId: this.#parents[this.#view.getUint16(at + 2, true) - 1] ?? "",
      createdAtMs: this.#createdAtMs + this.#view.getUint32(at + 8, true),
    };
  }

  bytesFrom(): Record<TrafficType, number> {
    const sums: Record<TrafficType, number> = { "back-to-source": 0, "remote-peer": 0, "local-peer": 0 };
    for (let index = 0; index < this.#pieceCount; index++) {
      if (this.#held.has(index)) sums[this.#trafficAt(index * RECORD_BYTES)] += pieceRangeOf(this.#layout, index).length;
    }
    return sums;
  }

  /** The database row that holds the piece. */
  static segmentOf(index: number): number {
    return Math.floor(index / SEGMENT_RECORDS);
  }

  get segmentCount(): number {
    return Math.ceil(this.#pieceCount / SEGMENT_RECORDS);
  }

  /** A copy: the original changes while the database thread works. */
  segmentBytes(segment: number): Uint8Array {
    return this.#bytes.slice(segment * SEGMENT_BYTES, (segment + 1) * SEGMENT_BYTES);
  }

  /** Takes over what the database holds; false when it does not fit or makes no sense. */
  loadSegment(segment: number, records: Uint8Array): boolean {
    if (!(segment >= 0 && segment < this.segmentCount)) return false;
    const at = segment * SEGMENT_BYTES;
    if (records.length !== Math.min(SEGMENT_BYTES, this.#bytes.length - at)) return false;
    for (let i = 0; i < records.length; i += RECORD_BYTES) if (records[i]! > 3 || records[i + 1] !== 0) return false; // within the length
    this.#bytes.set(records, at);
    return true;
  }

  #trafficAt(at: number): TrafficType {
    return trafficTypeOf(this.#bytes[at]! - 1); // callers pass the place of a record
  }

  #parentNumberOf(parentId: string): number {
    if (parentId === "") return 0;
    const known = this.#parentNumbers.get(parentId);
    if (known !== undefined) return known;
    if (this.#parents.length === PARENTS_MAX) return 0;
    const number = this.#parents.push(parentId);
    this.#parentNumbers.set(parentId, number);
    return number;
  }

  #check(index: number): void {
    invariant(Number.isInteger(index) && index >= 0 && index < this.#pieceCount, "a piece index lies within its task");
  }
}

/** Dropping is rare, so the shared bitmap needs no way to clear. */
function withoutBit(bitmap: Bitmap, index: number): Bitmap {
  const bytes = bitmap.toBytes();
  bytes[index >> 3]! &= ~(1 << (index & 7)); // the bit was set, so it is there
  return Bitmap.fromBytes(bytes, bitmap.length);
}
