import { randomBytes } from "node:crypto";
import { AnaxError } from "../../base/errors.ts";
import {
  acquireLease,
  leaseRanOut,
  offsetOf,
  releaseLease,
  renewLease,
  watchLease,
  type HeldLease,
  type SeenLease,
} from "../slots/lease.ts";
import { claimSlots, readNewerSlotMap } from "../slots/ownership.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { dropLeftovers } from "./departures.ts";
import { redirectBlocked } from "./lost-clients.ts";
import { claimName } from "./claim-name.ts";
import { Candidacy } from "./candidacy.ts";
import { changeMembers, introduced, NO_MEMBERS, readMembers, type Introduction, type Member } from "./members.ts";
import { followMembership, recordPromotion } from "./roles.ts";

const LENGTH_MS_MIN = 1000;
const RETRY_MS = 200;
const POLL_MS_MIN = 25;
const POLL_MS_MAX = 250;
const START_MS = 3000;

/**
 * Keeps this node's lease, brings what the register says, and has a replica take over. It follows docs/decisions/slot-migration.md: after a start, or when the lease was lost, its slots are
 * claimed anew before they are served.
 */
export class ClusterKeeper implements AsyncDisposable {
  readonly node: ClusterNode;
  readonly candidacy: Candidacy;
  readonly #introduction: () => Introduction;
  readonly #ends = new AbortController();
  #lease: HeldLease | undefined;
  readonly #seen = new Map<string, SeenLease>();
  /** Of the cell that the map was read from, and whose it is. */
  #mapCell = { cluster: "", version: 0 };
  #seenAtMs = -Infinity;
  #turn: Promise<unknown> = Promise.resolve();
  #loops: Promise<unknown> = Promise.resolve();
  #wakes: (() => void) | undefined;
  #thisLook: Promise<void> = Promise.resolve();
  #nextLook: Promise<void> | undefined;
  #complained = "";
  /** Called from time to time, for what may be put together in the slot map. */
  tidy: () => Promise<void> = () => Promise.resolve();
  /** The other nodes are told that the register has something new; resolves when they know, or after a while. */
  tellNews: (members?: Iterable<Member>) => Promise<void> = () => Promise.resolve();
  /** When another's lease was last seen to have changed, by the wall's clock. */
  readonly heardMs = new Map<string, number>();

  constructor(node: ClusterNode, introduction: () => Introduction) {
    this.node = node;
    this.#introduction = introduction;
    this.candidacy = new Candidacy(this);
  }

  /** Begins, and resolves once this node has its place, or after a while without one: then it goes on trying. */
  async start(): Promise<void> {
    const { clock } = this.node.store;
    const first = this.#once(); // what waits for it waits no longer than for the register
    this.#loops = first.then(() => Promise.all([this.#keepLease(), this.#watch()]));
    await Promise.race([first, clock.sleep(START_MS, this.#ends.signal).catch(() => undefined)]);
  }

  /** Of a lease; one that is shorter could not be kept. */
  get lengthMs(): number {
    return Math.max(LENGTH_MS_MIN, this.node.store.parameters["cluster-node-timeout"]);
  }

  get nowMs(): () => number {
    const { clock } = this.node.store;
    return () => clock.nowMs();
  }

  seen(id: string): SeenLease | undefined {
    return this.#seen.get(id);
  }

  /** Bytes of the history that a node had when it last renewed its lease. */
  offsetOf(id: string): number {
    const seen = this.#seen.get(id);
    return seen === undefined ? 0 : offsetOf(seen);
  }

  /** Has this node's place and slots claimed anew. */
  async #begin(): Promise<void> {
    const { node } = this;
    const lease = await acquireLease(node.register, node.id, this.lengthMs, this.nowMs);
    if (lease === undefined) throw new AnaxError("limit.exceeded", { lease: node.id, reason: "somebody else changed it meanwhile" });
    await this.#introduce();
    await this.#readMap();
    for (const done of node.beforeClaim) await done();
    const own = node.map.ranges.filter(({ owner }) => owner === node.id);
    if (own.length > 0) {
      const outcome = await claimSlots(node.register, { ranges: own, owner: node.id, by: claimName("start") });
      node.learnMap(outcome.map);
      if (outcome.kind === "refused")
        throw new AnaxError("limit.exceeded", { slots: own.length, reason: "their owner has changed meanwhile" });
    }
    await this.#settlePlace(lease.takenBy, own.length > 0);
    this.#lease = lease;
    node.servesUntilMs = lease.untilMs;
    followMembership(node);
    dropLeftovers(node);
    node.settle();
    if (own.length > 0) void this.tellNews();
    node.log.info("store.cluster-joined", { node: node.id, cluster: node.self.cluster, slots: node.slotsOf(node.id).length });
  }

  async #introduce(): Promise<void> {
    const fresh = randomBytes(20).toString("hex");
    this.node.learnMembers(await changeMembers(this.node.register, (all) => introduced(all, this.#introduction(), fresh)));
  }

  /** Says in the register what this node is like now. */
  introduce(): void {
    this.inTurn(() => this.#introduce()).catch((error: unknown) => this.#failed(error));
  }

  /** Who owns slots follows nobody; whoever lost all of them to a replica follows that. */
  async #settlePlace(takenBy: string, ownsSlots: boolean): Promise<void> {
    const { node } = this;
    const { self } = node;
    if (ownsSlots && self.primary !== "") await recordPromotion(node, self.id, self.primary);
    const taker = takenBy === self.id ? undefined : node.member(takenBy);
    if (!ownsSlots && self.primary === "" && taker !== undefined && node.slotsOf(taker.id).length > 0)
      await recordPromotion(node, taker.id, self.id);
  }

  /** Whoever took slots over may have been stopped before it could say what that means for the others. */
  async #mendPlace(): Promise<void> {
    const { node } = this;
    const { primary } = node.self;
    if (primary === "" || !node.ownsSlots) return;
    await recordPromotion(node, node.id, primary);
  }

  /** Whether slots were given away nobody knows: they are not served until the register has said so. */
  doubt(): void {
    this.#lease = undefined;
    this.node.servesUntilMs = -Infinity;
  }

  async #keepLease(): Promise<void> {
    while (!this.#ends.signal.aborted) {
      if (!(await this.#pause(this.#lease === undefined ? RETRY_MS : this.lengthMs / 3))) return;
      await this.#once();
    }
  }

  /** Renews the lease, or begins anew where there is none. */
  async #once(): Promise<void> {
    try {
      await (this.#lease === undefined ? this.#begin() : this.#renew(this.#lease));
      this.#complained = "";
      this.node.registerFails = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  async #renew(held: HeldLease): Promise<void> {
    const { node } = this;
    const lease = await renewLease(node.register, { ...held, lengthMs: this.lengthMs }, this.nowMs, node.store.replicationOffset);
    this.#lease = lease;
    if (lease !== undefined) node.servesUntilMs = lease.untilMs;
    else {
      node.servesUntilMs = -Infinity;
      node.log.warn("store.cluster-lease-lost", { node: node.id });
      await this.#begin();
    }
  }

  #failed(error: unknown): void {
    if (!(error instanceof AnaxError)) throw error;
    // Whether it was renewed nobody knows: what is held is good until its end, and then it begins anew.
    if (error.code === "register.unknown") this.#lease = undefined;
    this.node.registerFails = true;
    this.node.release();
    if (this.#complained !== error.message) this.node.log.warn("store.cluster-register-failed", { error });
    this.#complained = error.message;
  }

  async #watch(): Promise<void> {
    const pollMs = (): number => Math.min(POLL_MS_MAX, Math.max(POLL_MS_MIN, this.lengthMs / 20));
    while (await this.#pause(pollMs(), (wake) => (this.#wakes = wake))) {
      try {
        await this.look();
        redirectBlocked(this.node); // it may be down since
        await this.candidacy.consider();
        await this.#mendPlace();
        await this.tidy();
      } catch (error) {
        this.#failed(error);
      }
    }
  }

  /** Reads what the register has from now on: who asks while it is read shares the next reading. Throws `register.*`. */
  refresh(): Promise<void> {
    if (this.#nextLook !== undefined) return this.#nextLook;
    const next = this.#thisLook.then(() => {
      this.#nextLook = undefined;
      const look = this.look();
      this.#thisLook = look.catch(() => undefined);
      return look;
    });
    this.#nextLook = next;
    return next;
  }

  /** The watcher looks at once, as somebody has told that there is something new. */
  poke(): void {
    this.#wakes?.();
  }

  /** Reads what the register has. Throws `register.*`. */
  async look(): Promise<void> {
    const { node } = this;
    node.learnMembers(await readMembers(node.register, node.members));
    if (node.members !== NO_MEMBERS && !node.members.all.some(({ id }) => id === node.id)) this.#lease = undefined; // it was left out: it comes anew
    await this.#readMap();
    if (this.nowMs() - this.#seenAtMs >= this.lengthMs / 10) await this.#readLeases();
    followMembership(node);
  }

  async #readMap(): Promise<void> {
    const { node } = this;
    const { cluster } = node.self;
    const newer = await readNewerSlotMap(node.register, this.#mapCell.cluster === cluster ? this.#mapCell.version : -1);
    if (newer === undefined || cluster !== node.self.cluster) return;
    this.#mapCell = { cluster, version: newer.version };
    const floor = node.floor.cluster === cluster ? node.floor.epoch : 0;
    if (newer.map.epoch < Math.max(floor, node.map.epoch))
      node.log.warn("store.cluster-map-older", { known: node.map.epoch, got: newer.map.epoch });
    else node.learnMap(newer.map);
  }

  async #readLeases(): Promise<void> {
    const { node } = this;
    this.#seenAtMs = this.nowMs();
    const failed = new Set<string>();
    const alive = new Set<string>();
    for (const { id } of node.known) {
      if (id === node.id) continue;
      const before = this.#seen.get(id);
      const seen = await watchLease(node.register, id, before, this.nowMs);
      this.#seen.set(id, seen);
      if (seen !== before) this.heardMs.set(id, Math.round(node.store.clock.wallMs()));
      if (leaseRanOut(seen, this.nowMs())) failed.add(id);
      else if (node.alive.has(id) || (before !== undefined && seen !== before)) alive.add(id);
    }
    for (const id of this.#seen.keys()) if (node.member(id) === undefined) this.#seen.delete(id);
    const changed = !isSame(failed, node.failed) || !isSame(alive, node.alive);
    if (!changed) return;
    for (const id of failed) if (!node.failed.has(id)) node.log.warn("store.cluster-node-failed", { node: id });
    node.failed = failed;
    node.alive = alive;
    node.settle();
  }

  /** One change after the other. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** False: it is over. */
  async #pause(ms: number, onWake: (wake: () => void) => void = () => {}): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<void>();
    onWake(resolve);
    using timer = this.node.store.clock.timer(ms, resolve);
    const { signal } = this.#ends;
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort);
    if (!signal.aborted) await promise;
    signal.removeEventListener("abort", onAbort); // there is one pause after the other
    void timer;
    return !signal.aborted;
  }

  /** Gives the lease back: others need not wait for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ends.abort();
    await this.#loops;
    this.node.servesUntilMs = -Infinity;
    if (this.#lease !== undefined)
      await releaseLease(this.node.register, this.#lease, this.node.store.replicationOffset).catch(() => undefined);
    await this.node.register[Symbol.asyncDispose]();
  }
}

const isSame = (some: ReadonlySet<string>, others: ReadonlySet<string>): boolean =>
  some.size === others.size && [...some].every((one) => others.has(one));
