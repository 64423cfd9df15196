import { constants } from "node:os";
import { afterRequest, conflictWith } from "../lock-ranges.ts";
import { LOCK_END, type LockRange, type LockRequest } from "../locks.ts";
import type { Errno, Outcome } from "../verbs.ts";
import type { Engine } from "./engine.ts";

const { EAGAIN, EINVAL, ENOENT, ENOLCK, EROFS } = constants.errno;

/** Locks of one file. */
const LOCKS_MAX = 4096;

/** POSIX and flock locks of all sessions. */
export class Locks {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  get(ino: number, request: LockRequest): LockRange | Errno {
    this.#engine.group.read();
    if (this.#engine.nodes.get(ino) === undefined) return ENOENT;
    const { sessionId } = this.#engine;
    const other = conflictWith(this.#engine.locks.held(ino, request.family), request, sessionId);
    if (other === undefined) return { type: "unlock", start: 0, end: LOCK_END, pid: 0 };
    return { type: other.type, start: other.start, end: other.end, pid: other.session === sessionId ? other.pid : 0 };
  }

  /** Others must know at once: whoever asks next may be another process. */
  set(ino: number, request: LockRequest): Outcome {
    const refused = this.#engine.group.change(false);
    // Locks guard no content of ours: on a volume that may not change they are still granted, and kept.
    const outcome = refused === 0 || refused === EROFS ? this.#set(ino, request) : refused;
    this.#engine.group.settle(false);
    return outcome;
  }

  #set(ino: number, request: LockRequest): Outcome {
    const { nodes, sessionId, changes, locks } = this.#engine;
    if (nodes.get(ino) === undefined) return ENOENT;
    if (request.start > request.end || request.start < 0) return EINVAL;
    const held = locks.held(ino, request.family);
    if (conflictWith(held, request, sessionId) !== undefined) return EAGAIN;
    const own = held.filter((lock) => lock.session === sessionId && lock.owner === request.owner);
    const next = afterRequest(own, request, sessionId);
    if (held.length - own.length + next.length > LOCKS_MAX) return ENOLCK;
    locks.replace(ino, request, sessionId, next);
    if (request.type === "unlock" && own.length > 0) changes.unlocked(ino);
    return 0;
  }
}
