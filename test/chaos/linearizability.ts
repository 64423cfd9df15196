/** One call: what was asked, when, and what came of it. A call whose answer did not come may have been made at any time after it began, or never. */
export interface Call {
  readonly kind: "set" | "get" | "del";
  /** What is set, or was got; undefined: nothing was there. */
  readonly value: string | undefined;
  readonly callMs: number;
  /** Infinity: no answer has come. */
  readonly returnMs: number;
}

export type Verdict = "ok" | "violation" | "undecided";

const STATES_MAX = 300_000;

/**
 * Whether there is an order of these calls of one key, each between its begin and its end, in which a register would have answered so (the search of Wing and Gong, with Lowe's memory of
 * states that were seen).
 */
export function judgeRegister(calls: readonly Call[]): Verdict {
  const all = calls.filter((call) => call.kind !== "get" || Number.isFinite(call.returnMs)).toSorted((a, b) => a.callMs - b.callMs);
  const seen = new Set<string>();
  let states = 0;
  const done = new Uint8Array(all.length);
  /** `from`: all before are done. Explicit, as there are more calls than a stack is deep. */
  const stack: {
    readonly at: number;
    readonly before: string | undefined;
    readonly state: string | undefined;
    from: number;
    next: number;
  }[] = [];
  let state: string | undefined;
  let from = 0;
  let next = 0;
  for (;;) {
    while (from < all.length && done[from] === 1) from++;
    if (isOver(all, done, from)) return "ok";
    const at = nextFor(all, done, { from, start: Math.max(from, next) }, state);
    if (at !== undefined) {
      const call = all[at]!;
      const after = call.kind === "get" ? state : call.kind === "set" ? call.value : undefined;
      done[at] = 1;
      const key = `${keyOf(done, from)}/${after ?? ""}`;
      if (!seen.has(key)) {
        seen.add(key);
        if (++states > STATES_MAX) return "undecided";
        stack.push({ at, before: state, state: after, from, next: at + 1 });
        state = after;
        next = 0;
        continue;
      }
      done[at] = 0;
      next = at + 1;
      continue;
    }
    const last = stack.pop();
    if (last === undefined) return "violation";
    done[last.at] = 0;
    state = last.before;
    from = last.from;
    next = last.next;
  }
}

/** All that was answered has its place; what was not need not have one. */
const isOver = (all: readonly Call[], done: Uint8Array, from: number): boolean => {
  for (let at = from; at < all.length; at++) if (done[at] === 0 && Number.isFinite(all[at]!.returnMs)) return false;
  return true;
};

/** A call, from that index on, that may come next: nothing that is not done has ended before it began, and it fits the state. */
function nextFor(
  all: readonly Call[],
  done: Uint8Array,
  { from, start }: { readonly from: number; readonly start: number },
  state: string | undefined,
): number | undefined {
  let firstEndMs = Infinity;
  for (let at = from; at < all.length; at++) if (done[at] === 0) firstEndMs = Math.min(firstEndMs, all[at]!.returnMs);
  for (let at = start; at < all.length && all[at]!.callMs <= firstEndMs; at++)
    if (done[at] === 0 && (all[at]!.kind !== "get" || all[at]!.value === state)) return at;
  return undefined;
}

/** Which calls are done: all before `from`, and of those behind it a few. */
function keyOf(done: Uint8Array, from: number): string {
  let first = from;
  while (done[first] === 1) first++;
  let key = String(first);
  for (let at = first + 1; at < done.length; at++) if (done[at] === 1) key += `,${at}`;
  return key;
}

/** A call that was answered with its place in an order that the answers tell. */
export interface Placed {
  readonly place: number;
  readonly callMs: number;
  readonly returnMs: number;
}

/** Whether places agree with time: whatever has ended before another began comes before it. */
export function placesFollowTime(calls: readonly Placed[]): boolean {
  let latestCallMs = -Infinity;
  for (const { callMs, returnMs } of calls.toSorted((a, b) => a.place - b.place)) {
    if (returnMs < latestCallMs) return false;
    latestCallMs = Math.max(latestCallMs, callMs);
  }
  return true;
}
