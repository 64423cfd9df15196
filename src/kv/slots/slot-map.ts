import { z } from "zod";
import { AnaxError } from "../../base/errors.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import { valueIn } from "./cell-value.ts";

/** Both ends are in it. */
export interface SlotRange {
  readonly start: number;
  readonly end: number;
}

/** Slots that one node owns, or that were given back (owner ""), since the map's change `epoch`, made by the claim `by`. */
export interface OwnedRange extends SlotRange {
  readonly owner: string;
  readonly epoch: number;
  readonly by: string;
  /** The epoch of the move by which the owner got its keys, which its replicas have to be given as a whole; undefined: it did not get them so. */
  readonly movedAt?: number | undefined;
}

/** Who owns what: sorted, without overlaps; slots that are not in it belong to nobody, epoch 0. Every change raises the epoch. */
export interface SlotMap {
  readonly epoch: number;
  readonly ranges: readonly OwnedRange[];
}

/** A change of owner, of all of these ranges or of none: they must still have these epochs. No two claims have the same `by`. */
export interface Claim {
  readonly ranges: readonly ExpectedRange[];
  readonly owner: string;
  readonly by: string;
  /** How the owner comes to the keys; undefined: its shard has them. `levelled`: it has, too, and how they once came need not be told apart any more. `written`: by commands, if there are any. */
  readonly keys?: "moved" | "written" | "levelled";
}

export interface ExpectedRange extends SlotRange {
  readonly epoch: number;
}

export const EMPTY_MAP: SlotMap = { epoch: 0, ranges: [] };

/** `done`: it was made before. `refused`: it can never be made any more. */
export type ClaimOutcome = { readonly kind: "made" | "done" | "refused"; readonly map: SlotMap };

export function makeClaim(map: SlotMap, claim: Claim): ClaimOutcome {
  const pieces = piecesOf(map, claim.ranges);
  if (pieces.every(({ by }) => by === claim.by)) return { kind: "done", map };
  if (!stillOpen(pieces, claim.ranges)) return { kind: "refused", map };
  const epoch = map.epoch + 1;
  const { owner, by } = claim;
  const movedAt = movedAtAfter(pieces, claim, epoch);
  const kept = map.ranges.flatMap((range) => without(range, claim.ranges));
  const changed = pieces.map((piece): OwnedRange => ({ start: piece.start, end: piece.end, owner, epoch, by, ...movedAt(piece) }));
  return { kind: "made", map: { epoch, ranges: joined([...kept, ...changed].toSorted((a, b) => a.start - b.start)) } };
}

function movedAtAfter(pieces: readonly OwnedRange[], { keys }: Claim, epoch: number): (piece: OwnedRange) => { readonly movedAt?: number } {
  const latest = pieces.reduce((max, { movedAt = 0 }) => Math.max(max, movedAt), 0);
  return ({ movedAt = 0 }) => told({ moved: epoch, written: 0, levelled: latest, stay: movedAt }[keys ?? "stay"]);
}

const told = (movedAt: number): { readonly movedAt?: number } => (movedAt === 0 ? {} : { movedAt });

/** These slots as the map has them, cut at its borders; slots of nobody have owner "" and epoch 0. */
export function piecesOf(map: SlotMap, ranges: readonly SlotRange[]): readonly OwnedRange[] {
  return ranges.flatMap(({ start, end }) => {
    const pieces: OwnedRange[] = [];
    let at = start;
    for (const range of map.ranges) {
      if (range.end < at || range.start > end) continue;
      if (range.start > at) pieces.push(nobodys(at, range.start - 1));
      pieces.push({ ...range, start: Math.max(at, range.start), end: Math.min(end, range.end) });
      at = range.end + 1;
    }
    if (at <= end) pieces.push(nobodys(at, end));
    return pieces;
  });
}

/** Whether a claim that expects these epochs may still be made, of the pieces that the map has. */
export const stillOpen = (pieces: readonly OwnedRange[], expected: readonly ExpectedRange[]): boolean =>
  pieces.every((piece) => expected.every((range) => !overlaps(piece, range) || piece.epoch === range.epoch));

/** Of a map that is later than the one with these epochs: they only grow. */
export const isLater = (pieces: readonly OwnedRange[], expected: readonly ExpectedRange[]): boolean =>
  pieces.some((piece) => expected.some((range) => overlaps(piece, range) && piece.epoch > range.epoch));

export const overlaps = (a: SlotRange, b: SlotRange): boolean => a.start <= b.end && b.start <= a.end;

export const ownerOf = (map: SlotMap, slot: number): string => piecesOf(map, [{ start: slot, end: slot }])[0]!.owner; // a slot is one piece

const nobodys = (start: number, end: number): OwnedRange => ({ start, end, owner: "", epoch: 0, by: "" });

function without(range: OwnedRange, taken: readonly SlotRange[]): OwnedRange[] {
  let left = [range];
  for (const { start, end } of taken)
    left = left.flatMap((piece) => {
      if (!overlaps(piece, { start, end })) return [piece];
      const before = piece.start < start ? [{ ...piece, end: start - 1 }] : [];
      const after = piece.end > end ? [{ ...piece, start: end + 1 }] : [];
      return [...before, ...after];
    });
  return left;
}

/** Neighbours that one claim made are one range again. */
function joined(ranges: readonly OwnedRange[]): readonly OwnedRange[] {
  const out: OwnedRange[] = [];
  for (const range of ranges) {
    const last = out.at(-1);
    if (
      last !== undefined &&
      last.end + 1 === range.start &&
      last.epoch === range.epoch &&
      last.owner === range.owner &&
      last.by === range.by &&
      last.movedAt === range.movedAt
    )
      out[out.length - 1] = { ...last, end: range.end };
    else out.push(range);
  }
  return out;
}

const slot = z
  .int()
  .min(0)
  .max(SLOT_COUNT - 1);
const OwnedRangeForm = z.strictObject({
  start: slot,
  end: slot,
  owner: z.string(),
  epoch: z.int().min(1),
  by: z.string(),
  movedAt: z.int().min(1).optional(),
});
const SlotMapForm = z.strictObject({ epoch: z.int().min(0), ranges: z.array(OwnedRangeForm).max(SLOT_COUNT) });

/** Of a register's cell; "" is a register that is new. Throws `register.invalid`. */
export function parseSlotMap(text: string): SlotMap {
  if (text === "") return EMPTY_MAP;
  const map = valueIn(SlotMapForm, text);
  const { epoch, ranges } = map;
  const ordered = ranges.every(
    (range, at) =>
      range.start <= range.end && range.epoch <= epoch && (range.movedAt ?? 0) <= range.epoch && range.start > (ranges[at - 1]?.end ?? -1),
  );
  if (!ordered) throw new AnaxError("register.invalid", { reason: "ranges overlap, are not sorted or newer than the map" });
  return map;
}
