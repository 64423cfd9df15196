import { LEAF_MAX, ScoreLeaves } from "./score-leaves.ts";

const LEAF_MIN = LEAF_MAX / 4;
const BRANCH_MAX = 64;
const BRANCH_MIN = BRANCH_MAX / 4;
/** Of a branch, and of each child in it. */
const BRANCH_BYTES = 200;
const CHILD_BYTES = 40;

/** Stands for a score in `rankOf` where members are in order whatever their scores are, as where all have the same. */
export const ANY_SCORE = Number.NaN;

/** The member that an operation is about, as bytes. A length below 0: greater than any. */
export interface Probe {
  readonly bytes: Buffer;
  readonly from: number;
  readonly length: number;
}

/** Knows members by the numbers that the tree has of them. */
export interface Members {
  /** Below 0: the member with this number comes before the bytes; 0: it is them. */
  compare(member: number, bytes: Buffer, from: number, length: number): number;
}

/** Below a branch of the lowest level are leaves, by their numbers. */
type Node = number | Branch;

/** Of each child: how many members lie below it, and what none of them is less than (of the first child nobody asks). */
interface Branch {
  readonly children: Node[];
  readonly counts: number[];
  readonly scores: number[];
  readonly members: number[];
}

/**
 * Members, known by numbers, in order of their scores, those of the same score in order of their bytes: a B+ tree that knows how many lie below each node, so that ranks
 * are quick. A bound may name a member that is gone: its bytes must stay readable until `renumber`.
 */
export class ScoreTree {
  readonly #table: Members;
  readonly #leaves = new ScoreLeaves();
  #root: Node = this.#leaves.add();
  /** Branches between the root and a leaf. */
  #height = 0;
  #size = 0;
  #branches = 0;

  constructor(table: Members) {
    this.#table = table;
  }

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#leaves.bytes + this.#branches * (BRANCH_BYTES + (BRANCH_MAX / 2) * CHILD_BYTES);
  }

  /** The member, which is this number and these bytes, must not be there yet. */
  insert(score: number, member: number, probe: Probe): void {
    this.#size++;
    const right = this.#insertInto(this.#root, this.#height, score, member, probe);
    if (right === undefined) return;
    const left = this.#root;
    const height = this.#height++;
    this.#branches++;
    this.#root = {
      children: [left, right],
      counts: [this.#countOf(left, height), this.#countOf(right, height)],
      scores: [this.#firstScore(left, height), this.#firstScore(right, height)],
      members: [this.#firstMember(left, height), this.#firstMember(right, height)],
    };
  }

  /** The member must be there, with this score. */
  remove(score: number, member: number, probe: Probe): void {
    this.#size--;
    this.#removeFrom(this.#root, this.#height, score, member, probe);
    while (this.#height > 0 && (this.#root as Branch).children.length === 1) {
      this.#root = (this.#root as Branch).children[0]!;
      this.#height--;
      this.#branches--;
    }
  }

  /** How many come before this score and member, whether or not it is there. */
  rankOf(score: number, probe: Probe): number {
    let rank = 0;
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      const { children, counts } = node as Branch;
      const at = this.#childOf(node as Branch, score, probe);
      for (let i = 0; i < at; i++) rank += counts[i]!;
      node = children[at]!;
    }
    return rank + this.#positionIn(node as number, score, probe);
  }

  /** Visits the members from one rank up to, not including, another, both within the size; false from the visitor: no more. */
  visit(from: number, to: number, visit: (member: number, score: number) => boolean | void): void {
    if (from < to) this.#visitIn(this.#root, this.#height, from, to, visit);
  }

  /** The same from the last one to the first. */
  visitBack(from: number, to: number, visit: (member: number, score: number) => boolean | void): void {
    if (from < to) this.#visitBackIn(this.#root, this.#height, from, to, visit);
  }

  /** Members have other numbers now; what is gone has none, and nothing asks for it any more. */
  renumber(numberOf: (member: number) => number): void {
    this.#renumberIn(this.#root, this.#height, numberOf);
  }

  #insertInto(node: Node, level: number, score: number, member: number, probe: Probe): Node | undefined {
    if (level === 0) return this.#insertIntoLeaf(node as number, score, member, probe);
    const branch = node as Branch;
    const at = this.#childOf(branch, score, probe);
    const child = branch.children[at]!;
    const right = this.#insertInto(child, level - 1, score, member, probe);
    if (right === undefined) {
      branch.counts[at]!++;
      return undefined;
    }
    branch.counts[at] = this.#countOf(child, level - 1);
    branch.children.splice(at + 1, 0, right);
    branch.counts.splice(at + 1, 0, this.#countOf(right, level - 1));
    branch.scores.splice(at + 1, 0, this.#firstScore(right, level - 1));
    branch.members.splice(at + 1, 0, this.#firstMember(right, level - 1));
    if (branch.children.length <= BRANCH_MAX) return undefined;
    this.#branches++;
    return divided(branch, at + 2 === branch.children.length ? BRANCH_MAX - 1 : BRANCH_MAX / 2);
  }

  /** Gives the leaf that now follows this one, if it had to be divided. */
  #insertIntoLeaf(leaf: number, score: number, member: number, probe: Probe): number | undefined {
    const leaves = this.#leaves;
    const at = this.#positionIn(leaf, score, probe);
    const size = leaves.sizeOf(leaf);
    if (size < LEAF_MAX) {
      leaves.insertAt(leaf, at, score, member);
      return undefined;
    }
    // What grows at its end, as by time, leaves full leaves behind.
    const from = at === size ? size : size / 2;
    const right = leaves.divide(leaf, from);
    if (at > from || from === size) leaves.insertAt(right, at - from, score, member);
    else leaves.insertAt(leaf, at, score, member);
    return right;
  }

  #removeFrom(node: Node, level: number, score: number, member: number, probe: Probe): void {
    if (level === 0) return this.#leaves.removeAt(node as number, this.#leaves.indexOf(node as number, score, member));
    const branch = node as Branch;
    const at = this.#childOf(branch, score, probe);
    const child = branch.children[at]!;
    this.#removeFrom(child, level - 1, score, member, probe);
    branch.counts[at]!--;
    const size = level === 1 ? this.#leaves.sizeOf(child as number) : (child as Branch).children.length;
    if (size < (level === 1 ? LEAF_MIN : BRANCH_MIN) && branch.children.length > 1) this.#join(branch, Math.max(1, at), level - 1);
  }

  /** Makes one child of this one and the one before it, or two of the same size where they are too many. */
  #join(branch: Branch, at: number, level: number): void {
    const left = branch.children[at - 1]!;
    const right = branch.children[at]!;
    const gone =
      level === 0
        ? this.#leaves.join(left as number, right as number)
        : joinBranches(left as Branch, right as Branch, branch.scores[at]!, branch.members[at]!);
    if (gone) {
      if (level > 0) this.#branches--;
      branch.counts[at - 1]! += branch.counts[at]!;
      for (const column of [branch.children, branch.counts, branch.scores, branch.members]) column.splice(at, 1);
      return;
    }
    branch.scores[at] = this.#firstScore(right, level);
    branch.members[at] = this.#firstMember(right, level);
    branch.counts[at - 1] = this.#countOf(left, level);
    branch.counts[at] = this.#countOf(right, level);
  }

  #countOf(node: Node, level: number): number {
    return level === 0 ? this.#leaves.sizeOf(node as number) : (node as Branch).counts.reduce((sum, count) => sum + count, 0);
  }

  #firstScore(node: Node, level: number): number {
    return level === 0 ? this.#leaves.scoreAt(node as number, 0) : (node as Branch).scores[0]!;
  }

  #firstMember(node: Node, level: number): number {
    return level === 0 ? this.#leaves.memberAt(node as number, 0) : (node as Branch).members[0]!;
  }

  /** Index of the first that is not less. */
  #positionIn(leaf: number, score: number, probe: Probe): number {
    const leaves = this.#leaves;
    const any = Number.isNaN(score);
    let low = any ? 0 : leaves.firstOf(leaf, score);
    let high = leaves.sizeOf(leaf);
    if (low === high || (!any && leaves.scoreAt(leaf, low) !== score)) return low;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((any || leaves.scoreAt(leaf, middle) === score) && this.#isBefore(leaves.memberAt(leaf, middle), probe, false)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Index of the last child that is not wholly greater. */
  #childOf({ scores, members }: Branch, score: number, probe: Probe): number {
    const any = Number.isNaN(score);
    let low = 1;
    let high = scores.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = scores[middle]!;
      if (other < score || ((any || other === score) && this.#isBefore(members[middle]!, probe, true))) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #isBefore(member: number, { bytes, from, length }: Probe, orSame: boolean): boolean {
    if (length < 0) return true;
    const order = this.#table.compare(member, bytes, from, length);
    return order < 0 || (orSame && order === 0);
  }

  #visitIn(node: Node, level: number, from: number, to: number, visit: (member: number, score: number) => boolean | void): boolean {
    if (level === 0) {
      const leaf = node as number;
      for (let i = from; i < to; i++) if (visit(this.#leaves.memberAt(leaf, i), this.#leaves.scoreAt(leaf, i)) === false) return false;
      return true;
    }
    const { children, counts } = node as Branch;
    let before = 0;
    for (let i = 0; i < children.length && before < to; i++) {
      const count = counts[i]!;
      const goesOn =
        before + count <= from || this.#visitIn(children[i]!, level - 1, Math.max(0, from - before), Math.min(count, to - before), visit);
      if (!goesOn) return false;
      before += count;
    }
    return true;
  }

  #visitBackIn(node: Node, level: number, from: number, to: number, visit: (member: number, score: number) => boolean | void): boolean {
    if (level === 0) {
      const leaf = node as number;
      for (let i = to - 1; i >= from; i--) if (visit(this.#leaves.memberAt(leaf, i), this.#leaves.scoreAt(leaf, i)) === false) return false;
      return true;
    }
    const { children, counts } = node as Branch;
    let before = this.#countOf(node, level);
    for (let i = children.length - 1; i >= 0 && before > from; i--) {
      const count = counts[i]!;
      before -= count;
      const goesOn =
        before >= to || this.#visitBackIn(children[i]!, level - 1, Math.max(0, from - before), Math.min(count, to - before), visit);
      if (!goesOn) return false;
    }
    return true;
  }

  /** Bounds become the least members that are there, which are no worse. */
  #renumberIn(node: Node, level: number, numberOf: (member: number) => number): void {
    if (level === 0) {
      const leaf = node as number;
      for (let i = this.#leaves.sizeOf(leaf) - 1; i >= 0; i--) this.#leaves.setMember(leaf, i, numberOf(this.#leaves.memberAt(leaf, i)));
      return;
    }
    const { children, scores, members } = node as Branch;
    for (let i = 0; i < children.length; i++) {
      this.#renumberIn(children[i]!, level - 1, numberOf);
      scores[i] = this.#firstScore(children[i]!, level - 1);
      members[i] = this.#firstMember(children[i]!, level - 1);
    }
  }
}

function divided({ children, counts, scores, members }: Branch, from: number): Branch {
  return { children: children.splice(from), counts: counts.splice(from), scores: scores.splice(from), members: members.splice(from) };
}

/** As `ScoreLeaves.join`. The least below the right one was looked for in its parent only: there its bound is. */
function joinBranches(left: Branch, right: Branch, score: number, member: number): boolean {
  [right.scores[0], right.members[0]] = [score, member];
  left.children.push(...right.children.splice(0));
  left.counts.push(...right.counts.splice(0));
  left.scores.push(...right.scores.splice(0));
  left.members.push(...right.members.splice(0));
  const size = left.children.length;
  if (size <= (BRANCH_MAX * 3) / 4) return true;
  const upper = divided(left, size >>> 1);
  right.children.push(...upper.children);
  right.counts.push(...upper.counts);
  right.scores.push(...upper.scores);
  right.members.push(...upper.members);
  return false;
}
