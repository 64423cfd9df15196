import { ZSET, type Value } from "../keyspace/value.ts";
import { LEAF_MAX, ScoreTree, type Run } from "./score-tree.ts";

/** Up to which size and length a sorted set is said to be a listpack. */
export interface SortedSetLimits {
  readonly "zset-max-listpack-entries": number;
  readonly "zset-max-listpack-value": number;
}

const SET_BYTES = 160;
/** Memory of a member besides its characters: text, score and place in the tree, … */
const MEMBER_BYTES = 40;
/** … and in the index, if there is one. */
const INDEXED_BYTES = 64;
/** Free places of the index that are not worth a tidying. */
const FREE_MIN = 64;
/** Places looked at for one that was asked for, if they are free. */
const VISITS_PER_COUNT = 10;

/**
 * Members with scores. A large one has an index: a map from members to numbered places, where the score lies. A member keeps its place, so that a scan, which
 * goes from the last place to the first, meets everything that is there all the time.
 */
export class SortedSet implements Value {
  readonly type = ZSET;
  readonly #tree = new ScoreTree();
  #places: Map<string, number> | undefined;
  #members: (string | undefined)[] = [];
  #scores: number[] = [];
  #free: number[] = [];
  #flat = true;
  #characters = 0;

  get encoding(): string {
    return this.#flat ? "listpack" : "skiplist";
  }

  get size(): number {
    return this.#tree.size;
  }

  get bytes(): number {
    return SET_BYTES + this.#characters + this.size * MEMBER_BYTES + this.#members.length * INDEXED_BYTES;
  }

  scoreOf(member: string): number | undefined {
    if (this.#places === undefined) return this.#tree.scoreOf(member);
    const place = this.#places.get(member);
    return place === undefined ? undefined : this.#scores[place];
  }

  /** A member that is not there yet. */
  add(member: string, score: number, limits: SortedSetLimits): void {
    this.#tree.insert(score, member);
    this.#characters += member.length;
    if (this.#flat && (this.size > limits["zset-max-listpack-entries"] || member.length > limits["zset-max-listpack-value"]))
      this.#flat = false;
    if (this.#places !== undefined) this.#put(this.#places, member, score);
    else if (!this.#flat || this.size > LEAF_MAX) this.#places = this.#indexed();
  }

  /** Another score for a member that is there. */
  move(member: string, before: number, score: number): void {
    this.#tree.remove(before, member);
    this.#tree.insert(score, member);
    if (this.#places !== undefined) this.#scores[this.#places.get(member)!] = score; // every member has a place
  }

  /** False where it is not there. */
  delete(member: string): boolean {
    const score = this.scoreOf(member);
    if (score === undefined) return false;
    this.#tree.remove(score, member);
    this.#characters -= member.length;
    if (this.#places !== undefined) this.#take(this.#places, member);
    return true;
  }

  /** Adds the member, or gives it another score. */
  set(member: string, score: number, limits: SortedSetLimits): void {
    const before = this.scoreOf(member);
    if (before === undefined) this.add(member, score, limits);
    else if (before !== score) this.move(member, before, score);
  }

  /** How many come before this score and member, whether or not it is there. */
  rankOf(score: number, member: string): number {
    return this.#tree.rankOf(score, member);
  }

  /** As `ScoreTree.runs`: ranks as if cut to the size. */
  runs(from = 0, to = this.size): Run[] {
    return this.#tree.runs(Math.max(0, from), Math.min(this.size, to));
  }

  /** `rank` must be within the size. */
  at(rank: number): { readonly member: string; readonly score: number } {
    const run = this.#tree.runs(rank, rank + 1)[0]!;
    return { member: run.members[run.from]!, score: run.scores[run.from]! };
  }

  /** In order, until the visitor says false. */
  each(visit: (member: string, score: number) => boolean | void): void {
    for (const { members, scores, from, to } of this.runs())
      for (let i = from; i < to; i++) if (visit(members[i]!, scores[i]!) === false) return;
  }

  /** Members and scores from one rank up to another, copied. */
  slice(from: number, to: number): { readonly member: string; readonly score: number }[] {
    const copied: { member: string; score: number }[] = [];
    for (const run of this.runs(from, to))
      for (let i = run.from; i < run.to; i++) copied.push({ member: run.members[i]!, score: run.scores[i]! });
    return copied;
  }

  /**
   * Visits about `count` members and gives where to go on, 0 at the end. Who begins with 0 and goes on to the end has met each member that was there all the
   * time, some of them perhaps more than once.
   */
  scan(cursor: number, count: number, visit: (member: string, score: number) => void): number {
    if (this.#places === undefined) {
      this.each(visit);
      return 0;
    }
    let place = cursor === 0 ? this.#members.length : Math.min(cursor, this.#members.length);
    let found = 0;
    for (let looks = count * VISITS_PER_COUNT; place > 0 && looks > 0 && found < count; looks--) {
      const member = this.#members[--place];
      if (member === undefined) continue;
      visit(member, this.#scores[place]!);
      found++;
    }
    return place;
  }

  *parts(): Iterable<string> {
    for (const { members, scores, from, to } of this.runs()) for (let i = from; i < to; i++) yield `${scores[i]}:${members[i]}`;
  }

  copy(): SortedSet {
    const copy = new SortedSet();
    copy.#flat = this.#flat;
    this.each((member, score) => copy.#tree.insert(score, member));
    copy.#characters = this.#characters;
    if (this.#places !== undefined) copy.#places = copy.#indexed();
    return copy;
  }

  #indexed(): Map<string, number> {
    const places = new Map<string, number>();
    this.each((member, score) => this.#put(places, member, score));
    return places;
  }

  #put(places: Map<string, number>, member: string, score: number): void {
    const place = this.#free.pop() ?? this.#members.length;
    places.set(member, place);
    this.#members[place] = member;
    this.#scores[place] = score;
  }

  #take(places: Map<string, number>, member: string): void {
    const place = places.get(member)!; // every member has a place
    places.delete(member);
    this.#members[place] = undefined;
    this.#free.push(place);
    if (this.#free.length > FREE_MIN && this.#free.length > 2 * places.size) this.#tidy(places);
  }

  /** Gives up free places. The order stays, so that what a scan has still to visit lies below its cursor as before. */
  #tidy(places: Map<string, number>): void {
    const members: string[] = [];
    const scores: number[] = [];
    for (const [place, member] of this.#members.entries()) {
      if (member === undefined) continue;
      places.set(member, members.length);
      members.push(member);
      scores.push(this.#scores[place]!);
    }
    this.#members = members;
    this.#scores = scores;
    this.#free = [];
  }
}
