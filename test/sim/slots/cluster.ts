import type { Frame, MigrationStatus } from "../../../src/kv/slots/migration/types.ts";
import { ownerOf, piecesOf, type OwnedRange, type SlotMap, type SlotRange } from "../../../src/kv/slots/slot-map.ts";
import { Clients } from "./clients.ts";
import { slotOf } from "./copy-model.ts";
import type { Data } from "./disk-model.ts";
import { NodeModel } from "./node-model.ts";
import { RegisterModel } from "./register-model.ts";
import { faultsOf, LEASE_MS, NODES, SLOTS, type Faults, type Mutant } from "./scenario.ts";
import { World } from "./world.ts";

const SETTLE_MS = 12_000;
const FIRST: readonly OwnedRange[] = [
  { start: 0, end: 3, owner: "A", epoch: 1, by: "create" },
  { start: 4, end: 5, owner: "B", epoch: 1, by: "create" },
  { start: 6, end: 7, owner: "C", epoch: 1, by: "create" },
];

/** A connection for one attempt; frames arrive in order, some twice and late, until it breaks or falls silent. */
export interface LinkModel {
  readonly job: string;
  readonly attempt: number;
  readonly source: string;
  readonly target: string;
  send(from: string, frame: Frame): void;
  close(by: string): void;
  /** Its process has died. */
  lost(by: string): void;
}

export interface SimResult {
  readonly violations: readonly string[];
  readonly acknowledged: number;
  readonly moved: number;
  readonly cancelled: number;
  readonly crashes: number;
  readonly takeovers: number;
}

export function simulate(seed: number, mutant?: Mutant, trace?: (line: string) => void): SimResult {
  return new Cluster(new World(seed, trace), faultsOf(seed, mutant)).run();
}

/** Three nodes, a register, links between them, clients, an operator, and all that goes wrong. */
export class Cluster {
  readonly world: World;
  readonly faults: Faults;
  readonly register: RegisterModel;
  readonly nodes: readonly NodeModel[];
  readonly #clients: Clients;
  readonly #jobs: string[] = [];
  readonly #maps: SlotMap[] = [];
  #cancelled = 0;
  #crashes = 0;
  #takeovers = 0;

  constructor(world: World, faults: Faults) {
    this.world = world;
    this.faults = faults;
    this.register = new RegisterModel(this.world, faults, { epoch: 1, ranges: FIRST });
    this.nodes = NODES.map((name) => new NodeModel(name, this));
    this.#clients = new Clients(this);
  }

  run(): SimResult {
    const { world, faults } = this;
    for (const node of this.nodes) node.start();
    this.#clients.start(faults.untilMs + 100);
    this.#operate();
    world.runUntil(faults.untilMs);
    for (let ms = 700; ms < SETTLE_MS && world.violations.length === 0 && (ms <= 700 || !this.#quiet()); ms += 100)
      world.runUntil(faults.untilMs + ms);
    if (world.violations.length === 0 && !this.#quiet()) this.#tellStuck();
    world.runUntil(world.nowMs + 10); // what is on its way to a disk arrives
    if (world.violations.length === 0) this.#checkEnd();
    const states = this.nodes.flatMap((node) => [...node.sources.values()]).map(({ state }) => state.kind);
    return {
      violations: world.violations,
      acknowledged: this.#clients.acknowledged,
      moved: states.filter((kind) => kind === "finished").length,
      cancelled: this.#cancelled,
      crashes: this.#crashes,
      takeovers: this.#takeovers,
    };
  }

  node(name: string): NodeModel | undefined {
    return this.nodes.find((node) => node.name === name);
  }

  piecesOf = (map: SlotMap, ranges: readonly SlotRange[]): readonly OwnedRange[] => piecesOf(map, ranges);

  // --- links ------------------------------------------------------------------------------------------------------------------------

  connect(of: { readonly job: string; readonly attempt: number; readonly source: string; readonly target: string }): LinkModel {
    const { world, faults } = this;
    let open = true;
    const silent = new Set<string>();
    const arrivesMs = new Map<string, number>();
    const tell = (name: string, reason: string): void => {
      const node = this.node(name);
      if (node !== undefined && !silent.has(name))
        world.after(
          world.between(1, 60),
          node.alive(() => node.linkLost(link, reason)),
        );
    };
    const delivered: Frame[] = [];
    /** What lay in buffers of the old connection arrives once more, in order, when another attempt may be under way. */
    const flood = (): void => {
      const node = this.node(of.target);
      if (node === undefined || world.nowMs >= faults.untilMs || !world.chance(5 * faults.frameTwice)) return;
      let atMs = world.between(20, 300);
      for (const frame of delivered) {
        atMs += world.between(0, 3);
        world.travels(atMs, () => this.#deliver(node, frame, link));
      }
    };
    const end = (by: string): void => {
      if (!open) return;
      open = false;
      flood();
      tell(by === of.source ? of.target : of.source, "the connection is closed");
    };
    const link: LinkModel = {
      ...of,
      close: end,
      lost: end,
      send: (from, frame) => {
        if (!open) return;
        const to = from === of.source ? of.target : of.source;
        const rough = world.nowMs < faults.untilMs;
        if (rough && world.chance(faults.linkSilent))
          for (const side of world.chance(0.5) ? [to] : [of.source, of.target]) silent.add(side);
        if (rough && world.chance(faults.linkBreaks)) {
          open = false;
          flood();
          tell(of.source, "the connection is broken");
          tell(of.target, "the connection is broken");
          return;
        }
        if (silent.has(to)) return;
        const node = this.node(to);
        if (node === undefined) return;
        const atMs = Math.max(arrivesMs.get(to) ?? 0, world.nowMs + world.between(0.3, 6));
        arrivesMs.set(to, atMs);
        if (to === of.target) delivered.push(frame);
        world.travels(atMs - world.nowMs, () => this.#deliver(node, frame, link));
        if (rough && world.chance(faults.frameTwice)) world.travels(world.between(1, 2000), () => this.#deliver(node, frame, link));
      },
    };
    return link;
  }

  #deliver(node: NodeModel, frame: Frame, link: LinkModel): void {
    const { world } = this;
    if (world.nowMs < node.frozenUntilMs) world.travels(node.frozenUntilMs - world.nowMs, () => this.#deliver(node, frame, link));
    else node.frame(frame, link);
  }

  // --- operator and faults ----------------------------------------------------------------------------------------------------------

  #operate(): void {
    const { world, faults, register } = this;
    if (world.nowMs >= faults.untilMs) return;
    world.after(world.between(40, 250), () => this.#operate());
    this.#maps.push(register.map);
    this.#moveSome();
    if (world.chance(0.6)) this.#moveSome(); // A to B and B to C at once
    if (world.chance(0.1)) this.#cancel();
    if (world.chance(faults.oldMaps)) world.pick(this.nodes)?.learn(world.pick(this.#maps)!);
    if (world.chance(faults.registerAway)) register.awayUntilMs = Math.min(faults.untilMs, world.nowMs + world.between(20, 900));
    if (world.chance(faults.freezes)) this.#freeze();
    if (world.chance(faults.diskFull))
      world.pick(this.nodes)!.disk.fullUntilMs = Math.min(faults.untilMs, world.nowMs + world.between(20, 900));
    for (const node of this.nodes) this.#takeOver(node);
  }

  #moveSome(): void {
    const { world } = this;
    const range = world.pick(this.register.map.ranges)!;
    const to = world.pick(NODES.filter((name) => name !== range.owner))!;
    const start = range.start + world.random.below(range.end - range.start + 1);
    const end = Math.min(range.end, start + world.random.below(2));
    const job = `j${this.#jobs.length}`;
    this.#jobs.push(job);
    this.node(range.owner)?.move({ job, ranges: [{ start, end }], from: range.owner, to });
  }

  #cancel(): void {
    const { world } = this;
    const job = world.pick(this.#jobs)!;
    this.#cancelled++;
    for (const node of this.nodes) if (node.up && world.chance(0.7)) node.cancel(job);
  }

  #freeze(): void {
    const node = this.world.pick(this.nodes)!;
    if (node.up) node.frozenUntilMs = Math.max(node.frozenUntilMs, this.world.nowMs + this.world.between(10, 600));
  }

  /** At each state edge, before and after its effects. True: the process died. */
  edge(node: NodeModel, job: string): boolean {
    const { world, faults } = this;
    if (world.nowMs >= faults.untilMs || world.nowMs < 50) return false;
    if (world.chance(faults.cancelAtEdge)) {
      this.#cancelled++;
      world.after(
        0,
        node.alive(() => node.cancel(job)),
      );
    }
    if (!world.chance(faults.crashAtEdge)) return false;
    this.restartSoon(node);
    return true;
  }

  restartSoon(node: NodeModel): void {
    const { world } = this;
    if (!node.up) return;
    this.#crashes++;
    node.crash();
    const { life } = node;
    // Some stay away longer than their lease.
    world.after(world.chance(0.3) ? world.between(LEASE_MS, 3 * LEASE_MS) : world.between(5, 100), () => {
      if (node.life === life) node.start();
    });
  }

  /** Another node watches the lease, takes it away once it has run out, and claims the slots. */
  #takeOver(dead: NodeModel): void {
    const { world, register } = this;
    const taker = world.pick(this.nodes.filter((node) => node !== dead && node.up))!;
    if (taker === undefined || !world.chance(0.3)) return;
    register.readLease(
      dead.name,
      taker.alive((seen) => {
        if (seen.version === 0 || seen.revoked) return;
        const seenMs = taker.nowMs();
        world.after(
          LEASE_MS * 1.2,
          taker.alive(() => {
            if (taker.nowMs() - seenMs < LEASE_MS * 1.1) return;
            const revoke = (map: SlotMap): void => {
              if (takenOf(dead, map).length === 0) return;
              register.setLease(
                dead.name,
                seen.version,
                true,
                taker.alive((version: number | undefined) => {
                  if (version === undefined) return;
                  if (this.faults.mutant !== "map-read-after-revoking") return this.#claimFor(taker, dead, map);
                  register.read(taker.alive((later) => this.#claimFor(taker, dead, later)));
                }),
              );
            };
            register.read(taker.alive(revoke));
          }),
        );
      }),
    );
  }

  #claimFor(taker: NodeModel, dead: NodeModel, map: SlotMap): void {
    const own = takenOf(dead, map);
    if (own.length === 0) return;
    const by = `takeover/${++this.#takeovers}`;
    const { hasHolding } = dead;
    const made = (): void => {
      const { map: after } = this.register;
      const left = after.ranges.filter(({ owner }) => owner === dead.name);
      taker.adopt(dead, { taken: hasHolding ? own : [], left }, { epoch: after.epoch, slots: own }); // a taker that has died meanwhile finds it on its disk
      if (left.length > 0) for (const node of [dead, taker]) node.part();
    };
    this.register.claim({ ranges: own, owner: taker.name, by }, (outcome) => taker.learn(outcome.map), made);
  }

  // --- what must hold at every moment -------------------------------------------------------------------------------------------------

  /** I2: whoever takes a write is the only one who would. */
  checkSoleWriter(node: NodeModel, slot: number): void {
    for (const other of this.nodes)
      if (other !== node && other.up && other.admission(slot).kind === "serve")
        this.world.violated(`I2: ${node.name} and ${other.name} both take writes of slot ${slot}`);
  }

  /** I6: every wait has an end and a reason. */
  checkWaits({ job, phase, deadlineInMs, waitingFor }: MigrationStatus): void {
    const ends = ["finished", "cancelled", "failed", "dropped"].includes(phase);
    if (!ends && (deadlineInMs === undefined || !Number.isFinite(deadlineInMs) || waitingFor === undefined))
      this.world.violated(`I6: ${job} waits in ${phase} without end or reason`);
  }

  // --- what must hold at the end ------------------------------------------------------------------------------------------------------

  #quiet(): boolean {
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    const serves = (slot: number): boolean => this.node(ownerOf(this.register.map, slot))!.admission(slot).kind === "serve";
    const rests = (node: NodeModel): boolean => node.serving && idle(node) && this.#strays(node, node.live).length === 0;
    return this.world.onTheWay === 0 && this.nodes.every(rests) && slots.every(serves);
  }

  /** Keys that are not the node's own. */
  #strays(node: NodeModel, data: Data): readonly string[] {
    return [...data.keys()].filter((key) => ownerOf(this.register.map, slotOf(key)) !== node.name);
  }

  /** All faults are over, for longer than anything may take. */
  #tellStuck(): void {
    const { world, register } = this;
    for (const node of this.nodes) {
      const open = [...node.sources.values(), ...node.targets.values()].filter(({ state }) => "deadlineMs" in state);
      for (const { move, state, lastError } of open) world.violated(`stuck: ${node.name} ${move.job} ${state.kind} ${lastError ?? ""}`);
    }
    for (let slot = 0; slot < SLOTS; slot++) {
      const owner = this.node(ownerOf(register.map, slot))!;
      if (owner.admission(slot).kind !== "serve")
        world.violated(`stuck: ${owner.name} answers ${owner.admission(slot).kind} for slot ${slot}`);
    }
  }

  #checkEnd(): void {
    const { world, register, nodes } = this;
    for (const node of nodes) {
      // I5: nothing is left of what did not become the node's.
      if (node.stagings.size + node.disk.staged.size > 0)
        world.violated(`I5: ${node.name} has staged ${[...node.stagings.keys(), ...node.disk.staged.keys()].join()}`);
      for (const key of new Set([...this.#strays(node, node.live), ...this.#strays(node, node.disk.data)]))
        world.violated(`I5: ${node.name} has ${key}, which is not its own`);
    }
    this.#clients.check((key) => this.node(ownerOf(register.map, slotOf(key)))!.disk.data.get(key) ?? []);
    for (const node of nodes)
      for (const [key, list] of node.live)
        if (String(list) !== String(node.disk.data.get(key))) world.violated(`I3: ${node.name} has ${key} not on disk`);
  }
}

/** What stays waits for the node. */
const takenOf = (dead: NodeModel, map: SlotMap): readonly OwnedRange[] =>
  map.ranges.filter((range) => range.owner === dead.name && dead.replicaHas(range));

const idle = ({ sources, targets }: NodeModel): boolean =>
  [...sources.values(), ...targets.values()].every(({ state }) => !("deadlineMs" in state));
