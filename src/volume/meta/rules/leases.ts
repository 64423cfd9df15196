import { AnaxError } from "../../../base/errors.ts";
import type { Outcome } from "../verbs.ts";
import type { Engine } from "./engine.ts";

/** The leases of files, as one session sees them: see `LeaseVerbs`. What it holds is noted once the transaction is done, as that may be run again. */
export class Leases {
  readonly #engine: Engine;
  readonly #held = new Set<number>();
  #shared = false;
  #startedMs: number | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  share(shared: boolean): void {
    this.#shared = shared;
    this.#engine.group.share(shared);
  }

  take(inos: readonly number[]): Outcome {
    const { group, nodes, changes } = this.#engine;
    const refused = group.change(false);
    if (refused !== 0) return refused;
    for (const ino of inos) this.mustBeFree(ino);
    for (const ino of inos) {
      if (nodes.get(ino) === undefined) continue; // it is gone, and nobody can ask for it
      this.takeNew(ino);
      changes.content(ino);
    }
    return 0;
  }

  /** Of a file that nobody else knows yet. */
  takeNew(ino: number): void {
    this.#engine.leases.put(ino, this.#engine.sessionId);
  }

  /** Also while nothing may be changed: holding on to it would stop others. */
  drop(inos: readonly number[]): void {
    this.#engine.group.change(false);
    for (const ino of inos) this.#engine.leases.remove(ino, this.#engine.sessionId);
  }

  noteTaken(inos: readonly number[]): void {
    for (const ino of inos) this.#held.add(ino);
  }

  noteDropped(inos: readonly number[]): void {
    for (const ino of inos) this.#held.delete(ino);
  }

  holds(ino: number): boolean {
    return this.#held.has(ino);
  }

  /** When the session began, as it is now. */
  startedMs(): number | undefined {
    this.#engine.group.read();
    return this.#engine.leases.startedMs(this.#engine.sessionId);
  }

  renewed(startedMs: number | undefined): void {
    this.#held.clear();
    this.#startedMs = startedMs;
  }

  isElsewhere(ino: number): boolean {
    return this.#holderOf(ino) !== undefined;
  }

  /** Throws `volume.leased`. */
  mustBeFree(ino: number): void {
    const session = this.#holderOf(ino);
    if (session !== undefined) throw new AnaxError("volume.leased", { ino, session });
  }

  /** Whether the session lives as it began: what it wrote before it was taken for dead is not to be mixed into what others wrote meanwhile. */
  get mayCommit(): boolean {
    return this.#startedMs === undefined || this.#engine.leases.startedMs(this.#engine.sessionId) === this.#startedMs;
  }

  #holderOf(ino: number): number | undefined {
    if (!this.#shared || this.#held.has(ino)) return undefined;
    const holder = this.#engine.leases.holder(ino);
    return holder === this.#engine.sessionId ? undefined : holder;
  }
}
