/** Members of a leaf; of a set that is no larger nothing but one leaf is there. */
export const LEAF_MAX = 128;
const LEAF_MIN = LEAF_MAX / 4;
const BRANCH_MAX = 64;
const BRANCH_MIN = BRANCH_MAX / 4;

/** Greater than every latin-1 text: `rankOf(score, LAST)` counts all members up to that score. */
export const LAST = "\u0100";

/** Stands for a score in `rankOf` where members are in order whatever their scores are, as where all have the same. */
export const ANY_SCORE = Number.NaN;

/** Members that follow one another, in the arrays that hold them: valid until the tree is changed. */
export interface Run {
  readonly scores: readonly number[];
  readonly members: readonly string[];
  readonly from: number;
  readonly to: number;
}

interface Leaf {
  readonly scores: number[];
  readonly members: string[];
}

/** Of each child: how many members lie below it, and what none of them is less than (of the first child nobody asks). */
interface Branch {
  readonly children: (Leaf | Branch)[];
  readonly counts: number[];
  readonly scores: number[];
  readonly members: string[];
}

/** Members in order of their scores, those of the same score in order of their bytes: a B+ tree that knows how many lie below each node, so that ranks are quick. */
export class ScoreTree {
  #root: Leaf | Branch = emptyLeaf();
  /** Branches between the root and a leaf. */
  #height = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The member must not be there yet. */
  insert(score: number, member: string): void {
    this.#size++;
    const right = insertInto(this.#root, this.#height, score, member);
    if (right === undefined) return;
    const left = this.#root;
    this.#root = {
      children: [left, right],
      counts: [countOf(left, this.#height), countOf(right, this.#height)],
      scores: [left.scores[0]!, right.scores[0]!],
      members: [left.members[0]!, right.members[0]!],
    };
    this.#height++;
  }

  /** The member must be there, with this score. */
  remove(score: number, member: string): void {
    this.#size--;
    removeFrom(this.#root, this.#height, score, member);
    while (this.#height > 0 && (this.#root as Branch).children.length === 1) {
      this.#root = (this.#root as Branch).children[0]!;
      this.#height--;
    }
  }

  /** How many come before this score and member, whether or not it is there. */
  rankOf(score: number, member: string): number {
    let rank = 0;
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) {
      const { children, counts } = node as Branch;
      const at = childOf(node as Branch, score, member);
      for (let i = 0; i < at; i++) rank += counts[i]!;
      node = children[at]!;
    }
    return rank + positionIn(node, score, member);
  }

  /** The members from one rank up to, not including, another; both within the size. */
  runs(from: number, to: number): Run[] {
    const runs: Run[] = [];
    if (from < to) collect(this.#root, this.#height, { from, to }, runs);
    return runs;
  }

  /** Looks at one after the other: for a few. */
  scoreOf(member: string): number | undefined {
    for (const { members, scores } of this.runs(0, this.#size)) {
      const at = members.indexOf(member);
      if (at >= 0) return scores[at];
    }
    return undefined;
  }
}

/** An array that has held a double holds doubles ever after: eight bytes each, no objects. */
function emptyLeaf(): Leaf {
  const scores = [0.5];
  scores.pop();
  return { scores, members: [] };
}

const countOf = (node: Leaf | Branch, level: number): number =>
  level === 0 ? node.members.length : (node as Branch).counts.reduce((sum, count) => sum + count, 0);

/** Index of the first that is not less. */
function positionIn({ scores, members }: Leaf, score: number, member: string): number {
  const any = Number.isNaN(score);
  let low = 0;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = scores[middle]!;
    if (other < score || ((any || other === score) && members[middle]! < member)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the last child that is not wholly greater. */
function childOf({ scores, members }: Branch, score: number, member: string): number {
  const any = Number.isNaN(score);
  let low = 1;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = scores[middle]!;
    if (other < score || ((any || other === score) && members[middle]! <= member)) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Gives the node that now follows this one, if it had to be divided. */
function insertInto(node: Leaf | Branch, level: number, score: number, member: string): Leaf | Branch | undefined {
  if (level === 0) return insertIntoLeaf(node, score, member);
  const branch = node as Branch;
  const { children, counts, scores, members } = branch;
  const at = childOf(branch, score, member);
  const child = children[at]!;
  const right = insertInto(child, level - 1, score, member);
  if (right === undefined) {
    counts[at]!++;
    return undefined;
  }
  counts[at] = countOf(child, level - 1);
  children.splice(at + 1, 0, right);
  counts.splice(at + 1, 0, countOf(right, level - 1));
  scores.splice(at + 1, 0, right.scores[0]!);
  members.splice(at + 1, 0, right.members[0]!);
  return children.length > BRANCH_MAX ? divided(branch, at + 2 === children.length ? BRANCH_MAX - 1 : BRANCH_MAX / 2) : undefined;
}

function divided({ children, counts, scores, members }: Branch, from: number): Branch {
  return { children: children.splice(from), counts: counts.splice(from), scores: scores.splice(from), members: members.splice(from) };
}

function insertIntoLeaf(leaf: Leaf, score: number, member: string): Leaf | undefined {
  const { scores, members } = leaf;
  const at = positionIn(leaf, score, member);
  const size = members.length;
  if (size < LEAF_MAX) {
    place(leaf, at, score, member);
    return undefined;
  }
  // What grows at its end, as by time, leaves full leaves behind.
  const from = at === size ? size : size / 2;
  const right = emptyLeaf();
  for (let i = from; i < size; i++) {
    right.scores.push(scores[i]!);
    right.members.push(members[i]!);
  }
  scores.length = members.length = from;
  if (at > from || from === size) place(right, at - from, score, member);
  else place(leaf, at, score, member);
  return right;
}

function place({ scores, members }: Leaf, at: number, score: number, member: string): void {
  let i = members.length;
  scores.push(score);
  members.push(member);
  for (; i > at; i--) {
    scores[i] = scores[i - 1]!;
    members[i] = members[i - 1]!;
  }
  scores[at] = score;
  members[at] = member;
}

function take({ scores, members }: Leaf, at: number): void {
  if (at === 0) {
    scores.shift();
    members.shift();
    return;
  }
  const last = members.length - 1;
  for (let i = at; i < last; i++) {
    scores[i] = scores[i + 1]!;
    members[i] = members[i + 1]!;
  }
  scores.pop();
  members.pop();
}

function removeFrom(node: Leaf | Branch, level: number, score: number, member: string): void {
  if (level === 0) return take(node, positionIn(node, score, member));
  const branch = node as Branch;
  const at = childOf(branch, score, member);
  const child = branch.children[at]!;
  removeFrom(child, level - 1, score, member);
  branch.counts[at]!--;
  if (child.members.length < (level === 1 ? LEAF_MIN : BRANCH_MIN) && branch.children.length > 1) join(branch, Math.max(1, at), level - 1);
}

/** Makes one child of this one and the one before it, or two of the same size where they are too many. */
function join(branch: Branch, at: number, level: number): void {
  const left = branch.children[at - 1]!;
  const right = branch.children[at]!;
  // The least below the right one was looked for in its parent only.
  if (level > 0) [right.scores[0], right.members[0]] = [branch.scores[at]!, branch.members[at]!];
  left.scores.push(...right.scores);
  left.members.push(...right.members);
  if (level > 0) {
    (left as Branch).children.push(...(right as Branch).children);
    (left as Branch).counts.push(...(right as Branch).counts);
  }
  const size = left.members.length;
  if (size <= ((level > 0 ? BRANCH_MAX : LEAF_MAX) * 3) / 4) {
    branch.counts[at - 1]! += branch.counts[at]!;
    for (const column of [branch.children, branch.counts, branch.scores, branch.members]) column.splice(at, 1);
    return;
  }
  const half = size >>> 1;
  const upper = level > 0 ? divided(left as Branch, half) : { scores: left.scores.splice(half), members: left.members.splice(half) };
  branch.children[at] = upper;
  branch.scores[at] = upper.scores[0]!;
  branch.members[at] = upper.members[0]!;
  branch.counts[at - 1] = countOf(left, level);
  branch.counts[at] = countOf(upper, level);
}

function collect(node: Leaf | Branch, level: number, { from, to }: { readonly from: number; readonly to: number }, runs: Run[]): void {
  if (level === 0) {
    runs.push({ scores: node.scores, members: node.members, from, to });
    return;
  }
  const { children, counts } = node as Branch;
  let before = 0;
  for (let i = 0; i < children.length && before < to; i++) {
    const count = counts[i]!;
    if (before + count > from)
      collect(children[i]!, level - 1, { from: Math.max(0, from - before), to: Math.min(count, to - before) }, runs);
    before += count;
  }
}
