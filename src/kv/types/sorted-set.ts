import { latin1Of, writeLatin1 } from "../../base/latin1.ts";
import { ZSET, type Value } from "../keyspace/value.ts";
import { NOTHING_PACKED, type Packed } from "./packed.ts";
import { packedRankOf, packedScoreOf, packedSizeOf, visitPacked, withoutMember, withScore, type VisitMember } from "./packed-scores.ts";
import { ScoredTable, type Change, type ScoreRule } from "./scored-table.ts";

/** Up to which size and length a sorted set is said to be a listpack. */
export interface SortedSetLimits {
  readonly "zset-max-listpack-entries": number;
  readonly "zset-max-listpack-value": number;
}

/** Of the set itself, with the text that it is packed in. */
const SET_BYTES = 80;

/** The score that is given, whatever there was before. */
export const GIVEN: ScoreRule = (_, given) => given;

let scratch = Buffer.alloc(64);

/** Members with scores: few short ones packed in their order, otherwise a table with a tree. It never goes back. */
export class SortedSet implements Value {
  #members: Packed | ScoredTable = NOTHING_PACKED;
  #flat = true;

  get type(): number {
    return ZSET;
  }

  get encoding(): string {
    return this.#flat ? "listpack" : "skiplist";
  }

  get size(): number {
    return typeof this.#members === "string" ? packedSizeOf(this.#members) : this.#members.size;
  }

  get bytes(): number {
    return SET_BYTES + (typeof this.#members === "string" ? this.#members.length : this.#members.bytes);
  }

  scoreOf(member: string): number | undefined {
    const score = this.#scoreOf(member);
    return Number.isNaN(score) ? undefined : score;
  }

  #scoreOf(member: string): number {
    if (typeof this.#members === "string") return packedScoreOf(this.#members, member);
    const length = encoded(member);
    return this.#members.scoreOf(scratch, 0, length);
  }

  /** Adds the member, which are these bytes, or gives it another score, as the rule has it. */
  change(bytes: Buffer, from: number, length: number, given: number, rule: ScoreRule, limits: SortedSetLimits): Change {
    const members = this.#members;
    const change =
      typeof members === "string"
        ? this.#changePacked(members, latin1Of(bytes, from, from + length), given, rule)
        : members.change(bytes, from, length, given, rule);
    if (change === "added" && this.#flat && (length > limits["zset-max-listpack-value"] || this.size > limits["zset-max-listpack-entries"]))
      this.#flat = false;
    return change;
  }

  /** Adds the member, or gives it another score. */
  set(member: string, score: number, limits: SortedSetLimits): void {
    const length = encoded(member);
    this.change(scratch, 0, length, score, GIVEN, limits);
  }

  #changePacked(packed: Packed, member: string, given: number, rule: ScoreRule): Change {
    const before = packedScoreOf(packed, member);
    const score = rule(before, given);
    if (Number.isNaN(score) || score === before) return "none";
    const changed = withScore(packed, member, score);
    if (changed !== undefined) {
      this.#members = changed;
      return Number.isNaN(before) ? "added" : "moved";
    }
    const table = new ScoredTable();
    visitPacked(packed, 0, packedSizeOf(packed), false, (bytes, from, length, other) => {
      table.change(bytes, from, length, other, GIVEN);
    });
    this.#members = table;
    const length = encoded(member);
    return table.change(scratch, 0, length, score, GIVEN);
  }

  /** False where it is not there. */
  delete(member: string): boolean {
    if (typeof this.#members !== "string") {
      const length = encoded(member);
      return this.#members.delete(scratch, 0, length);
    }
    const before = this.#members;
    this.#members = withoutMember(before, member);
    return this.#members !== before;
  }

  /** How many come before this score, or any where that is `ANY_SCORE`, and member, whether or not it is there. */
  rankOf(score: number, member: string): number {
    return typeof this.#members === "string" ? packedRankOf(this.#members, score, member) : this.#members.rankOf(score, member);
  }

  /** Visits members from one rank up to, not including, another, cut to the size; or the same from the last to the first. */
  visit(from: number, to: number, reversed: boolean, visit: VisitMember): void {
    const [first, end] = [Math.max(0, from), Math.min(this.size, to)];
    if (typeof this.#members === "string") visitPacked(this.#members, first, end, reversed, visit);
    else this.#members.visit(first, end, reversed, visit);
  }

  /** `rank` must be within the size. */
  at(rank: number): { readonly member: string; readonly score: number } {
    return this.slice(rank, rank + 1)[0]!;
  }

  /** In order, until the visitor says false. */
  each(visit: (member: string, score: number) => boolean | void): void {
    this.visit(0, this.size, false, (bytes, from, length, score) => visit(latin1Of(bytes, from, from + length), score));
  }

  /** Members and scores from one rank up to another, copied. */
  slice(from: number, to: number): { readonly member: string; readonly score: number }[] {
    const copied: { member: string; score: number }[] = [];
    this.visit(from, to, false, (bytes, at, length, score) => copied.push({ member: latin1Of(bytes, at, at + length), score }) > 0);
    return copied;
  }

  /** As `scanDown`; few members are visited at once. */
  scan(cursor: number, count: number, visit: (member: string, score: number) => void): number {
    if (typeof this.#members !== "string")
      return this.#members.scan(cursor, count, (bytes, from, length, score) => visit(latin1Of(bytes, from, from + length), score));
    this.each(visit);
    return 0;
  }

  *parts(): Iterable<string> {
    for (const { member, score } of this.slice(0, this.size)) yield `${score}:${member}`;
  }

  copy(): SortedSet {
    const copy = new SortedSet();
    copy.#flat = this.#flat;
    copy.#members = typeof this.#members === "string" ? this.#members : new ScoredTable(this.#members);
    return copy;
  }
}

/** Writes to the scratch buffer; the length. */
function encoded(member: string): number {
  if (member.length > scratch.length) scratch = Buffer.alloc(2 * member.length);
  return writeLatin1(scratch, member);
}
