import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { LEASE_MS, type Session, type VolumeControl } from "../meta/control.ts";
import type { VolumeEvent } from "./volume-watch.ts";

/** Who waits looks so often, whether or not anybody has told it something; who might be waited for, so often. */
const WAIT_LOOK_MS = 200;
const LOOK_MS = 1000;
/** The same where others cannot tell. */
const UNTOLD_LOOK_MS = 250;
/** Longest time that changes of this session wait for the others; each of them can take the term of its lease, but all of them at once. */
const SETTLE_MS = 3 * LEASE_MS;
/** Who leaves waits so long for a kernel to drop something. */
const CLOSE_MS = 500;
/** What is wanted is asked for again after so long, and was not asked for again for so long is wanted no more. */
const ASK_AGAIN_MS = 400;
const WANT_MS = 5000;

export interface CoherenceOptions {
  readonly control: VolumeControl;
  readonly sessionId: number;
  readonly clock: Clock;
  readonly onEvent: (event: VolumeEvent) => void | Promise<void>;
  /** Others are to look. */
  readonly tell: () => void;
  /** Whether others reach this session so. */
  readonly isTold: boolean;
  /** Whether the process of that session is known to have ended. */
  readonly isDead: (session: Session) => Promise<boolean>;
}

interface Waiting {
  readonly seq: number;
  readonly done: () => void;
}

/**
 * One session's part in that all sessions of a volume see the same: drops what others change and says so, gives back what others want, and waits for others to do both;
 * for the term of a lease at most, after which who gives no sign of life is ended. Everything is in the metadata; who is told of something only looks earlier.
 */
export class Coherence {
  readonly #options: CoherenceOptions;
  #acknowledged = 0;
  #shared = false;
  #closed = false;
  #looking: Promise<void> | undefined;
  #again = false;
  /** What others changed is being dropped: a kernel may be slow to, until what reads it has what it waits for. */
  #dropping: Promise<void> | undefined;
  #timer: Disposable | undefined;
  readonly #waiting = new Set<Waiting>();
  /** Until when sessions are waited for that hold what is wanted here. */
  readonly #holders = new Map<number, number>();
  /** When others were told last that something is wanted. */
  #askedMs = 0;
  /** Sessions that are waited for: their last sign of life, and since when it is the last. */
  readonly #silent = new Map<number, { readonly seenAtMs: number; readonly sinceMs: number }>();

  constructor(options: CoherenceOptions) {
    this.#options = options;
  }

  /** Whether others have caches of the volume, too. */
  get shared(): boolean {
    return this.#shared;
  }

  /** From here on this session is waited for. Resolves once all others know of it: what they had to themselves until then is to be seen, or theirs by a lease. */
  async join(): Promise<void> {
    const { control, sessionId } = this.#options;
    this.#acknowledged = await control.join(sessionId);
    const others = this.#othersOf((await control.peers()).sessions);
    this.#shared = others.length > 0;
    if (this.#shared) await this.settled();
    else this.#arm();
  }

  /** The session was ended by another, and lives again. */
  async rejoin(): Promise<void> {
    const { control, sessionId, onEvent } = this.#options;
    this.#acknowledged = await control.join(sessionId);
    await onEvent({ kind: "evicted" });
    this.look();
  }

  /** Something may have happened. */
  look(): void {
    if (this.#closed) return;
    this.#timer?.[Symbol.dispose]();
    if (this.#looking !== undefined) {
      this.#again = true;
      return;
    }
    this.#looking = this.#lookUntilQuiet().finally(() => {
      this.#looking = undefined;
      this.#arm();
    });
  }

  /** Resolves once no other session has anything that was changed until now. Throws `volume.unreachable`. */
  async settled(): Promise<void> {
    const { control, clock, tell } = this.#options;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting: Waiting = { seq: (await control.peers()).changeSeq, done: resolve };
    using _late = clock.timer(SETTLE_MS, () => reject(new AnaxError("volume.unreachable", { reason: "other clients did not answer" })));
    this.#waiting.add(waiting);
    tell();
    this.look();
    try {
      await promise;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** Asks for a file that another session holds; `released` tells that something may have been given back. */
  async want(ino: number, holder: number): Promise<void> {
    const { control, clock, tell } = this.#options;
    this.#holders.set(holder, clock.nowMs() + WANT_MS);
    const asked = await control.want(ino, holder);
    if (!asked && clock.nowMs() - this.#askedMs < ASK_AGAIN_MS) return; // telling each other without end
    this.#askedMs = clock.nowMs();
    tell();
    this.look();
  }

  /** Something was given back. */
  released(): void {
    this.#options.tell();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#looking;
    await Promise.race([this.#dropping, this.#options.clock.sleep(CLOSE_MS)]);
  }

  #arm(): void {
    if (this.#closed) return;
    const waits = this.#waiting.size + this.#holders.size > 0;
    this.#timer?.[Symbol.dispose]();
    this.#timer =
      waits || this.#shared
        ? this.#options.clock.timer(waits ? WAIT_LOOK_MS : this.#options.isTold ? LOOK_MS : UNTOLD_LOOK_MS, () => this.look())
        : undefined;
  }

  async #lookUntilQuiet(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#lookOnce();
      } catch {
        // The heartbeat tells that the metadata do not answer; who waits looks again.
        return;
      }
    } while (this.#again && !this.#closed);
  }

  async #lookOnce(): Promise<void> {
    const { control, sessionId, onEvent, clock } = this.#options;
    const { changeSeq, sessions } = await control.peers();
    const others = this.#othersOf(sessions);
    if (others.length > 0 && !this.#shared) {
      this.#shared = true;
      await onEvent({ kind: "shared", shared: true });
    }
    if (others.length === 0 && this.#shared) {
      this.#shared = false; // who comes now waits until it is true again
      await onEvent({ kind: "shared", shared: false });
    }
    const wanted = this.#shared ? await control.wanted(sessionId) : [];
    if (wanted.length > 0) await onEvent({ kind: "wanted", inos: wanted });
    if (this.#holders.size > 0) await onEvent({ kind: "released" });
    const heardMin = Math.min(...others.map(({ acknowledgedSeq }) => acknowledgedSeq!)); // else they are none of them
    for (const { seq, done } of this.#waiting) if (seq <= heardMin) done();
    for (const [holder, untilMs] of this.#holders) if (untilMs < clock.nowMs()) this.#holders.delete(holder);
    if (changeSeq > this.#acknowledged) this.#dropping ??= this.#drop(others.length > 0).finally(() => (this.#dropping = undefined));
    await this.#endSilent(others);
  }

  /** Never rejects: who has not heard of it is tried again. */
  async #drop(shared: boolean): Promise<void> {
    const { control, sessionId, onEvent, tell } = this.#options;
    try {
      const { seq, everything, inos, unlocked } = await control.changesSince(this.#acknowledged, sessionId);
      for (const ino of unlocked) await onEvent({ kind: "unlocked", ino });
      if (everything || inos.length > 0) await onEvent({ kind: "invalidate", everything, inos });
      if (shared) await control.acknowledge(sessionId, seq);
      this.#acknowledged = seq;
      if (shared) tell();
    } catch {
      return;
    }
    this.look(); // there may be more already
  }

  /** Those that are waited for and give no sign of life. */
  async #endSilent(others: readonly Session[]): Promise<void> {
    const { control, clock, isDead, tell } = this.#options;
    const nowMs = clock.nowMs();
    const awaited = others.filter(
      ({ id, acknowledgedSeq }) => this.#holders.has(id) || [...this.#waiting].some(({ seq }) => seq > acknowledgedSeq!), // checked
    );
    for (const id of this.#silent.keys()) if (!awaited.some((session) => session.id === id)) this.#silent.delete(id);
    for (const session of awaited) {
      const { id, seenAtMs } = session;
      const known = this.#silent.get(id);
      const since = known?.seenAtMs === seenAtMs ? known : { seenAtMs, sinceMs: nowMs };
      this.#silent.set(id, since);
      const silentMs = nowMs - since.sinceMs;
      if (silentMs < WAIT_LOOK_MS || (silentMs < LEASE_MS && !(await isDead(session)))) continue;
      this.#holders.delete(id);
      await control.endSession(id);
      tell();
      this.#again = true;
    }
  }

  #othersOf(sessions: readonly Session[]): readonly Session[] {
    return sessions.filter(({ id, acknowledgedSeq }) => id !== this.#options.sessionId && acknowledgedSeq !== undefined);
  }
}
