import type { Client } from "../../clients/client.ts";
import type { SlotRange } from "../slot-map.ts";
import { overlaps } from "../slot-map.ts";
import { slotsIn } from "../slot-text.ts";
import { malformed } from "./frames.ts";
import { TargetLink } from "./link.ts";
import { promoteNow, stagedFrom } from "./promotions.ts";
import { JOB, stagedName, type StoredRecord, type StoredTarget } from "./records.ts";
import { askRegister, isOpen, persist, reasonOf, type SideParts } from "./side.ts";
import { Staging } from "./staging.ts";
import { StagingFile } from "./staging-file.ts";
import {
  restoreTarget,
  startTarget,
  stepTarget,
  targetStatus,
  type TargetEffect,
  type TargetJob,
  type TargetRecord,
  type TargetStep,
} from "./target.ts";
import type { CommonEvent, Frame, MigrationStatus } from "./types.ts";

interface Staged {
  readonly attempt: number;
  readonly staging: Staging;
  readonly name: string;
  /** Undefined where nothing is kept. */
  readonly file: StagingFile | undefined;
  /** Of the file, on disk. */
  bytes: number;
  promotion: number;
  preparing: Promise<void> | undefined;
  /** It is being put in place. */
  placing: boolean;
}

/** Jobs that get slots: does what their machine orders, and tells it what happens. */
export class TargetSide {
  readonly jobs = new Map<string, TargetJob>();
  /** By job, files of slots that are in place, and that no snapshot may have yet. */
  readonly files = new Map<string, { readonly path: string; readonly promotion: number }>();
  readonly #parts: SideParts;
  readonly #links = new Map<string, TargetLink>();
  readonly #staged = new Map<string, Staged>();
  /** Files of attempts that were given up; they go once no record names them. */
  readonly #trash = new Map<string, readonly StagingFile[]>();
  /** By job, since when the register says that the slots are this node's. */
  readonly #decidedMs = new Map<string, number>();
  /** Jobs for whose slots commands do not wait any more. */
  #late: ReadonlySet<string> = new Set();
  /** Slots of other jobs, which cannot be moved now. */
  readonly #busy: (ranges: readonly SlotRange[], but: string) => boolean;

  constructor(parts: SideParts, busy: (ranges: readonly SlotRange[], but: string) => boolean) {
    this.#parts = parts;
    this.#busy = busy;
  }

  #nowMs(): number {
    return this.#parts.store.clock.nowMs();
  }

  /** A frame of a source. Throws `migration.malformed`. */
  frame(frame: Frame, client: Client): void {
    const { job, attempt } = frame;
    if (!JOB.test(job)) throw malformed("a job's name");
    if (frame.kind !== "init") {
      if (this.#links.get(job)?.isOf(client) === true) this.step(job, { kind: "frame", frame });
      return; // of a connection that was given up
    }
    this.#parts.inOrder(() => {
      const before = this.jobs.get(job);
      if (before !== undefined && (attempt <= before.attempt || before.state.kind === "promoting"))
        return this.#refuse(client, frame, "this attempt is over");
      const reason = this.#refusal(frame);
      if (reason !== undefined) return this.#refuse(client, frame, reason);
      const link = new TargetLink(client, attempt);
      const old = this.#links.get(job);
      this.#links.set(job, link);
      client.onClosed = () => this.step(job, { kind: "disconnected", attempt, reason: "the connection was closed" });
      const { limits, cluster } = this.#parts;
      if (before === undefined) this.#take(startTarget(frame, cluster.id, this.#nowMs(), limits));
      else {
        this.#take(stepTarget(before, { kind: "frame", frame }, this.#nowMs(), limits), before.state.kind);
        old?.close();
      }
    });
  }

  #refusal({ expected, job, from }: Frame & { readonly kind: "init" }): string | undefined {
    const { cluster, store } = this.#parts;
    if (from === cluster.id) return "it is the same node";
    if (cluster.isReplica) return "the target is a replica";
    if (this.#busy(expected, job)) return "other moves of these slots are under way";
    const slots = slotsIn(expected);
    if (slots.some((slot) => cluster.isImporting(slot))) return "some of these slots are being imported (CLUSTER SETSLOT)";
    if (slots.some((slot) => store.databases[0]!.dropping.has(slot)))
      return "keys that these slots had here before are still being removed";
    const { maxmemory } = store.parameters;
    if (maxmemory > 0 && store.usedBytes > maxmemory) return "the target has no memory left (maxmemory)";
    return undefined;
  }

  #refuse(client: Client, { job, attempt }: Frame, reason: string): void {
    const link = new TargetLink(client, attempt);
    link.send({ job, attempt, kind: "refuse", reason });
    link.close();
  }

  restore(stored: StoredTarget): void {
    const { record } = stored;
    const { move } = record;
    if (stored.promotion > this.#parts.store.promotions.saved) this.#placedAs(move.job, record.attempt, stored.promotion);
    if (record.phase === "confirmed") this.#staged.set(move.job, this.#restored(stored));
    this.#take(restoreTarget(record, this.#nowMs(), this.#parts.limits));
  }

  #restored({ record, stagedBytes }: StoredTarget): Staged {
    const { store, records } = this.#parts;
    const { move, attempt } = record;
    const path = records.stagedPath(move.job, attempt)!; // the record came from there
    const staging = stagedFrom(store, path, stagedBytes);
    return {
      attempt,
      staging,
      name: stagedName(move.job, attempt),
      file: undefined,
      bytes: stagedBytes,
      promotion: 0,
      preparing: undefined,
      placing: false,
    };
  }

  step(job: string, event: CommonEvent): void {
    const { inOrder, limits } = this.#parts;
    inOrder(() => {
      const before = this.jobs.get(job);
      if (before !== undefined) this.#take(stepTarget(before, event, this.#nowMs(), limits), before.state.kind);
    });
  }

  tick(): void {
    for (const [job, one] of this.jobs) if (isOpen(one)) this.step(job, { kind: "tick" });
    const late = this.#lateJobs();
    if (late.size === this.#late.size && [...late].every((job) => this.#late.has(job))) return;
    this.#late = late;
    this.#tellArrivals();
  }

  /** Commands for slots that are this node's wait until they are in place, as long as they wait for a fence. */
  #lateJobs(): ReadonlySet<string> {
    const { cluster, limits } = this.#parts;
    const [nowMs, late] = [this.#nowMs(), new Set<string>()];
    for (const [job, one] of this.jobs) {
      const isDecided = isOpen(one) && one.move.ranges.some(({ start }) => cluster.ownerOf(start) === cluster.id);
      if (!isDecided) {
        this.#decidedMs.delete(job);
        continue;
      }
      const sinceMs = this.#decidedMs.get(job) ?? nowMs;
      this.#decidedMs.set(job, sinceMs);
      if (nowMs - sinceMs >= limits.pauseMs) late.add(job);
    }
    return late;
  }

  #tellArrivals(): void {
    const open = [...this.jobs.values()].filter(isOpen);
    const arrivals = open.flatMap(({ move: { job, ranges } }) =>
      ranges.map(({ start, end }) => ({ start, end, waits: !this.#late.has(job) })),
    );
    this.#parts.cluster.setArriving(arrivals);
  }

  statuses(): MigrationStatus[] {
    return [...this.jobs.values()].map((job) => targetStatus(job, this.#nowMs()));
  }

  /** A claim by this node would hide that these are its own by this job: to be promoted first. */
  get unresolved(): readonly SlotRange[] {
    return [...this.jobs.values()]
      .filter(({ state: { kind } }) => kind === "confirmed" || kind === "refusing" || kind === "promoting")
      .flatMap(({ move }) => move.ranges);
  }

  #take({ next, effects }: TargetStep, before?: string): void {
    const { failpoints, log, changed } = this.#parts;
    const { job } = next.move;
    const { kind } = next.state;
    this.jobs.set(job, next);
    if (before !== kind) {
      log.info("slots.target", { job, attempt: next.attempt, state: kind, from: next.move.from, error: next.lastError });
      failpoints.pass(`target.${kind}.before`);
      this.#tellArrivals();
    }
    for (const effect of effects) this.#do(next, effect);
    if (before === kind) return;
    if (kind === "finished") this.#placed(job);
    failpoints.pass(`target.${kind}.after`);
    changed(job);
  }

  #do(job: TargetJob, effect: TargetEffect): void {
    const parts = this.#parts;
    const { move } = job;
    const id = move.job;
    const answer = (event: CommonEvent): void => this.step(id, event);
    switch (effect.do) {
      case "openStaging":
        return this.#open(job, effect.attempt);
      case "dropStaging":
        return this.#drop(id, effect.attempt);
      case "apply":
        return this.#apply(id, effect.attempt, effect.payload as Buffer); // what the link has read
      case "syncStaging":
        return this.#persist(id, effect, () => this.#synced(id, effect.attempt), answer);
      case "promote":
        return this.#place(id, effect, answer);
      case "persist":
        return this.#persist(id, effect, () => Promise.resolve(undefined), answer);
      case "send":
        return void (this.#links.get(id)?.attempt === effect.attempt && this.#links.get(id)!.send(effect.frame));
      case "disconnect":
        if (this.#links.get(id)?.attempt !== effect.attempt) return;
        this.#links.get(id)!.close();
        return void this.#links.delete(id);
      case "readOwnership":
      case "claim":
        return askRegister(parts, effect, answer);
    }
  }

  #persist(
    job: string,
    { record, value }: { readonly record: number; readonly value: TargetRecord },
    first: () => Promise<Staged | undefined>,
    answer: (event: CommonEvent) => void,
  ): void {
    const { clock } = this.#parts.store;
    const trash = this.#trash.get(job) ?? [];
    this.#trash.delete(job);
    const make = async (): Promise<StoredRecord> => {
      const staged = await first();
      return { role: "target", record: value, wallMs: clock.wallMs(), stagedBytes: staged?.bytes ?? 0, promotion: staged?.promotion ?? 0 };
    };
    const told = (event: CommonEvent): void => {
      if (event.kind === "persisted" || !this.#parts.records.confirms(job))
        for (const file of trash) file.remove().catch((error: unknown) => this.#parts.log.warn("slots.file-stays", { error }));
      else this.#trash.set(job, [...trash, ...(this.#trash.get(job) ?? [])]); // a record names one of them
      answer(event);
    };
    persist(this.#parts, { job, record }, make, told);
  }

  /** Files wait for a record that does not name them. */
  get hasTrash(): boolean {
    return this.#trash.size > 0;
  }

  /** From time to time: what a disk has refused that a job's end should have told it. */
  tidy(): void {
    for (const job of this.#trash.keys()) {
      const one = this.jobs.get(job);
      if (one === undefined || isOpen(one)) continue; // its next record does it
      const { move, attempt, expected, numbers } = one;
      const value = { move, attempt, expected, phase: one.state.kind === "finished" ? "finished" : "dropped" } as const;
      this.#persist(
        job,
        { record: numbers, value },
        () => Promise.resolve(undefined),
        () => {},
      );
    }
  }

  #open({ move }: TargetJob, attempt: number): void {
    const { store, records } = this.#parts;
    const path = records.stagedPath(move.job, attempt);
    let file: StagingFile | undefined;
    try {
      if (path !== undefined) file = StagingFile.create(path, move.ranges);
    } catch (error) {
      this.step(move.job, { kind: "disconnected", attempt, reason: reasonOf(error) });
    }
    const staging = new Staging(store, slotsIn(move.ranges));
    this.#staged.set(move.job, {
      attempt,
      staging,
      file,
      name: stagedName(move.job, attempt),
      bytes: 0,
      promotion: 0,
      preparing: undefined,
      placing: false,
    });
  }

  #drop(job: string, attempt: number): void {
    const staged = this.#staged.get(job);
    if (staged?.attempt !== attempt) return;
    this.#staged.delete(job);
    staged.staging.drop();
    if (staged.promotion === 0 && staged.file !== undefined) this.#trash.set(job, [...(this.#trash.get(job) ?? []), staged.file]);
  }

  #apply(job: string, attempt: number, payload: Buffer): void {
    const staged = this.#staged.get(job);
    if (staged?.attempt !== attempt) return;
    const { store } = this.#parts;
    try {
      staged.staging.apply(payload);
      const { maxmemory } = store.parameters;
      if (maxmemory > 0 && store.usedBytes > maxmemory && !store.eviction.makeRoom())
        throw malformed("the target has no memory left (maxmemory)");
      staged.file?.append(payload);
    } catch (error) {
      this.step(job, { kind: "disconnected", attempt, reason: reasonOf(error) });
    }
  }

  async #synced(job: string, attempt: number): Promise<Staged> {
    const staged = this.#stagedOf(job, attempt);
    if (staged.file !== undefined) staged.bytes = await staged.file.sync();
    return staged;
  }

  #stagedOf(job: string, attempt: number): Staged {
    const staged = this.#staged.get(job);
    if (staged?.attempt !== attempt) throw malformed("nothing is staged");
    return staged;
  }

  #place(job: string, effect: TargetEffect & { readonly do: "promote" }, answer: (event: CommonEvent) => void): void {
    const staged = this.#staged.get(job);
    if (staged?.placing === true) return; // it will be answered
    if (staged !== undefined) staged.placing = true;
    const told = (event: CommonEvent): void => {
      if (staged !== undefined) staged.placing = false;
      answer(event);
    };
    this.#persist(job, effect, () => this.#promoted(job, effect.attempt), told);
  }

  /** In place in memory, and in the journal on disk; whatever is asked for once more, it happens once. */
  async #promoted(job: string, attempt: number): Promise<Staged> {
    const staged = this.#stagedOf(job, attempt);
    await (staged.preparing ??= staged.staging.prepare());
    const { store, records } = this.#parts;
    if (staged.promotion === 0) {
      const lasts = records.stagedPath(job, attempt) !== undefined;
      staged.promotion = promoteNow(store, staged.staging, lasts ? { name: staged.name, bytes: staged.bytes } : undefined);
    }
    await store.persistence?.journal.forced();
    await staged.file?.close();
    return staged;
  }

  async close(): Promise<void> {
    for (const { file } of this.#staged.values()) await file?.close();
  }

  /** What was staged is the node's; its file is needed until a snapshot has it. */
  #placed(job: string): void {
    const staged = this.#staged.get(job);
    this.#staged.delete(job);
    if (staged !== undefined) this.#placedAs(job, staged.attempt, staged.promotion);
  }

  #placedAs(job: string, attempt: number, promotion: number): void {
    const path = this.#parts.records.stagedPath(job, attempt);
    if (path !== undefined) this.files.set(job, { path, promotion });
  }
}

export const touch = (some: readonly SlotRange[], others: readonly SlotRange[]): boolean =>
  some.some((one) => others.some((other) => overlaps(one, other)));
