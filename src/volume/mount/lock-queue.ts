import type { LockIn } from "../../wire/fuse/bodies.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import { LINUX, LK_FLOCK } from "../../wire/fuse/protocol.ts";
import { LOCK_END, type LockRequest } from "../meta/locks.ts";
import { failed, type Answer, type VolumeVerbs } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import type { SharedState } from "./shared-state.ts";

interface Waiting {
  readonly unique: number;
  readonly ino: number;
  readonly request: LockRequest;
  /** Process that has the lock, 0 for one elsewhere. */
  blockedBy: number;
}

/** Requests that wait for a lock at once; more get ENOLCK. */
const WAITING_MAX = 4096;

/** Those who wait for locks, POSIX ones and flock's; they are asked for again whenever one may have become free. */
export class LockQueue {
  readonly #verbs: VolumeVerbs;
  readonly #state: SharedState;
  readonly #answer: (unique: number, errno: number) => void;
  #waiting: Waiting[] = [];
  /** Who may hold locks on which file, so that those who close files without any cost nothing. */
  readonly #holders = new Map<number, Set<string>>();

  constructor(verbs: VolumeVerbs, state: SharedState, answer: (unique: number, errno: number) => void) {
    this.#verbs = verbs;
    this.#state = state;
    this.#answer = answer;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Takes or releases a lock; undefined when its answer comes later. */
  set(ino: number, lock: LockIn, wait: { readonly unique: number } | undefined): Answer<number | undefined> {
    const request = requestOf(lock);
    return andThen(this.#verbs.setlk(ino, request), (outcome) => {
      if (outcome === 0) return andThen(this.#changed(ino, request), () => 0);
      if (outcome !== ERRNO.EAGAIN || wait === undefined) return outcome;
      if (this.#waiting.length >= WAITING_MAX) return ERRNO.ENOLCK;
      return andThen(this.#blockerOf(ino, request), (blockedBy) => {
        if (request.family === "posix" && this.#leadsTo(blockedBy, request.pid)) return ERRNO.EDEADLK;
        this.#waiting.push({ unique: wait.unique, ino, request, blockedBy });
        this.#count();
        return undefined;
      });
    });
  }

  get(ino: number, lock: LockIn) {
    return this.#verbs.getlk(ino, requestOf(lock));
  }

  /** An owner closes the file. */
  releaseAll(ino: number, family: LockRequest["family"], owner: bigint): Answer<void> {
    const request: LockRequest = { family, type: "unlock", owner: ownerText(owner), pid: 0, start: 0, end: LOCK_END };
    if (this.#holders.get(ino)?.has(holderOf(request)) !== true) return undefined;
    return andThen(this.#verbs.setlk(ino, request), () => this.#changed(ino, request));
  }

  /** Asks again for all that wait, or all that wait for that file. */
  retry(ino?: number): Answer<void> {
    const asked = this.#waiting.filter((each) => ino === undefined || each.ino === ino);
    const next = (index: number): Answer<void> => {
      const one = asked[index];
      return one === undefined ? undefined : andThen(this.#retryOne(one), () => next(index + 1));
    };
    return next(0);
  }

  /** Whoever waited with that request does not any more. */
  interrupt(unique: number): boolean {
    const one = this.#waiting.find((each) => each.unique === unique);
    if (one === undefined) return false;
    this.#end(one, ERRNO.EINTR);
    return true;
  }

  endAll(errno: number): void {
    for (const one of this.#waiting) this.#end(one, errno);
  }

  #retryOne(one: Waiting): Answer<void> {
    return andThen(this.#verbs.setlk(one.ino, one.request), (outcome) => {
      if (!this.#waiting.includes(one)) return undefined; // interrupted meanwhile
      if (outcome === ERRNO.EAGAIN) {
        return andThen(this.#blockerOf(one.ino, one.request), (blockedBy) => {
          one.blockedBy = blockedBy;
        });
      }
      this.#end(one, outcome);
      return outcome === 0 ? this.#changed(one.ino, one.request) : undefined;
    });
  }

  #end(one: Waiting, errno: number): void {
    this.#waiting = this.#waiting.filter((each) => each !== one);
    this.#count();
    this.#answer(one.unique, errno);
  }

  /** Remembers who may hold something now; what was released may let others go on. */
  #changed(ino: number, request: LockRequest): Answer<void> {
    const holder = holderOf(request);
    if (request.type !== "unlock") {
      const holders = this.#holders.get(ino) ?? new Set();
      this.#holders.set(ino, holders.add(holder));
    } else if (request.start === 0 && request.end >= LOCK_END) {
      const holders = this.#holders.get(ino);
      holders?.delete(holder);
      if (holders?.size === 0) this.#holders.delete(ino);
    }
    // A lock that was changed from writing to reading lets readers go on, too.
    return this.#waiting.length === 0 ? undefined : this.retry(ino);
  }

  #blockerOf(ino: number, request: LockRequest): Answer<number> {
    return andThen(this.#verbs.getlk(ino, request), (range) => (failed(range) || range.type === "unlock" ? 0 : range.pid));
  }

  /** Whether that process waits, over however many others, for this one. */
  #leadsTo(from: number, to: number): boolean {
    let at = from;
    for (let steps = 0; steps <= this.#waiting.length && at !== 0; steps++) {
      if (at === to) return true;
      const pid = at;
      at = this.#waiting.find(({ request }) => request.pid === pid && request.family === "posix")?.blockedBy ?? 0;
    }
    return false;
  }

  #count(): void {
    this.#state.set("waitingLocks", this.#waiting.length);
  }
}

function requestOf({ owner, start, end, type, pid, flags }: LockIn): LockRequest {
  const isFlock = (flags & LK_FLOCK) !== 0;
  return {
    family: isFlock ? "flock" : "posix",
    type: type === LINUX.fRdlck ? "read" : type === LINUX.fWrlck ? "write" : "unlock",
    owner: ownerText(owner),
    pid,
    start: isFlock ? 0 : positionOf(start),
    end: isFlock ? LOCK_END : positionOf(end),
  };
}

const ownerText = (owner: bigint): string => owner.toString(36);
const holderOf = ({ family, owner }: LockRequest): string => `${family} ${owner}`;

/** No file is longer than what a number holds. */
const positionOf = (position: bigint): number => (position > BigInt(LOCK_END) ? LOCK_END : Number(position));
