/** An entry that the target has not applied yet. */
export interface Unapplied {
  readonly bytes: number;
  readonly sentMs: number;
}

/** A queue as a value: another one is made of it by adding or taking, at little cost for each entry however long it is. */
export interface UnappliedQueue {
  /** The oldest, from `at` on; empty only where the queue is. */
  readonly front: readonly Unapplied[];
  readonly at: number;
  /** Those after them, the latest first. */
  readonly back: Link | undefined;
}

interface Link {
  readonly entry: Unapplied;
  readonly before: Link | undefined;
}

export const NOTHING_UNAPPLIED: UnappliedQueue = { front: [], at: 0, back: undefined };

export const withEntry = (queue: UnappliedQueue, entry: Unapplied): UnappliedQueue =>
  queue.front.length === 0 ? { ...queue, front: [entry] } : { ...queue, back: { entry, before: queue.back } };

export const oldestOf = ({ front, at }: UnappliedQueue): Unapplied | undefined => front[at];

/** Without the `count` oldest, of which there are so many; and their bytes. */
export function takenFrom(queue: UnappliedQueue, count: number): { readonly left: UnappliedQueue; readonly bytes: number } {
  let { front, at, back } = queue;
  let bytes = 0;
  for (let taken = 0; taken < count; taken++) {
    bytes += front[at++]!.bytes;
    if (at < front.length) continue;
    front = inOrder(back);
    at = 0;
    back = undefined;
  }
  return { left: { front, at, back }, bytes };
}

function inOrder(back: Link | undefined): readonly Unapplied[] {
  const entries: Unapplied[] = [];
  for (let link = back; link !== undefined; link = link.before) entries.push(link.entry);
  return entries.toReversed();
}
