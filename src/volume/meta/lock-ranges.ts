import type { LockRequest } from "./locks.ts";

/** A lock that somebody holds. */
export interface HeldLock {
  readonly session: number;
  readonly owner: string;
  readonly type: "read" | "write";
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
  readonly pid: number;
}

/** The first lock of another owner that stands in the way of `request`. */
export function conflictWith(held: readonly HeldLock[], request: LockRequest, session: number): HeldLock | undefined {
  if (request.type === "unlock") return undefined;
  return held.find(
    (lock) =>
      !(lock.session === session && lock.owner === request.owner) &&
      lock.start <= request.end &&
      request.start <= lock.end &&
      (lock.type === "write" || request.type === "write"),
  );
}

/** What an owner holds once its request is granted: older locks give way where the new one lies, and neighbours of one type become one. */
export function afterRequest(own: readonly HeldLock[], request: LockRequest, session: number): readonly HeldLock[] {
  const rest: HeldLock[] = [];
  for (const lock of own) {
    if (lock.end < request.start || lock.start > request.end) {
      rest.push(lock);
      continue;
    }
    if (lock.start < request.start) rest.push({ ...lock, end: request.start - 1 });
    if (lock.end > request.end) rest.push({ ...lock, start: request.end + 1 });
  }
  const { type, owner, start, end, pid } = request;
  if (type !== "unlock") rest.push({ session, owner, type, start, end, pid });
  return merged(rest.toSorted((a, b) => a.start - b.start));
}

function merged(locks: readonly HeldLock[]): readonly HeldLock[] {
  const result: HeldLock[] = [];
  for (const lock of locks) {
    const before = result.at(-1);
    if (before !== undefined && before.type === lock.type && before.end + 1 >= lock.start) {
      result[result.length - 1] = { ...before, end: Math.max(before.end, lock.end), pid: lock.pid };
    } else result.push(lock);
  }
  return result;
}
