import { admissionOf, type Admission, type Fence } from "../../../src/kv/slots/admission.ts";
import { restoreSource, startSource, stepSource, sourceStatus } from "../../../src/kv/slots/migration/source.ts";
import type { SourceEffect, SourceEvent, SourceJob, SourceStep } from "../../../src/kv/slots/migration/source.ts";
import { restoreTarget, startTarget, stepTarget, targetStatus } from "../../../src/kv/slots/migration/target.ts";
import type { TargetEffect, TargetJob, TargetRecord, TargetStep } from "../../../src/kv/slots/migration/target.ts";
import type { CommonEvent, Frame, Move } from "../../../src/kv/slots/migration/types.ts";
import { EMPTY_MAP, overlaps, ownerOf, type OwnedRange, type SlotMap, type SlotRange } from "../../../src/kv/slots/slot-map.ts";
import { slotsIn } from "../../../src/kv/slots/slot-text.ts";
import { CopyModel, slotOf } from "./copy-model.ts";
import { DiskModel, type Adopted, type Data } from "./disk-model.ts";
import type { LinkModel, Cluster } from "./cluster.ts";
import type { LeaseCell } from "./register-model.ts";
import { LEASE_MS, LIMITS } from "./scenario.ts";

const TICK_MS = 10;
const MAP_POLL_MS = 100;
const REPLICA_MS = 120;

export interface Write {
  readonly id: number;
  readonly key: string;
  readonly answer: (reply: "ok" | Admission) => void;
}

interface StagingModel {
  readonly attempt: number;
  readonly data: Data;
  /** In place, in memory at least. */
  placed: boolean;
  /** That is being told to the disk. */
  placing: boolean;
}

/** A node: what a runner would do for the machines, on a disk, links and a register that fail. */
export class NodeModel {
  readonly name: string;
  readonly disk: DiskModel;
  readonly #cluster: Cluster;
  /** Grows with every start; what an earlier one has planned does not happen. */
  life = 0;
  up = false;
  frozenUntilMs = 0;
  /** This life's clock: its zero and its speed are its own. */
  #clockZero = 0;
  #clockRate = 1;
  map: SlotMap = EMPTY_MAP;
  live: Data = new Map();
  sources = new Map<string, SourceJob>();
  targets = new Map<string, TargetJob>();
  stagings = new Map<string, StagingModel>();
  #copies = new Map<string, CopyModel>();
  #fences = new Map<string, { readonly sinceMs: number; waits: boolean }>();
  #links = new Map<string, LinkModel>();
  readonly #led = new Set<Adopted>();
  /** Its replica has all that moves have brought up to this epoch; undefined: it has not got anything of this shard yet. */
  #replicaHas: number | undefined;
  /** Versions of others' leases that this life has seen, and who was seen to renew his. */
  readonly #seen = new Map<string, number>();
  readonly #alive = new Set<string>();
  #waiting: Write[] = [];
  #serving = false;
  #lease: { readonly version: number; readonly untilMs: number } | undefined;
  #claims = 0;
  #inbox: (() => void)[] = [];
  #draining = false;

  constructor(name: string, cluster: Cluster) {
    this.name = name;
    this.#cluster = cluster;
    this.disk = new DiskModel(cluster.world);
  }

  nowMs(): number {
    return this.#clockZero + this.#cluster.world.nowMs * this.#clockRate;
  }

  // --- start, stop, lease -----------------------------------------------------------------------------------------------------------

  start(): void {
    const { world } = this.#cluster;
    const life = ++this.life;
    this.up = true;
    this.#clockZero = world.between(0, 1e6);
    this.#clockRate = world.between(0.98, 1.02);
    this.#tell(() => `starts, life ${life}, with ${dataText(this.disk.data)}`);
    this.live = this.disk.copyOfData();
    this.map = EMPTY_MAP;
    for (const record of this.#byWallClock(this.disk.sources.values())) {
      if (life !== this.life) return;
      const forgets = this.#cluster.faults.mutant === "start-without-fence-and-claim" && record.phase === "fenced";
      this.#takeSource(restoreSource(forgets ? { ...record, phase: "open" } : record, this.nowMs(), LIMITS));
    }
    for (const record of this.#byWallClock(this.disk.targets.values())) {
      if (life !== this.life) return;
      const confirmed = this.disk.staged.get(record.move.job);
      if (record.phase === "confirmed" && confirmed !== undefined)
        this.stagings.set(record.move.job, stagingOf(confirmed.attempt, confirmed.data));
      this.#takeTarget(restoreTarget(record, this.nowMs(), LIMITS));
    }
    if (life !== this.life) return; // it died again at one of these edges
    this.#acquire();
    this.#every(TICK_MS, () => this.tick());
    this.#every(REPLICA_MS, () => this.#tellReplica());
    const looked = this.alive((map: SlotMap, leases: ReadonlyMap<string, LeaseCell>) => this.#looked(map, leases));
    this.#every(MAP_POLL_MS, () => this.#cluster.register.look(looked));
  }

  /** As they were written, unless that clock was set meanwhile. */
  #byWallClock<T>(records: Iterable<T>): readonly T[] {
    const { world, faults } = this.#cluster;
    const all = [...records];
    if (world.chance(faults.clockSteps))
      for (let at = all.length - 1; at > 0; at--) all.splice(at, 0, ...all.splice(world.random.below(at + 1), 1));
    return all;
  }

  crash(): void {
    this.#tell(() => "dies");
    this.life++;
    this.up = this.#serving = false;
    this.#lease = undefined;
    this.disk.crash();
    for (const link of this.#links.values()) link.lost(this.name);
    for (const all of [this.sources, this.targets, this.stagings, this.#copies, this.#fences, this.#links, this.#seen]) all.clear();
    for (const all of [this.#led, this.#alive]) all.clear();
    this.#waiting = [];
    this.#inbox = [];
  }

  /** A lease, then the map, what was confirmed and is ours, and only then a claim of what we own: after it nothing older can be made. */
  #acquire(): void {
    const { register } = this.#cluster;
    const again = this.alive(() => this.#serving || this.#acquire());
    this.#cluster.world.after(300, again);
    register.readLease(
      this.name,
      this.alive((cell) => {
        const askedMs = this.nowMs();
        register.setLease(
          this.name,
          cell.version,
          false,
          this.alive((version: number | undefined) => {
            if (version === undefined || this.#serving) return;
            const lease = (this.#lease = { version, untilMs: askedMs + LEASE_MS });
            register.read(this.alive((map) => this.#lease === lease && this.#claimOwn(map)));
          }),
        );
      }),
    );
  }

  #claimOwn(map: SlotMap): void {
    this.learn(map);
    const unresolved = [...this.targets.values()].some(
      ({ state }) => state.kind === "confirmed" || state.kind === "promoting" || state.kind === "refusing",
    );
    const own = map.ranges.filter(({ owner }) => owner === this.name);
    if (unresolved && this.#isArriving(own)) return; // promoted first; the next round claims
    if (own.length === 0 || this.#cluster.faults.mutant === "start-without-fence-and-claim") return this.#serve(map);
    const by = `${this.name}/${this.life}/${++this.#claims}`;
    const lease = this.#lease; // a claim belongs to the round of its lease, as in the keeper
    this.#cluster.register.claim(
      { ranges: own, owner: this.name, by },
      this.alive((outcome) => {
        this.learn(outcome.map);
        if (outcome.kind !== "refused" && this.#lease === lease) this.#serve(outcome.map);
      }),
    );
  }

  #serve(map: SlotMap): void {
    if (this.#serving) return;
    this.#serving = true;
    this.#tell(() => `serves by map ${map.epoch}`);
    this.#renew();
  }

  #renew(): void {
    const lease = this.#lease;
    if (lease === undefined) return;
    const askedMs = this.nowMs();
    let answered = false;
    this.#cluster.register.setLease(
      this.name,
      lease.version,
      false,
      this.alive((version: number | undefined) => {
        if (answered) return;
        answered = true;
        if (version === undefined) return this.#cluster.restartSoon(this); // revoked, or an answer was lost: begin anew
        this.#lease = { version, untilMs: askedMs + LEASE_MS };
        this.#cluster.world.after(
          LEASE_MS / 3,
          this.alive(() => this.#renew()),
        );
      }),
    );
    this.#cluster.world.after(
      LEASE_MS / 2,
      this.alive(() => {
        if (!answered) this.#renewAgain(lease);
        answered = true;
      }),
    );
  }

  #renewAgain(lease: { readonly version: number; readonly untilMs: number }): void {
    if (this.#lease === lease) this.#renew();
  }

  get serving(): boolean {
    return this.#serving;
  }

  leaseHolds(): boolean {
    return this.#cluster.faults.mutant === "no-lease" || (this.#lease !== undefined && this.nowMs() < this.#lease.untilMs);
  }

  /** An older map is refused. */
  learn(map: SlotMap): void {
    if (!this.up) return;
    if (map.epoch < this.map.epoch && this.#cluster.faults.mutant !== "older-map-taken") return;
    if (map.epoch !== this.map.epoch) this.#tell(() => `learns map ${map.epoch}`);
    this.map = map;
    this.#lead();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const write of waiting) this.write(write);
  }

  #looked(map: SlotMap, leases: ReadonlyMap<string, LeaseCell>): void {
    this.learn(map);
    for (const [name, { version, revoked }] of leases) {
      const before = this.#seen.get(name);
      this.#seen.set(name, Math.max(before ?? 0, version));
      if (revoked) this.#alive.delete(name);
      else if (before !== undefined && version > before) this.#alive.add(name);
    }
    this.#dropStrays();
  }

  /** Keys of slots whose owner is another that lives, unless a move has them under way. */
  #dropStrays(): void {
    if (!this.#serving || !this.leaseHolds() || this.#cluster.faults.mutant === "strays-stay") return;
    const isStray = (slot: number): boolean => this.#alive.has(ownerOf(this.map, slot)) && !this.#isMoving(slot);
    const strays = new Set([...this.live.keys()].map(slotOf).filter(isStray));
    if (strays.size > 0) this.#drop([...strays].map((slot) => ({ start: slot, end: slot })));
  }

  #isMoving(slot: number): boolean {
    const open = [...this.sources.values(), ...this.targets.values()].filter(({ state }) => "deadlineMs" in state);
    return open.some(({ move }) => move.ranges.some(({ start, end }) => start <= slot && slot <= end));
  }

  // --- clients ----------------------------------------------------------------------------------------------------------------------

  admission(slot: number, writes = true): Admission {
    if (!this.#serving) return { kind: "clusterDown" };
    return admissionOf(
      {
        self: this.name,
        map: this.map,
        leaseHolds: this.leaseHolds(),
        fences: this.#fenceList(),
        arriving: [...this.targets.values()]
          .filter(({ state }) => "deadlineMs" in state)
          .flatMap(({ move }) => move.ranges.map((range) => ({ ...range, waits: false }))),
      },
      slot,
      writes,
    );
  }

  #fenceList(): Fence[] {
    return [...this.#fences].flatMap(([job, { waits }]) => {
      const source = this.sources.get(job);
      const readsToo = source?.state.kind === "deciding";
      return (source?.move.ranges ?? this.disk.sources.get(job)?.move.ranges ?? []).map(({ start, end }) => ({
        start,
        end,
        waits,
        readsToo,
      }));
    });
  }

  write(write: Write): void {
    const { key, id } = write;
    const admission = this.admission(slotOf(key));
    if (admission.kind === "wait") {
      this.#waiting.push(write);
      return;
    }
    if (admission.kind !== "serve") return write.answer(admission);
    this.#cluster.checkSoleWriter(this, slotOf(key));
    const list = [...(this.live.get(key) ?? []), id];
    this.live.set(key, list);
    for (const copy of this.#copies.values()) copy.written(key, id);
    this.disk.write(
      (data) => void data.set(key, list),
      this.alive(() => {
        if (!this.leaseHolds()) return;
        this.#tell(() => `acknowledges ${id} of ${key}`);
        write.answer("ok");
      }),
    );
  }

  // --- jobs -------------------------------------------------------------------------------------------------------------------------

  move(move: Move): void {
    const busy = [...this.sources.values(), ...this.targets.values()].some(
      (job) => "deadlineMs" in job.state && job.move.ranges.some((one) => move.ranges.some((other) => overlaps(one, other))),
    );
    if (!busy && this.up) this.#takeSource(startSource(move, this.nowMs(), LIMITS));
  }

  cancel(job: string): void {
    if (!this.sources.has(job)) return this.toTarget(job, { kind: "cancel" });
    this.#inOrder(() => {
      const source = this.sources.get(job);
      if (source === undefined) return;
      const { life } = this;
      this.#takeSource(stepSource(source, { kind: "cancel" }, this.nowMs(), LIMITS), source.state.kind);
      const after = this.sources.get(job)?.state.kind;
      // I1: one turn. Only a claim that is under way keeps it, and that waits for the register alone.
      const open = after !== "cancelled" && after !== "finished" && after !== "failed" && after !== "deciding";
      if (open && life === this.life) this.#cluster.world.violated(`I1: ${job} is ${after} after cancel`);
    });
  }

  tick(): void {
    for (const [job, { state }] of this.sources) if ("deadlineMs" in state) this.toSource(job, { kind: "tick" });
    for (const [job, { state }] of this.targets) if ("deadlineMs" in state) this.toTarget(job, { kind: "tick" });
    if (this.#cluster.faults.mutant === "unfence-by-clock")
      for (const [job, { sinceMs }] of this.#fences) if (this.#cluster.world.nowMs - sinceMs > 2 * LIMITS.pauseMs) this.#unfence(job);
  }

  frame(frame: Frame, link: LinkModel): void {
    if (!this.up) return;
    const { job } = frame;
    const mutant = this.#cluster.faults.mutant === "no-attempt-check";
    const toSource =
      !["init", "data", "fence", "unfence", "look"].includes(frame.kind) && this.sources.has(job) && link.source === this.name;
    if (toSource)
      return this.toSource(job, { kind: "frame", frame: mutant ? { ...frame, attempt: this.sources.get(job)!.attempt } : frame });
    const target = this.targets.get(job);
    if (target === undefined || (frame.kind === "init" && frame.attempt > target.attempt)) {
      if (frame.kind !== "init" || link.target !== this.name) return;
      if (this.#refuses(frame)) return link.send(this.name, { job, attempt: frame.attempt, kind: "refuse", reason: "busy" });
      this.#links.set(`t/${job}`, link);
    }
    if (target === undefined && frame.kind === "init") return this.#takeTarget(startTarget(frame, this.name, this.nowMs(), LIMITS));
    this.toTarget(job, {
      kind: "frame",
      frame: mutant && frame.kind !== "init" && target !== undefined ? { ...frame, attempt: target.attempt } : frame,
    });
  }

  #refuses(init: Frame & { kind: "init" }): boolean {
    const others = [...this.sources.values(), ...this.targets.values()].filter(
      ({ move, state }) => move.job !== init.job && "deadlineMs" in state,
    );
    return others.some(({ move }) => move.ranges.some((one) => init.expected.some((other) => overlaps(one, other))));
  }

  linkLost(link: LinkModel, reason: string): void {
    const event: CommonEvent = { kind: "disconnected", attempt: link.attempt, reason };
    if (!this.up) return;
    if (link.source === this.name) this.toSource(link.job, event);
    else this.toTarget(link.job, event);
  }

  toSource(job: string, event: SourceEvent): void {
    this.#inOrder(() => {
      const before = this.sources.get(job);
      if (before !== undefined) this.#takeSource(stepSource(before, event, this.nowMs(), LIMITS), before.state.kind);
    });
  }

  toTarget(job: string, event: CommonEvent): void {
    this.#inOrder(() => {
      const before = this.targets.get(job);
      if (before !== undefined) this.#takeTarget(stepTarget(before, event, this.nowMs(), LIMITS), before.state.kind);
    });
  }

  #takeSource({ next, effects }: SourceStep, before?: string): void {
    const { job } = next.move;
    this.sources.set(job, next);
    const edge = before !== next.state.kind;
    this.#tellStep("source", next, effects, edge);
    if (edge) this.#cluster.checkWaits(sourceStatus(next, this.nowMs()));
    if (edge && this.#cluster.edge(this, job)) return; // it died before it did anything
    const { life } = this;
    for (const effect of effects) {
      this.#doSource(next, effect, before);
      if (life !== this.life) return;
    }
    if (edge) this.#cluster.edge(this, job);
  }

  #takeTarget({ next, effects }: TargetStep, before?: string): void {
    const { job } = next.move;
    this.targets.set(job, next);
    const edge = before !== next.state.kind;
    this.#tellStep("target", next, effects, edge);
    if (edge) this.#cluster.checkWaits(targetStatus(next, this.nowMs()));
    if (edge && this.#cluster.edge(this, job)) return;
    const { life } = this;
    for (const effect of effects) {
      this.#doTarget(next, effect);
      if (life !== this.life) return;
    }
    if (edge && next.state.kind === "finished") this.stagings.delete(job);
    if (edge) this.#cluster.edge(this, job);
  }

  #doSource(source: SourceJob, effect: SourceEffect, before: string | undefined): void {
    const { move } = source;
    const { job } = move;
    switch (effect.do) {
      case "connect":
        return void this.#links.set(
          `s/${job}`,
          this.#cluster.connect({ job, attempt: effect.attempt, source: this.name, target: effect.to }),
        );
      case "startCopy":
        return void this.#copies.set(job, new CopyModel(this, move, effect.attempt));
      case "walk":
        return this.#copies.get(job)?.walk(effect.bytes);
      case "stopCopy":
        return void this.#copies.delete(job);
      case "fence":
        return void this.#fences.set(job, { sinceMs: this.#cluster.world.nowMs, waits: before !== undefined });
      case "unfence":
        if (before === "fencing" || before === "confirming") this.#checkPause(job);
        return this.#unfence(job);
      case "refuseWaiting": {
        const fence = this.#fences.get(job);
        if (fence !== undefined) fence.waits = false;
        return this.learn(this.map);
      }
      case "release":
        return this.#drop(effect.pieces.filter(({ owner }) => owner !== this.name));
      case "persist":
        return this.#persist(
          (record) => this.disk.sources.set(job, record),
          effect.value,
          (event) => this.toSource(job, event),
          effect.record,
        );
      case "send":
      case "disconnect":
      case "readOwnership":
      case "claim":
        return this.#doCommon(`s/${job}`, effect, (event) => this.toSource(job, event));
    }
  }

  #doTarget(target: TargetJob, effect: TargetEffect): void {
    const { job } = target.move;
    const answer = (event: CommonEvent): void => this.toTarget(job, event);
    switch (effect.do) {
      case "openStaging":
        return void this.stagings.set(job, stagingOf(effect.attempt, new Map()));
      case "dropStaging":
        if (this.stagings.get(job)?.attempt === effect.attempt) this.stagings.delete(job);
        return this.disk.write(() => void (this.disk.staged.get(job)?.attempt === effect.attempt && this.disk.staged.delete(job)));
      case "apply": {
        const staging = this.stagings.get(job);
        if (staging?.attempt !== effect.attempt)
          return this.#cluster.world.violated(`I1: applied for ${job}/${effect.attempt}, which has no staging`);
        const madeIn = CopyModel.apply(staging.data, effect.payload);
        if (madeIn === effect.attempt) return;
        return this.#cluster.world.violated(`I1: of attempt ${madeIn} of ${job} something was applied in ${effect.attempt}`);
      }
      case "syncStaging": {
        const staging = { attempt: effect.attempt, data: new Map(this.stagings.get(job)?.data) };
        if (this.#cluster.faults.mutant === "confirm-before-durable") answer({ kind: "persisted", record: effect.record });
        const sync = (record: TargetRecord): void => {
          this.disk.staged.set(job, staging);
          this.disk.targets.set(job, record);
        };
        return this.#persist(sync, effect.value, answer, effect.record);
      }
      case "promote": {
        const staging = this.stagings.get(job);
        if (staging?.attempt !== effect.attempt)
          return this.#cluster.world.violated(`I3: ${job}/${effect.attempt} is promoted and has nothing staged`);
        return this.#place(target.move, staging, effect, answer);
      }
      case "persist":
        return this.#persist((record) => this.disk.targets.set(job, record), effect.value, answer, effect.record);
      case "send":
      case "disconnect":
      case "readOwnership":
      case "claim":
        return this.#doCommon(`t/${job}`, effect, answer);
    }
  }

  /** In place of what these slots had: in memory, then in the journal, then in the record; a crash may come between. */
  #place(move: Move, staging: StagingModel, effect: TargetEffect & { do: "promote" }, answer: (event: CommonEvent) => void): void {
    if (staging.placing) return; // the answer will come
    staging.placing = true;
    const slots = slotsIn(move.ranges);
    const place = (data: Data): void => {
      for (const key of data.keys()) if (slots.includes(slotOf(key))) data.delete(key);
      for (const [key, list] of staging.data) data.set(key, list);
    };
    const finish = (record: TargetRecord): void => {
      this.disk.staged.delete(move.job);
      this.disk.targets.set(move.job, record);
    };
    const finished = (event: CommonEvent): void => {
      staging.placing = false;
      answer(event);
    };
    const inJournal = this.alive(() => this.#persist(finish, effect.value, finished, effect.record));
    if (staging.placed) return inJournal();
    staging.placed = true;
    place(this.live);
    this.disk.write(place, inJournal);
  }

  #doCommon(
    link: string,
    effect: (SourceEffect | TargetEffect) & { do: "send" | "disconnect" | "readOwnership" | "claim" },
    answer: (event: CommonEvent) => void,
  ): void {
    const { register } = this.#cluster;
    switch (effect.do) {
      case "send":
        return this.#links.get(link)?.attempt === effect.attempt ? this.#links.get(link)!.send(this.name, effect.frame) : undefined;
      case "disconnect":
        if (this.#links.get(link)?.attempt !== effect.attempt) return;
        this.#links.get(link)!.close(this.name);
        return void this.#links.delete(link);
      case "readOwnership":
        return register.read(this.alive((map) => this.#answered(map, effect, effect.ranges, answer)));
      case "claim":
        return register.claim(
          effect.claim,
          this.alive(({ map }) => this.#answered(map, effect, effect.claim.ranges, answer)),
        );
    }
  }

  #answered(map: SlotMap, { call }: { readonly call: number }, ranges: readonly SlotRange[], answer: (event: CommonEvent) => void): void {
    this.learn(map);
    answer({ kind: "ownership", call, pieces: this.#cluster.piecesOf(map, ranges) });
  }

  #persist<T>(write: (value: T) => void, value: T, answer: (event: CommonEvent) => void, record: number): void {
    const { world, faults } = this.#cluster;
    if (this.disk.isFull || (world.nowMs < faults.untilMs && world.chance(faults.diskFails)))
      return world.after(
        3,
        this.alive(() => answer({ kind: "persistFailed", record, reason: "no space" })),
      );
    this.disk.write(
      () => write(value),
      this.alive(() => answer({ kind: "persisted", record })),
    );
  }

  #unfence(job: string): void {
    if (!this.#fences.delete(job)) return;
    this.learn(this.map);
  }

  /** I6 and what a user was promised: before the claim the pause ends in time, up to a tick and a freeze of the process. */
  #checkPause(job: string): void {
    const fence = this.#fences.get(job);
    const { world } = this.#cluster;
    if (fence !== undefined && world.nowMs - fence.sinceMs > LIMITS.pauseMs * 1.05 + TICK_MS + 1 && fence.sinceMs > this.frozenUntilMs)
      world.violated(`pause of ${job} took ${world.nowMs - fence.sinceMs} ms`);
  }

  /** What is in these slots, of them what is another's by the newest map. */
  #drop(slots: readonly SlotRange[]): void {
    const gone = slotsIn(slots).filter((slot) => ownerOf(this.map, slot) !== this.name);
    const drop = (data: Data): void => {
      for (const key of data.keys()) if (gone.includes(slotOf(key))) data.delete(key);
    };
    drop(this.live);
    this.disk.write(drop);
  }

  /** From time to time its replica has got everything anew. */
  #tellReplica(): void {
    const own = this.map.ranges.filter(({ owner }) => owner === this.name);
    if (!this.#serving || this.#isArriving(own)) return;
    this.#replicaHas = Math.max(this.#replicaHas ?? 0, ...own.map(({ movedAt = 0 }) => movedAt));
  }

  get hasHolding(): boolean {
    return this.#replicaHas !== undefined;
  }

  /** Its slots are two shards' now: the replicas of one, and soon of the other, have none of its own yet. */
  part(): void {
    this.#replicaHas = undefined;
  }

  /** Its replica, which outlives it, has the keys of these slots. */
  replicaHas({ movedAt = 0 }: OwnedRange): boolean {
    const { mutant } = this.#cluster.faults;
    const has = this.#replicaHas ?? (mutant === "taker-without-holding" ? 0 : -1);
    return movedAt <= has || (this.hasHolding && mutant === "taker-without-keys");
  }

  #isArriving(own: readonly SlotRange[]): boolean {
    const open = [...this.targets.values()].filter(({ state }) => "deadlineMs" in state);
    return own.some((range) => open.some(({ move }) => move.ranges.some((one) => overlaps(one, range))));
  }

  /** Takes a dead node's slots with a copy of its disk, as a replica would that has all that was acknowledged; what moved there lately its replica has not. */
  adopt(
    other: NodeModel,
    { taken, left }: { readonly taken: readonly SlotRange[]; readonly left: readonly SlotRange[] },
    as: Pick<Adopted, "epoch" | "slots">,
  ): void {
    const { world } = this.#cluster;
    this.#tell(() => `adopts ${as.slots.map(({ start, end }) => `${start}-${end}`).join()} of ${other.name}`);
    const had = world.chance(0.5) ? [...taken, ...left] : taken; // it may have what it was not told that it has
    this.disk.adopted.add({ ...as, data: new Map([...other.disk.withAdopted()].filter(([key]) => isIn(key, had))) });
  }

  /** It leads from when it knows that it does: what another's replica had becomes its own. */
  #lead(): void {
    for (const adopted of this.disk.adopted) {
      if (this.map.epoch < adopted.epoch || this.#led.has(adopted)) continue;
      this.#led.add(adopted);
      const isOwn = (key: string): boolean => ownerOf(this.map, slotOf(key)) === this.name;
      const got = [...adopted.data].filter(([key]) => isOwn(key) === isIn(key, adopted.slots));
      const own = slotsIn(adopted.slots).filter((slot) => ownerOf(this.map, slot) === this.name);
      const put = (data: Data): void => {
        for (const key of data.keys()) if (own.includes(slotOf(key))) data.delete(key);
        for (const [key, list] of got) data.set(key, list);
      };
      put(this.live);
      this.disk.write((data) => {
        put(data);
        this.disk.adopted.delete(adopted);
      });
    }
  }

  // --- told to a reader -------------------------------------------------------------------------------------------------------------

  #tell(text: () => string): void {
    this.#cluster.world.trace?.(`${this.name} ${text()}`);
  }

  #tellStep(
    role: string,
    { move, attempt, state, lastError }: SourceJob | TargetJob,
    effects: readonly { readonly do: string }[],
    edge: boolean,
  ): void {
    if (!edge && effects.every(({ do: what }) => what === "send" || what === "apply")) return;
    const ranges = move.ranges.map(({ start, end }) => `${start}-${end}`).join();
    this.#tell(
      () =>
        `${role} ${move.job}/${attempt} ${move.from}>${move.to} ${ranges} ${state.kind} [${effects.map(({ do: what }) => what).join(" ")}] ${lastError ?? ""}`,
    );
  }

  // --- turns ------------------------------------------------------------------------------------------------------------------------

  /** What happens in this life only, and not while the process is frozen. */
  alive<A extends unknown[]>(work: (...args: A) => unknown): (...args: A) => void {
    const { life } = this;
    const run = (...args: A): void => {
      if (life !== this.life) return;
      const { world } = this.#cluster;
      if (world.nowMs < this.frozenUntilMs) world.after(this.frozenUntilMs - world.nowMs, () => run(...args));
      else this.#inOrder(() => void work(...args));
    };
    return run;
  }

  #every(ms: number, work: () => void): void {
    const { world } = this.#cluster;
    const again = this.alive(() => {
      work();
      world.after(ms * world.between(0.8, 1.2), again);
    });
    world.after(ms * world.random.next(), again);
  }

  /** One turn after the other: what an effect brings about happens after the step that ordered it. */
  #inOrder(turn: () => void): void {
    this.#inbox.push(turn);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) next();
    } finally {
      this.#draining = false;
    }
  }
}

const isIn = (key: string, ranges: readonly SlotRange[]): boolean =>
  ranges.some(({ start, end }) => start <= slotOf(key) && slotOf(key) <= end);

const dataText = (data: Data): string => [...data].map(([key, list]) => `${key}:${list.join()}`).join(" ");

const stagingOf = (attempt: number, data: Data): StagingModel => ({ attempt, data, placed: false, placing: false });
