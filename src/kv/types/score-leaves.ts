/** Members of a leaf. */
export const LEAF_MAX = 64;
/** Two neighbours with together no more than this become one. */
const JOINED_MAX = (LEAF_MAX * 3) / 4;
/** Leaves come in such pieces of memory; the first one grows to that size. */
const SEGMENT_BITS = 8;
const SEGMENT_LEAVES = 1 << SEGMENT_BITS;
const SEGMENT_MASK = SEGMENT_LEAVES - 1;
const FIRST_LEAVES = 2;
const MEMBER_BYTES = 12;

const SCRATCH_SCORES = new Float64Array(2 * LEAF_MAX);
const SCRATCH_MEMBERS = new Uint32Array(2 * LEAF_MAX);

/** The leaves of a tree, by numbers: scores, with who has them, in a few large arrays that the garbage collector does not look into. */
export class ScoreLeaves {
  readonly #scores: Float64Array[] = [];
  readonly #members: Uint32Array[] = [];
  readonly #sizes: number[] = [];
  readonly #free: number[] = [];

  get bytes(): number {
    const segments = this.#scores.length;
    if (segments === 0) return 0;
    const leaves = this.#scores[0]!.length / LEAF_MAX + (segments - 1) * SEGMENT_LEAVES;
    return leaves * LEAF_MAX * MEMBER_BYTES + 8 * (this.#sizes.length + this.#free.length);
  }

  /** An empty one. */
  add(): number {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    const leaf = this.#sizes.push(0) - 1;
    const segment = leaf >>> SEGMENT_BITS;
    const inSegment = leaf & SEGMENT_MASK;
    if (segment === this.#scores.length) this.#addSegment(segment === 0 ? FIRST_LEAVES : SEGMENT_LEAVES);
    else if (inSegment * LEAF_MAX === this.#scores[segment]!.length) this.#growFirst();
    return leaf;
  }

  remove(leaf: number): void {
    this.#sizes[leaf] = 0;
    this.#free.push(leaf);
  }

  sizeOf(leaf: number): number {
    return this.#sizes[leaf]!;
  }

  scoreAt(leaf: number, at: number): number {
    return this.#scores[leaf >>> SEGMENT_BITS]![(leaf & SEGMENT_MASK) * LEAF_MAX + at]!;
  }

  memberAt(leaf: number, at: number): number {
    return this.#members[leaf >>> SEGMENT_BITS]![(leaf & SEGMENT_MASK) * LEAF_MAX + at]!;
  }

  setMember(leaf: number, at: number, member: number): void {
    this.#members[leaf >>> SEGMENT_BITS]![(leaf & SEGMENT_MASK) * LEAF_MAX + at] = member;
  }

  /** Index of the first whose score is not less. */
  firstOf(leaf: number, score: number): number {
    const scores = this.#scores[leaf >>> SEGMENT_BITS]!;
    const from = (leaf & SEGMENT_MASK) * LEAF_MAX;
    let low = from;
    let high = from + this.#sizes[leaf]!;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (scores[middle]! < score) low = middle + 1;
      else high = middle;
    }
    return low - from;
  }

  /** Where a member lies that is there, with this score. */
  indexOf(leaf: number, score: number, member: number): number {
    const members = this.#members[leaf >>> SEGMENT_BITS]!;
    const from = (leaf & SEGMENT_MASK) * LEAF_MAX;
    let at = from + this.firstOf(leaf, score);
    while (members[at] !== member) at++;
    return at - from;
  }

  /** Into one that is not full. */
  insertAt(leaf: number, at: number, score: number, member: number): void {
    const scores = this.#scores[leaf >>> SEGMENT_BITS]!;
    const members = this.#members[leaf >>> SEGMENT_BITS]!;
    const from = (leaf & SEGMENT_MASK) * LEAF_MAX;
    const to = from + at;
    for (let i = from + this.#sizes[leaf]!++; i > to; i--) {
      scores[i] = scores[i - 1]!;
      members[i] = members[i - 1]!;
    }
    scores[to] = score;
    members[to] = member;
  }

  removeAt(leaf: number, at: number): void {
    const scores = this.#scores[leaf >>> SEGMENT_BITS]!;
    const members = this.#members[leaf >>> SEGMENT_BITS]!;
    const from = (leaf & SEGMENT_MASK) * LEAF_MAX;
    const last = from + --this.#sizes[leaf]!;
    for (let i = from + at; i < last; i++) {
      scores[i] = scores[i + 1]!;
      members[i] = members[i + 1]!;
    }
  }

  /** A new leaf with what lies in this one from an index on. */
  divide(leaf: number, from: number): number {
    const right = this.add();
    this.#gather(leaf, 0);
    this.#spread(right, from, this.#sizes[leaf]!);
    this.#sizes[leaf] = from;
    return right;
  }

  /** Makes one of two neighbours, or two of the same size where they are too many; true where the right one is gone. */
  join(left: number, right: number): boolean {
    const size = this.#gather(right, this.#gather(left, 0));
    if (size <= JOINED_MAX) {
      this.#spread(left, 0, size);
      this.remove(right);
      return true;
    }
    this.#spread(left, 0, size >>> 1);
    this.#spread(right, size >>> 1, size);
    return false;
  }

  /** Copies a leaf to the scratch arrays; where it ends there. */
  #gather(leaf: number, at: number): number {
    const size = this.#sizes[leaf]!;
    const from = (leaf & SEGMENT_MASK) * LEAF_MAX;
    SCRATCH_SCORES.set(this.#scores[leaf >>> SEGMENT_BITS]!.subarray(from, from + size), at);
    SCRATCH_MEMBERS.set(this.#members[leaf >>> SEGMENT_BITS]!.subarray(from, from + size), at);
    return at + size;
  }

  /** Makes part of the scratch arrays all that a leaf has. */
  #spread(leaf: number, from: number, to: number): void {
    const at = (leaf & SEGMENT_MASK) * LEAF_MAX;
    this.#scores[leaf >>> SEGMENT_BITS]!.set(SCRATCH_SCORES.subarray(from, to), at);
    this.#members[leaf >>> SEGMENT_BITS]!.set(SCRATCH_MEMBERS.subarray(from, to), at);
    this.#sizes[leaf] = to - from;
  }

  #addSegment(leaves: number): void {
    this.#scores.push(new Float64Array(leaves * LEAF_MAX));
    this.#members.push(new Uint32Array(leaves * LEAF_MAX));
  }

  #growFirst(): void {
    const scores = new Float64Array(2 * this.#scores[0]!.length);
    const members = new Uint32Array(scores.length);
    scores.set(this.#scores[0]!);
    members.set(this.#members[0]!);
    this.#scores[0] = scores;
    this.#members[0] = members;
  }
}
