import type { Fence } from "../admission.ts";
import { dropSlots } from "../drop-slots.ts";
import type { OwnedRange, SlotRange } from "../slot-map.ts";
import { slotsIn } from "../slot-text.ts";
import { Copy } from "./copy.ts";
import { SourceLink } from "./link.ts";
import { askRegister, isOpen, persist, reasonOf, type SideParts } from "./side.ts";
import type { StoredRecord, StoredSource } from "./records.ts";
import {
  restoreSource,
  sourceStatus,
  startSource,
  stepSource,
  type SourceEffect,
  type SourceEvent,
  type SourceJob,
  type SourceRecord,
  type SourceStep,
} from "./source.ts";
import type { Frame, MigrationStatus, Move } from "./types.ts";

/** Beyond what may be unacknowledged: what one payload more may add. */
const LINK_SLACK_BYTES = 64 * 1024 * 1024;

/** Jobs that give slots away: does what their machine orders, and tells it what happens. */
export class SourceSide {
  readonly jobs = new Map<string, SourceJob>();
  readonly #parts: SideParts;
  readonly #links = new Map<string, SourceLink>();
  readonly #copies = new Map<string, { readonly attempt: number; readonly copy: Copy }>();
  readonly #fences = new Map<string, { readonly ranges: readonly SlotRange[]; readonly sinceMs: number; waits: boolean }>();
  readonly #pauses = new Map<string, number>();

  constructor(parts: SideParts) {
    this.#parts = parts;
  }

  #nowMs(): number {
    return this.#parts.store.clock.nowMs();
  }

  start(move: Move): void {
    this.#parts.inOrder(() => this.#take(startSource(move, this.#nowMs(), this.#parts.limits)));
  }

  restore({ record }: StoredSource): void {
    this.#take(restoreSource(record, this.#nowMs(), this.#parts.limits));
  }

  step(job: string, event: SourceEvent): void {
    const { inOrder, limits } = this.#parts;
    inOrder(() => {
      const before = this.jobs.get(job);
      if (before !== undefined) this.#take(stepSource(before, event, this.#nowMs(), limits), before.state.kind);
    });
  }

  tick(): void {
    for (const [job, one] of this.jobs) if (isOpen(one)) this.step(job, { kind: "tick" });
  }

  /** Of a job's hand-overs the longest. */
  pauseMaxMs(job: string): number {
    return this.#pauses.get(job) ?? 0;
  }

  forget(job: string): void {
    this.jobs.delete(job);
    this.#pauses.delete(job);
  }

  statuses(): MigrationStatus[] {
    return [...this.jobs.values()].map((job) => sourceStatus(job, this.#nowMs()));
  }

  #take({ next, effects }: SourceStep, before?: string): void {
    const { failpoints, log, limits, changed } = this.#parts;
    const { job } = next.move;
    const { kind } = next.state;
    this.jobs.set(job, next);
    if (before !== kind) {
      log.info("slots.source", {
        job,
        attempt: next.attempt,
        state: kind,
        to: next.move.to,
        error: next.lastError,
        pausedMs: Math.round(next.pausedMs),
      });
      failpoints.pass(`source.${kind}.before`);
      if (kind === "deciding") this.#tellFences(); // reads, too, from now on
    }
    for (const effect of effects) this.#do(next, effect, limits.backlogBytesMax);
    if (before === kind) return;
    failpoints.pass(`source.${kind}.after`);
    changed(job);
  }

  #do(job: SourceJob, effect: SourceEffect, backlogBytesMax: number): void {
    const parts = this.#parts;
    const { move } = job;
    const id = move.job;
    switch (effect.do) {
      case "connect":
        return this.#connect(id, effect.attempt, effect.to, backlogBytesMax);
      case "send":
        return void (this.#links.get(id)?.attempt === effect.attempt && this.#links.get(id)!.send(effect.frame));
      case "disconnect":
        if (this.#links.get(id)?.attempt !== effect.attempt) return;
        this.#links.get(id)!.close();
        return void this.#links.delete(id);
      case "startCopy":
        return void this.#copies.set(id, { attempt: effect.attempt, copy: this.#copyFor(id, effect.attempt, slotsIn(move.ranges)) });
      case "walk":
        return this.#copies.get(id)?.copy.walk(effect.bytes);
      case "stopCopy":
        this.#copies.get(id)?.copy[Symbol.dispose]();
        return void this.#copies.delete(id);
      case "fence":
        this.#copies.get(id)?.copy.flush(); // the last that will come
        this.#fences.set(id, { ranges: move.ranges, waits: true, sinceMs: this.#nowMs() });
        return this.#tellFences();
      case "unfence":
        return this.#unfence(id);
      case "refuseWaiting": {
        const fence = this.#fences.get(id);
        if (fence !== undefined) fence.waits = false;
        return this.#tellFences();
      }
      case "release":
        return this.#release(effect.pieces);
      case "persist":
        return persist(
          parts,
          { job: id, record: effect.record },
          () => this.#recordOf(effect.value),
          (event) => this.step(id, event),
        );
      case "readOwnership":
      case "claim":
        return askRegister(parts, effect, (event) => this.step(id, event));
    }
  }

  /** Of a job that has ended only once the journal says that its slots have gone: after a start nobody would see to them. */
  async #recordOf(record: SourceRecord): Promise<StoredRecord> {
    const { persistence, clock } = this.#parts.store;
    if (record.phase === "finished" || record.phase === "failed") await persistence?.journal.forced();
    return { role: "source", record, wallMs: clock.wallMs() };
  }

  #unfence(job: string): void {
    const fence = this.#fences.get(job);
    if (fence === undefined) return;
    this.#fences.delete(job);
    this.#pauses.set(job, Math.max(this.#pauses.get(job) ?? 0, this.#nowMs() - fence.sinceMs));
    this.#tellFences();
  }

  #connect(job: string, attempt: number, to: string, bytesMax: number): void {
    const { store, cluster } = this.#parts;
    const lost = (reason: string): void => this.step(job, { kind: "disconnected", attempt, reason });
    const address = cluster.addressOf(to);
    if (address === undefined) return lost("the target is not known");
    const options = { attempt, self: cluster.id, bytesMax: bytesMax + LINK_SLACK_BYTES };
    try {
      const link = new SourceLink(store, address, options, {
        frame: (frame) => this.step(job, { kind: "frame", frame }),
        lost,
        sent: (payload) => this.#copies.get(job)?.copy.sent(payload),
      });
      this.#links.set(job, link);
    } catch (error) {
      lost(reasonOf(error)); // certificates that cannot be used
    }
  }

  #copyFor(job: string, attempt: number, slots: readonly number[]): Copy {
    return new Copy(this.#parts.store, slots, {
      entry: (payload, keys) => this.step(job, { kind: "entry", attempt, bytes: payload.length, keys, payload }),
      walked: () => this.step(job, { kind: "walked", attempt }),
    });
  }

  /** Nothing in fenced slots may change, not even by expiring; reads are held back, too, once a claim may be under way. */
  #tellFences(): void {
    const { cluster, store } = this.#parts;
    const fences = [...this.#fences].flatMap(([job, { ranges, waits }]) => {
      const readsToo = this.jobs.get(job)?.state.kind === "deciding";
      return ranges.map(({ start, end }): Fence => ({ start, end, waits, readsToo }));
    });
    store.databases[0]!.freeze(new Set(slotsIn(fences)));
    cluster.setFences(fences);
  }

  #release(pieces: readonly OwnedRange[]): void {
    const { store, cluster } = this.#parts;
    if (cluster.isReplica) return; // what it has it gets from its primary, which may be the slots' owner
    const gone = slotsIn(pieces.filter(({ owner }) => owner !== cluster.id));
    const isGone = (slot: number): boolean => cluster.ownerOf(slot) !== cluster.id; // by the newest map
    dropSlots(store, gone.filter(isGone));
  }

  /** At the end of the process: the jobs go on after the next start. */
  close(): void {
    for (const link of this.#links.values()) link.close();
    for (const { copy } of this.#copies.values()) copy[Symbol.dispose]();
  }
}

/** Frames that a target sends. */
export const isForSource = ({ kind }: Frame): boolean => !["init", "data", "fence", "unfence", "look"].includes(kind);
