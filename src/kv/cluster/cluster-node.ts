import type { Log } from "../../base/log.ts";
import type { Register } from "../../register/register.ts";
import type { Client } from "../clients/client.ts";
import { admissionOf, type Admission, type Arrival, type Fence } from "../slots/admission.ts";
import { finishDrops } from "../slots/drop-slots.ts";
import { withinCluster } from "../slots/ownership.ts";
import { SLOT_COUNT } from "../keyspace/key-slot.ts";
import { EMPTY_MAP, overlaps, type SlotMap } from "../slots/slot-map.ts";
import type { Store } from "../store.ts";
import { NO_MEMBERS, type Introduction, type Member, type Members } from "./members.ts";

/** A new map has come: slots that this node owned before it and does not any more. */
export type MapListener = (map: SlotMap, lost: readonly number[]) => void;

const NOBODY = 0;

/**
 * What this node knows of its cluster, and what follows from it for commands: members, slot map, its lease, slots under way. It decides nothing: `keeper.ts` brings news of the
 * register, `changes.ts` asks it for changes, `route.ts` reads what is here for each command.
 */
export class ClusterNode {
  readonly store: Store;
  readonly log: Log;
  /** With this cluster's slot map. */
  readonly register: Register;
  members: Members = NO_MEMBERS;
  /** Of this cluster, this node among them. */
  known: readonly Member[];
  self: Member;
  map: SlotMap = EMPTY_MAP;
  /** Slots on their way by CLUSTER SETSLOT, and the other node. */
  readonly migrating = new Map<number, string>();
  readonly importing = new Map<number, string>();
  /** Until when this node may serve what it owns, on the monotonic clock: the end of its lease, once its slots were claimed anew. */
  servesUntilMs = -Infinity;
  /** The register did not answer when it was asked last. */
  registerFails = false;
  /** All slots have an owner that can be reached, or it does not matter. */
  covered = false;
  /** By slot, 1: it was once this node's, or its primary's while that led it. Keys of other slots that lie here somebody has brought: they are nobody's leftovers. */
  readonly had = new Uint8Array(SLOT_COUNT);
  /** Nodes whose leases have run out. */
  failed: ReadonlySet<string> = new Set();
  /** Nodes that were seen to renew theirs, and whose leases have not run out since. */
  alive: ReadonlySet<string> = new Set();
  /** Told of each newer map, after commands go by it. */
  readonly onMap = new Set<MapListener>();
  /** Told of whatever commands go by, once it has changed. */
  readonly onSettled = new Set<() => void>();
  /** Asked to end before slots are claimed anew, at a start or after the lease was lost: whoever has promised to put something in place first. */
  readonly beforeClaim = new Set<() => Promise<void>>();
  /** Anybody for whom epochs of slots have to stay as they are. */
  readonly usesEpochs = new Set<() => boolean>();
  /** Maps of this cluster that are older than this are refused: it has seen one before its start. */
  floor = { cluster: "", epoch: 0 };
  /** Resolves when what has to survive is on disk. */
  persist: () => Promise<void> = () => Promise.resolve();
  /** Commands that it has taken since its start, by slot. */
  readonly reads = new Float64Array(SLOT_COUNT);
  readonly writes = new Float64Array(SLOT_COUNT);
  #fences: readonly Fence[] = [];
  #arriving: readonly Arrival[] = [];
  /** Numbers of owners by slot; 0: nobody. */
  #owners = new Uint16Array(SLOT_COUNT);
  #names: string[] = [""];
  /** 1: a command for this slot is served without further questions, as long as there is a lease. */
  readonly #open = new Uint8Array(SLOT_COUNT);
  readonly #held = new Set<Client>();

  constructor(store: Store, register: Register, log: Log, introduction: Introduction, fresh: string) {
    this.store = store;
    this.log = log;
    this.self = { cluster: fresh, shard: fresh, primary: "", configEpoch: 0, ...introduction };
    this.known = [this.self];
    this.register = withinCluster(register, () => this.self.cluster);
  }

  get id(): string {
    return this.self.id;
  }

  /** Follows another node: it has one, and the slots are not its own yet. */
  get isReplica(): boolean {
    return this.self.primary !== "" && !this.#names.includes(this.id);
  }

  get ownsSlots(): boolean {
    return this.#names.includes(this.id);
  }

  member(id: string): Member | undefined {
    return this.known.find((member) => member.id === id);
  }

  /** Empty: nobody. */
  ownerOf(slot: number): string {
    return this.#names[this.#owners[slot]!]!;
  }

  /** Slots of a node, in order; of nobody for "". */
  slotsOf(id: string): number[] {
    const number = this.#names.indexOf(id);
    const slots: number[] = [];
    for (let slot = 0; slot < SLOT_COUNT; slot++) if (this.#owners[slot] === number) slots.push(slot);
    return slots;
  }

  /** Whether it may serve what it owns, at the time of the command that runs. */
  get leaseHolds(): boolean {
    return this.store.lookedMs < this.servesUntilMs;
  }

  /** It has just started, or was stopped for a while: the register is being asked, and an answer to a command has time until then. */
  get isSettling(): boolean {
    return !this.leaseHolds && !this.registerFails;
  }

  /** As CLUSTER INFO has it. */
  get isUp(): boolean {
    return this.covered && this.leaseHolds;
  }

  /** For the hot path: nothing else has to be asked for this slot. */
  isOpen(slot: number): boolean {
    return this.#open[slot] === 1 && this.covered && this.store.lookedMs < this.servesUntilMs;
  }

  /** What becomes of a command for a slot that this node may own, where `isOpen` says no. */
  admission(slot: number, writes: boolean, leaseHolds: boolean): Admission {
    const { id: self, map } = this;
    return admissionOf({ self, map, fences: this.#fences, leaseHolds, arriving: this.#arriving }, slot, writes);
  }

  /** Slots that a move has fenced, all of them; commands that wait are asked again. */
  setFences(fences: readonly Fence[]): void {
    this.#fences = fences;
    this.settle();
  }

  /** Slots that the register gave to this node, and that are not in place yet. */
  setArriving(arrivals: readonly Arrival[]): void {
    this.#arriving = arrivals;
    this.settle();
  }

  /** Slots are its own by the map, and their keys are not in place yet. */
  get awaitsOwn(): boolean {
    return this.map.ranges.some((range) => range.owner === this.id && this.#arriving.some((arrival) => overlaps(range, arrival)));
  }

  /** A command has to wait until something about its slots has changed. */
  hold(client: Client): void {
    this.#held.add(client);
  }

  /** It says something else of itself from now on; the register hears of it, too. */
  reannounced(introduction: Introduction): void {
    this.self = { ...this.self, ...introduction };
    this.known = this.known.map((member) => (member.id === this.id ? this.self : member));
  }

  /** An older list is refused. */
  learnMembers(members: Members): void {
    if (members.version <= this.members.version) return;
    this.members = members;
    const self = members.all.find(({ id }) => id === this.id);
    if (self === undefined) return; // it introduces itself anew
    const moved = self.cluster !== this.self.cluster;
    this.self = self;
    this.known = members.all.filter(({ cluster }) => cluster === self.cluster);
    if (moved) this.map = { ...this.map, epoch: 0 }; // another cluster's epochs are others; what is served stays until its map is read
    this.settle();
  }

  /** An older map is refused. */
  learnMap(map: SlotMap): void {
    if (map.epoch <= this.map.epoch || (this.floor.cluster === this.self.cluster && map.epoch < this.floor.epoch)) return;
    const before = this.ownsSlots ? this.slotsOf(this.id) : [];
    this.map = map;
    this.#names = ["", ...new Set(map.ranges.map(({ owner }) => owner).filter((owner) => owner !== ""))];
    const numbers = new Map(this.#names.map((name, number) => [name, number]));
    const owners = new Uint16Array(SLOT_COUNT).fill(NOBODY);
    const leader = this.isReplica ? this.self.primary : this.id;
    for (const { start, end, owner } of map.ranges) {
      owners.fill(numbers.get(owner)!, start, end + 1);
      if (owner === leader || owner === this.id) this.had.fill(1, start, end + 1);
    }
    this.#owners = owners;
    for (const slot of this.migrating.keys()) if (this.ownerOf(slot) !== this.id) this.migrating.delete(slot);
    for (const slot of this.importing.keys()) if (this.ownerOf(slot) === this.id) this.importing.delete(slot);
    finishDrops(
      this.store,
      [...this.store.databases[0]!.dropping.keys()].filter((slot) => this.ownerOf(slot) === this.id),
    ); // it had been another's
    this.settle();
    const lost = before.filter((slot) => this.ownerOf(slot) !== this.id);
    for (const listener of this.onMap) listener(map, lost);
  }

  /** Something that commands go by has changed. */
  settle(): void {
    const open = this.#open.fill(0);
    for (const { start, end, owner } of this.map.ranges) if (owner === this.id) open.fill(1, start, end + 1);
    for (const { start, end } of [...this.#fences, ...this.#arriving]) open.fill(0, start, end + 1);
    for (const slot of this.migrating.keys()) open[slot] = 0;
    this.covered = !this.store.parameters["cluster-require-full-coverage"] || this.#isCovered();
    this.release();
    for (const listener of this.onSettled) listener();
  }

  /** Clients that wait are asked again. */
  release(): void {
    const held = [...this.#held];
    this.#held.clear();
    for (const client of held) this.store.blocked.release(client);
  }

  /** A node that is gone counts as long as one of its replicas may take over. */
  #isCovered(): boolean {
    if (this.#owners.includes(NOBODY)) return false;
    return this.#names.every((owner) => owner === "" || this.#isReached(owner));
  }

  /** The map may name an owner that the list of members does not have yet. */
  #isReached(owner: string): boolean {
    if (!this.failed.has(owner)) return this.member(owner) !== undefined;
    return this.known.some((member) => member.primary === owner && !this.failed.has(member.id));
  }
}
