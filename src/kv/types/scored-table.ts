import { writeLatin1 } from "../../base/latin1.ts";
import { hashOf } from "../keyspace/hash.ts";
import type { VisitMember } from "./packed-scores.ts";
import { PairTable } from "./pair-table.ts";
import { scanDown } from "./scan-down.ts";
import { ScoreTree } from "./score-tree.ts";

/** Of the table itself, with its tree. */
const TABLE_BYTES = 400;

/** Greater than every latin-1 text: `rankOf(score, LAST)` counts all members up to that score. */
export const LAST = "\u0100";

/** What a member with this score, NaN: none, gets where this one is given; NaN: nothing changes. */
export type ScoreRule = (before: number, given: number) => number;

export type Change = "none" | "added" | "moved";

/** The member that an operation is about; one object, as every command would make another. */
let scratch: Buffer = Buffer.alloc(64);
const PROBE = { bytes: scratch, from: 0, length: 0 };

/** Members with scores, as many as there are: a table that finds them, where the scores are, and a tree that has them in order and knows them by their entries. */
export class ScoredTable {
  readonly #table: PairTable;
  readonly #tree: ScoreTree;

  constructor(copied?: ScoredTable) {
    const renumber = (locationOf: (before: number) => number): void => this.#tree.renumber(locationOf);
    this.#table = copied === undefined ? new PairTable(renumber) : copied.#table.copy(renumber);
    this.#tree = new ScoreTree(this.#table);
    if (copied === undefined) return;
    copied.#tree.visit(0, copied.size, (location, score) =>
      this.#table.withField(location, (bytes, from, length) => this.#tree.insert(score, location, probe(bytes, from, length))),
    );
  }

  get size(): number {
    return this.#table.size;
  }

  get bytes(): number {
    return TABLE_BYTES + this.#table.bytes + this.#tree.bytes;
  }

  /** NaN where it is not there. */
  scoreOf(bytes: Buffer, from: number, length: number): number {
    const location = this.#table.locate(bytes, from, length, hashOf(bytes, from, length));
    return location < 0 ? Number.NaN : this.#table.numberAt(location);
  }

  change(bytes: Buffer, from: number, length: number, given: number, rule: ScoreRule): Change {
    const hash = hashOf(bytes, from, length);
    const location = this.#table.locate(bytes, from, length, hash);
    const before = location < 0 ? Number.NaN : this.#table.numberAt(location);
    const score = rule(before, given);
    if (Number.isNaN(score) || score === before) return "none";
    const member = probe(bytes, from, length);
    if (location < 0) {
      this.#tree.insert(score, this.#table.addNumber(bytes, from, length, hash, score), member);
      return "added";
    }
    this.#tree.remove(before, location, member);
    this.#tree.insert(score, location, member);
    this.#table.setNumber(location, score);
    return "moved";
  }

  /** False where it is not there. */
  delete(bytes: Buffer, from: number, length: number): boolean {
    const table = this.#table;
    const location = table.locate(bytes, from, length, hashOf(bytes, from, length));
    if (location < 0) return false;
    this.#tree.remove(table.numberAt(location), location, probe(bytes, from, length));
    if (table.isLong(location)) this.#tree.renumber((same) => same); // it may be a bound
    table.removeAt(table.positionOf(location));
    return true;
  }

  rankOf(score: number, member: string): number {
    if (member === LAST) return this.#tree.rankOf(score, probe(scratch, 0, -1));
    if (member.length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * member.length);
    return this.#tree.rankOf(score, probe(scratch, 0, writeLatin1(scratch, member)));
  }

  visit(from: number, to: number, reversed: boolean, visit: VisitMember): void {
    const visitEntry = (location: number, score: number): boolean | void =>
      this.#table.withField(location, (bytes, at, length) => visit(bytes, at, length, score));
    if (reversed) this.#tree.visitBack(from, to, visitEntry);
    else this.#tree.visit(from, to, visitEntry);
  }

  scan(cursor: number, count: number, visit: VisitMember): number {
    const table = this.#table;
    return scanDown(cursor, this.size, count, (position) => {
      const location = table.locationAt(position);
      table.withField(location, (bytes, from, length) => visit(bytes, from, length, table.numberAt(location)));
    });
  }
}

function probe(bytes: Buffer, from: number, length: number): typeof PROBE {
  PROBE.bytes = bytes;
  PROBE.from = from;
  PROBE.length = length;
  return PROBE;
}
