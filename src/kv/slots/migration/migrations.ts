import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Log } from "../../../base/log.ts";
import type { Client } from "../../clients/client.ts";
import type { Store } from "../../store.ts";
import type { SlotRange } from "../slot-map.ts";
import { CommandError } from "../../command-error.ts";
import { slotsIn } from "../slot-text.ts";
import { decodeFrame, malformed } from "./frames.ts";
import { LINK_VERSION } from "./link.ts";
import { Failpoints } from "./failpoints.ts";
import { promoteFile } from "./promotions.ts";
import { Records, stagedName, type StoredRecord, type StoredTarget } from "./records.ts";
import { isOpen, type ClusterSide, type SideParts } from "./side.ts";
import { isForSource, SourceSide } from "./source-side.ts";
import { TargetSide, touch } from "./target-side.ts";
import type { SourceJob } from "./source.ts";
import type { TargetJob } from "./target.ts";
import type { MigrationLimits, MigrationStatus } from "./types.ts";

const TICK_MS = 10;
/** Ended jobs that are remembered. */
const ENDED_MAX = 100;
/** How often it is looked which files of staged slots are needed no more. */
const TIDY_MS = 1000;
const UNRESOLVED_LOOK_MS = 10;

export interface MigrationOptions {
  readonly log: Log;
  readonly limits: () => MigrationLimits;
}

/** A job as it is shown. */
export interface ShownMigration extends MigrationStatus {
  /** That these slots have here now. */
  readonly keysTotal: number;
  /** Of one hand-over, the longest. */
  readonly pauseMaxMs: number;
  readonly createdMs: number;
  readonly updatedMs: number;
}

/** Slots that move from this node to others, or to it: the runner of `source.ts` and `target.ts`. */
export class Migrations implements AsyncDisposable {
  readonly #store: Store;
  readonly #parts: SideParts;
  readonly #sources: SourceSide;
  readonly #targets: TargetSide;
  readonly #inbox: (() => void)[] = [];
  #draining = false;
  #timer: Disposable | undefined;
  #tidiedMs = 0;
  readonly #times = new Map<string, { readonly createdMs: number; readonly updatedMs: number }>();
  readonly #linked = new WeakSet<Client>();
  #closed = false;

  private constructor(store: Store, cluster: ClusterSide, records: Records, options: MigrationOptions) {
    this.#store = store;
    this.#parts = {
      store,
      cluster,
      log: options.log,
      records,
      get limits() {
        return options.limits();
      },
      failpoints: new Failpoints(store),
      inOrder: (turn) => this.#inOrder(turn),
      changed: (job) => this.#changed(job),
    };
    this.#sources = new SourceSide(this.#parts);
    this.#targets = new TargetSide(this.#parts, (ranges, but) => this.isBusy(ranges, but));
  }

  /**
   * To be called once all data is read, and before the node claims its slots: jobs of before go on, and slots of theirs are fenced, or not served yet. Throws `disk.*`,
   * `migration.malformed`.
   */
  static async open(store: Store, cluster: ClusterSide, options: MigrationOptions): Promise<Migrations> {
    const records = await Records.open(store.persistence?.lasts === true ? store.parameters.dir : undefined);
    const migrations = new Migrations(store, cluster, records, options);
    await migrations.#restore();
    return migrations;
  }

  async #restore(): Promise<void> {
    const { records, store } = this.#parts;
    const stored = records.all;
    const targets = stored.filter((one) => one.role === "target");
    this.#promoteAgain(targets);
    store.promotions.last = Math.max(store.promotions.last, ...targets.map(({ promotion }) => promotion));
    const needed = targets.filter(({ record, promotion }) => record.phase === "confirmed" || promotion > store.promotions.saved);
    const names = needed.map(({ record }) => stagedName(record.move.job, record.attempt));
    await records.removeStagedBut(new Set([...names, ...store.promotions.files]));
    for (const one of stored.toSorted((a, b) => a.wallMs - b.wallMs)) this.#restoreOne(one);
  }

  #restoreOne(stored: StoredRecord): void {
    const { move } = stored.record;
    this.#times.set(move.job, { createdMs: stored.wallMs, updatedMs: stored.wallMs });
    if (stored.role === "source") return this.#sources.restore(stored);
    this.#targets.restore(stored);
  }

  /** A journal has promotions in their place; a snapshot tells which it has, and the others are made again in their order. */
  #promoteAgain(targets: readonly StoredTarget[]): void {
    const { records, store } = this.#parts;
    const { promotions, parameters } = store;
    if (parameters.appendonly) return;
    const before = promotions.last;
    for (const { record, promotion, stagedBytes } of targets.toSorted((a, b) => a.promotion - b.promotion)) {
      if (promotion <= promotions.last) continue;
      const path = records.stagedPath(record.move.job, record.attempt);
      if (path !== undefined)
        promoteFile(store, dirname(path), { name: stagedName(record.move.job, record.attempt), bytes: stagedBytes }, promotion);
    }
    if (promotions.last !== before) store.replication?.primary.beginAnew(); // the history that the snapshot tells of does not have them
  }

  // --- what is asked of it ------------------------------------------------------------------------------------------------------------

  get self(): string {
    return this.#parts.cluster.id;
  }

  /** Begins moves of slots of this node, all or none of them; the names of the jobs. Throws a `CommandError`: `ERR …`. */
  moveAll(moves: readonly { readonly ranges: readonly SlotRange[]; readonly to: string }[]): readonly string[] {
    const { cluster } = this.#parts;
    const wanted = new Set<number>();
    for (const { ranges, to } of moves) {
      if (cluster.addressOf(to) === undefined) throw new CommandError(`ERR Unknown node: ${to.slice(0, 64)}`);
      if (cluster.follows(to)) throw new CommandError("ERR Target node is a replica: name its primary");
      if (to === cluster.id) throw new CommandError("ERR Target node can not be this node");
      for (const slot of slotsIn(ranges)) {
        if (wanted.has(slot)) throw new CommandError("ERR Slot ranges overlap");
        wanted.add(slot);
        if (cluster.ownerOf(slot) !== cluster.id) throw new CommandError("ERR Slots are not served by this node.");
      }
      if (this.isBusy(ranges)) throw new CommandError("ERR I am already migrating some of these slots");
    }
    return moves.map(({ ranges, to }) => this.#move(ranges, to));
  }

  #move(ranges: readonly SlotRange[], to: string): string {
    const job = randomBytes(20).toString("hex");
    this.#sources.start({ job, ranges, from: this.#parts.cluster.id, to });
    return job;
  }

  /** Ends a job, or all; how many were asked to end. One for which the register was asked ends with its answer. */
  cancel(job?: string): number {
    let count = 0;
    for (const side of [this.#sources, this.#targets])
      for (const [name, one] of side.jobs)
        if (isOpen(one) && (job === undefined || job === name)) {
          side.step(name, { kind: "cancel" });
          count++;
        }
    return count;
  }

  /** A job by which this node has given slots away, or was about to. */
  gave(job: string): boolean {
    return this.#sources.jobs.has(job);
  }

  isBusy(ranges: readonly SlotRange[], but = ""): boolean {
    return this.#all.some((one) => one.move.job !== but && isOpen(one) && touch(one.move.ranges, ranges));
  }

  /** Some job is under way: the epochs of its slots have to stay as they are. */
  get active(): boolean {
    return this.#isActive;
  }
  #isActive = false;

  /** All jobs, the latest last. */
  statuses(): readonly ShownMigration[] {
    const all = [...this.#sources.statuses(), ...this.#targets.statuses()];
    return all
      .map((status) => {
        const { createdMs = 0, updatedMs = 0 } = this.#times.get(status.job) ?? {};
        const keysTotal = slotsIn(status.ranges).reduce((sum, slot) => sum + this.#store.databases[0]!.slotCount(slot), 0);
        return { ...status, createdMs, updatedMs, keysTotal, pauseMaxMs: this.#sources.pauseMaxMs(status.job) };
      })
      .toSorted((a, b) => a.createdMs - b.createdMs);
  }

  /** Resolves once no slots that the map gives to this node wait to be put in place: a claim would hide whose they are. */
  async resolved(signal?: AbortSignal): Promise<void> {
    const { cluster, store } = this.#parts;
    const mine = (): boolean =>
      this.#targets.unresolved.some(({ start, end }) =>
        cluster.map.ranges.some((range) => range.owner === cluster.id && touch([range], [{ start, end }])),
      );
    while (!this.#closed && mine()) await store.clock.sleep(UNRESOLVED_LOOK_MS, signal);
  }

  /** A connection of a source. Throws a `CommandError`. */
  link(client: Client, version: string): void {
    if (version !== LINK_VERSION) throw new CommandError(`ERR Version ${version.slice(0, 16)} of slot migration is not spoken here`);
    this.#linked.add(client);
  }

  /** A frame that a client has sent as one of a link. Throws `migration.malformed`. */
  received(bytes: Buffer, client: Client): void {
    if (!this.#linked.has(client)) throw malformed("a connection that is no link");
    const frame = decodeFrame(bytes);
    if (!isForSource(frame)) return this.#targets.frame(frame, client);
    if (frame.kind === "ping" || frame.kind === "cancel") this.#targets.frame(frame, client);
  }

  // --- turns ------------------------------------------------------------------------------------------------------------------------

  #inOrder(turn: () => void): void {
    if (this.#closed) return;
    this.#inbox.push(turn);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) next();
    } finally {
      this.#draining = false;
    }
  }

  #changed(job: string): void {
    const nowMs = this.#store.clock.wallMs();
    this.#times.set(job, { createdMs: this.#times.get(job)?.createdMs ?? nowMs, updatedMs: nowMs });
    this.#isActive = this.#all.some(isOpen);
    this.#wind();
  }

  get #all(): readonly (SourceJob | TargetJob)[] {
    return [...this.#sources.jobs.values(), ...this.#targets.jobs.values()];
  }

  /** A clock that ticks only while there is something to wait for. */
  #wind(): void {
    const { files, hasTrash } = this.#targets;
    if (this.#timer !== undefined || this.#closed || !(this.#isActive || hasTrash || files.size > 0)) return;
    this.#timer = this.#store.clock.timer(this.#isActive ? TICK_MS : TIDY_MS, () => {
      this.#timer = undefined;
      this.#sources.tick();
      this.#targets.tick();
      this.#tidy();
      this.#wind();
    });
  }

  /** What a snapshot has by now needs no file, and old jobs no record. */
  #tidy(): void {
    const nowMs = this.#store.clock.nowMs();
    if (nowMs - this.#tidiedMs < TIDY_MS) return;
    this.#tidiedMs = nowMs;
    this.#targets.tidy();
    const { parameters, promotions } = this.#store;
    const isKept = parameters.appendonly || parameters.save !== "";
    const { files } = this.#targets;
    for (const [job, { path, promotion }] of files) {
      if (isKept && promotion > promotions.saved) continue;
      files.delete(job);
      rm(path, { force: true }).catch((error: unknown) => this.#parts.log.warn("slots.file-stays", { path, error }));
    }
    const old = this.#all.filter((one) => !isOpen(one) && !files.has(one.move.job)).slice(0, -ENDED_MAX);
    for (const {
      move: { job },
    } of old) {
      this.#sources.forget(job);
      this.#targets.jobs.delete(job);
      this.#times.delete(job);
      this.#parts.records.forget(job);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#timer?.[Symbol.dispose]();
    this.#sources.close();
    await this.#targets.close();
    await this.#parts.records[Symbol.asyncDispose]();
  }
}
