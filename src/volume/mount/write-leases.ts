import { realClock } from "../../base/clock.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import type { LeaseVerbs } from "../meta/leases.ts";
import type { Answer, VolumeVerbs } from "../meta/verbs.ts";
import { andThen } from "./answer.ts";
import type { SharedState } from "./shared-state.ts";

/** Who asks for a file while it is being taken waits so long for the one write that it was taken for; not longer, as the others may wait for what reads it. */
const TAKING_MS = 100;

interface WriteLeasesOptions {
  readonly verbs: VolumeVerbs;
  readonly leases: LeaseVerbs;
  readonly files: VolumeFiles;
  readonly state: SharedState;
  /** Others may have changed everything about the file until now. */
  readonly onTaken: (ino: number) => void;
  /** Resolves once no other session has anything in its caches that was changed until now. */
  readonly settled: () => Promise<void>;
}

/** The leases of the files that this mount writes to, while others have the volume mounted, too. */
export class WriteLeases {
  readonly #options: WriteLeasesOptions;
  /** Held, and dropped by all others. */
  readonly #clear = new Set<number>();
  readonly #taking = new Map<number, Promise<void>>();
  readonly #releasing = new Set<number>();
  /** The others are waited for. */
  #settling: Promise<void> | undefined;

  constructor(options: WriteLeasesOptions) {
    this.#options = options;
  }

  /** Whether others have the volume mounted, too. */
  get shared(): boolean {
    return this.#options.state.get("shared") === 1;
  }

  /** Others have come, or the last has left. What is written and not committed becomes theirs to ask for. */
  share(shared: boolean): void {
    const { state, leases, files, verbs } = this.#options;
    leases.share(shared);
    state.set("shared", shared ? 1 : 0);
    if (!shared) return;
    const dirty = files.dirty();
    if (dirty.length > 0) {
      leases.take(dirty);
      leases.takeTold(); // they have nothing of it yet
      for (const ino of dirty) this.#clear.add(ino);
    }
    void verbs.settle(false);
  }

  /** Whether nobody else has changed anything about the file since it was taken. */
  holds(ino: number): boolean {
    return !this.shared || this.#options.leases.holds(ino);
  }

  /** A file that nobody else knows yet was made with its lease. */
  made(ino: number): void {
    this.#clear.add(ino);
  }

  /** Runs a write to the file, which it may keep to itself while the lease is held; else it is committed before it is answered. Throws `volume.leased`. */
  write(ino: number, work: () => Answer<number>): Answer<number> {
    if (!this.shared) return work();
    return andThen(this.#own(ino), () => {
      const { leases, files } = this.#options;
      if (leases.holds(ino)) return work();
      leases.take([ino]);
      return andThen(work(), (outcome) => andThen(files.release(ino), () => outcome));
    });
  }

  /** Others want it. At once, as a rule: content in a bucket has to get there first. */
  async release(ino: number): Promise<void> {
    if (this.#releasing.has(ino)) return;
    this.#releasing.add(ino);
    try {
      const taking = this.#taking.get(ino);
      if (taking !== undefined) await Promise.race([taking.catch(() => undefined), realClock.sleep(TAKING_MS)]);
      this.#clear.delete(ino);
      await this.#options.files.release(ino);
    } finally {
      this.#releasing.delete(ino);
    }
  }

  /** After an operation that may have changed something: others see it, and have dropped what is stale by it. */
  finish(): Answer<void> {
    const { verbs, leases } = this.#options;
    return andThen(verbs.settle(false), () => {
      if (leases.takeTold()) return this.#settle();
      return this.#settling; // what another operation waits for may be of this one
    });
  }

  /** The session was taken for dead. */
  evicted(): void {
    this.#options.files.forsake();
    this.#options.leases.renew();
    this.#clear.clear();
  }

  #own(ino: number): Answer<void> {
    const { leases } = this.#options;
    const taking = this.#taking.get(ino);
    if (taking !== undefined) return taking;
    if (leases.holds(ino)) {
      if (this.#clear.has(ino)) return undefined;
    } else {
      this.#clear.delete(ino);
      this.#options.onTaken(ino);
      if (leases.take([ino]) !== 0) return undefined; // the write is refused for the same reason
    }
    const taken = this.#take(ino);
    this.#taking.set(ino, taken);
    return taken;
  }

  #settle(): Promise<void> {
    const settling = this.#options.settled().finally(() => {
      if (this.#settling === settling) this.#settling = undefined;
    });
    this.#settling = settling;
    return settling;
  }

  async #take(ino: number): Promise<void> {
    const { verbs, leases } = this.#options;
    try {
      await verbs.settle(false);
      leases.takeTold();
      await this.#settle();
      if (this.#options.leases.holds(ino)) this.#clear.add(ino);
    } finally {
      this.#taking.delete(ino);
    }
  }
}
