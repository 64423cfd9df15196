import { randomBytes } from "node:crypto";
import { networkInterfaces } from "node:os";
import { AnaxError } from "../../base/errors.ts";
import { isLoopback } from "../clients/admission.ts";
import { CommandError } from "../command-error.ts";
import { claimSlots, readSlotMap, withinCluster } from "../slots/ownership.ts";
import { rangesOf } from "../slots/slot-text.ts";
import { piecesOf, type Claim, type ClaimOutcome, type ExpectedRange, type OwnedRange, type SlotMap } from "../slots/slot-map.ts";
import { claimName, FAILOVER, SETSLOT } from "./claim-name.ts";
import type { ClusterNode } from "./cluster-node.ts";
import type { ClusterKeeper } from "./keeper.ts";
import { changeMembers, type Member } from "./members.ts";
import { followMembership, recordPromotion } from "./roles.ts";

/** Of this node's: slots that came one by one are ranges of their own until they are claimed together. */
const LOOSE_RANGES_MAX = 100;

/** So long MEET looks for a node that is not in the register: one that has just begun to listen soon is. */
const MEET_MS = 2000;
const MEET_LOOK_MS = 25;

/** Somebody else changes the same slots. */
const TRIES_MAX = 5;

type Change = "add" | "release" | "bump" | "tidy" | "forget" | "reset" | typeof SETSLOT | typeof FAILOVER;

const WRITTEN = { keys: "written" } as const;
const KEYS_AFTER: Readonly<Record<Change, Pick<Claim, "keys">>> = {
  add: WRITTEN,
  release: WRITTEN,
  forget: WRITTEN,
  reset: WRITTEN,
  setslot: WRITTEN,
  bump: {},
  tidy: { keys: "levelled" },
  failover: {},
};

/** What commands of CLUSTER have decided in the register. All throw `register.*`, or a `CommandError` where that cannot be. */
export class ClusterChanges {
  readonly #node: ClusterNode;
  readonly #keeper: ClusterKeeper;

  constructor(keeper: ClusterKeeper) {
    this.#keeper = keeper;
    this.#node = keeper.node;
  }

  /** Takes slots that nobody has. */
  add(slots: readonly number[]): Promise<void> {
    return this.#claim(slots, this.#node.id, "add", ({ owner, start }) => {
      if (owner !== "") throw new CommandError(`ERR Slot ${start} is already busy`);
    });
  }

  /** Gives slots back that are this node's. */
  release(slots: readonly number[]): Promise<void> {
    return this.#claim(slots, "", "release", ({ owner, start }) => {
      if (owner === "") throw new CommandError(`ERR Slot ${start} is already unassigned`);
      if (owner !== this.#node.id) throw new CommandError(`ERR Slot ${start} is owned by another node: ask that one`);
    });
  }

  /** A slot whose keys have gone to `to`: asked of the one or the other. */
  assign(slot: number, to: string): Promise<void> {
    const node = this.#node;
    if (node.ownerOf(slot) === to) return Promise.resolve(); // redis-cli tells every node
    return this.#change(async () => {
      await this.#keeper.look();
      const owner = node.ownerOf(slot);
      if (owner === to) return;
      const mayDecide = owner === node.id || owner === "" || (to === node.id && (node.importing.has(slot) || node.failed.has(owner)));
      if (!mayDecide) throw new CommandError(`ERR Slot ${slot} is owned by another node: ask that one, or the one that imports it`);
      await this.#claimNow([slot], to, SETSLOT, () => {});
    });
  }

  /** Its slots get a new epoch, the highest. */
  async bump(kind: "bump" | "tidy" = "bump"): Promise<number> {
    const node = this.#node;
    const own = node.slotsOf(node.id);
    await this.#claim(own, node.id, kind, ({ owner, start }) => {
      if (owner !== node.id) throw new CommandError(`ERR Slot ${start} has gone meanwhile`);
    });
    return node.map.epoch;
  }

  /** What has come slot by slot becomes one range again: a map has to be read by everybody. */
  async tidy(): Promise<void> {
    const node = this.#node;
    const own = node.map.ranges.filter(({ owner }) => owner === node.id);
    if (own.length <= LOOSE_RANGES_MAX || own.length <= 2 * rangesOf(node.slotsOf(node.id)).length) return;
    if (!node.leaseHolds || node.migrating.size > 0 || [...node.usesEpochs].some((uses) => uses())) return;
    // Slots that have gone meanwhile are no matter here: it is looked again.
    await this.bump("tidy").catch((error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
    });
  }

  /** One after the other; the others know before it is said to be done, also of the part of it that was done before it failed. */
  async #change(work: () => Promise<void>): Promise<void> {
    const { known, map, members } = this.#node;
    try {
      await this.#keeper.inTurn(work);
    } finally {
      const { known: now, map: mapNow, members: membersNow } = this.#node;
      const concerned = new Map([...known, ...now].map((member) => [member.id, member]));
      if (map !== mapNow || members !== membersNow) await this.#keeper.tellNews(concerned.values());
    }
  }

  #claim(slots: readonly number[], owner: string, kind: Change, check: (piece: OwnedRange) => void): Promise<void> {
    return this.#change(() => this.#claimNow(slots, owner, kind, check));
  }

  async #claimNow(slots: readonly number[], owner: string, kind: Change, check: (piece: OwnedRange) => void): Promise<void> {
    const node = this.#node;
    const wanted = rangesOf(slots);
    if (wanted.length === 0) return;
    const by = claimName(kind);
    let map = await readSlotMap(node.register);
    for (let tries = 1; ; tries++) {
      const pieces = piecesOf(map, wanted);
      for (const piece of pieces) check(piece);
      const outcome = await this.#made({ ranges: pieces, owner, by, ...KEYS_AFTER[kind] });
      node.learnMap(outcome.map);
      if (outcome.kind !== "refused") return;
      if (tries === TRIES_MAX) throw new CommandError("TRYAGAIN The slots are being changed by another node");
      map = outcome.map;
    }
  }

  /** A claim that gives slots away and may have been made ends this node's right to serve, until it has asked. */
  async #made(claim: Claim): Promise<ClaimOutcome> {
    try {
      return await claimSlots(this.#node.register, claim);
    } catch (error) {
      if (claim.owner !== this.#node.id && error instanceof AnaxError && error.code === "register.unknown") this.#keeper.doubt();
      throw error;
    }
  }

  /** Makes this node's cluster and that of the node at this address one. */
  meet(host: string, port: number): Promise<void> {
    return this.#change(async () => {
      const node = this.#node;
      await this.#keeper.look();
      if (isAt(node.self, node.self, host, port)) return;
      const other = await this.#memberAt(host, port);
      if (other === undefined)
        throw new CommandError(`ERR No node at ${host}:${port} uses this node's register: start it with the same cluster-register`);
      if (other.cluster === node.self.cluster) return;
      const sizeOf = async (cluster: string): Promise<SlotMap> => readSlotMap(withinCluster(node.register, () => cluster));
      const [own, theirs] = [await readSlotMap(node.register), await sizeOf(other.cluster)];
      const joins = slotCount(own) <= slotCount(theirs);
      const [from, to] = joins ? [node.self.cluster, other.cluster] : [other.cluster, node.self.cluster];
      await this.#merge(joins ? own : theirs, to);
      node.learnMembers(
        await changeMembers(node.register, (all) => all.map((member) => (member.cluster === from ? { ...member, cluster: to } : member))),
      );
      await this.#keeper.look();
    });
  }

  async #memberAt(host: string, port: number): Promise<Member | undefined> {
    const node = this.#node;
    const { clock } = node.store;
    for (const untilMs = clock.nowMs() + MEET_MS; ; await this.#keeper.look()) {
      const found = node.members.all.findLast((member) => member.id !== node.id && isAt(member, node.self, host, port));
      if (found !== undefined || clock.nowMs() >= untilMs) return found;
      await clock.sleep(MEET_LOOK_MS);
    }
  }

  /** Has what a map says of owners said in another cluster's. */
  async #merge(map: SlotMap, cluster: string): Promise<void> {
    const register = withinCluster(this.#node.register, () => cluster);
    const owners = new Set(map.ranges.map(({ owner }) => owner).filter((owner) => owner !== ""));
    for (const owner of owners) {
      const ranges = map.ranges.filter((range) => range.owner === owner);
      const pieces: readonly ExpectedRange[] = piecesOf(await readSlotMap(register), ranges).map((piece) => {
        if (piece.owner !== "" && piece.owner !== owner) throw new CommandError(`ERR Slot ${piece.start} has an owner in both clusters`);
        return piece;
      });
      const outcome = await claimSlots(register, { ranges: pieces, owner, by: claimName("meet"), keys: "moved" });
      if (outcome.kind === "refused") throw new CommandError("TRYAGAIN The slots are being changed by another node");
    }
  }

  /** A node leaves the cluster, and is alone then. */
  forget(id: string): Promise<void> {
    return this.#change(async () => {
      const node = this.#node;
      await this.#keeper.look();
      const member = node.member(id);
      // Who has been forgotten at one node is so everywhere: the others are told as well.
      if (member === undefined && node.members.all.some((other) => other.id === id)) return;
      if (member === undefined) throw new CommandError(`ERR Unknown node ${id}`);
      if (node.slotsOf(id).length > 0) {
        if (!node.failed.has(id)) throw new CommandError(`ERR Node ${id} owns slots: move them first`);
        await this.#claimNow(node.slotsOf(id), "", "forget", () => {});
      }
      node.learnMembers(await changeMembers(node.register, (all) => all.map((other) => (other.id === id ? forgotten(other) : other))));
    });
  }

  /** Becomes a replica of that node. */
  replicate(id: string): Promise<void> {
    return this.#change(async () => {
      const node = this.#node;
      const follows = (all: readonly Member[]): readonly Member[] => {
        const to = all.find((other) => other.id === id);
        const self = all.find((other) => other.id === node.id);
        if (to === undefined || to.cluster !== self?.cluster) throw new CommandError(`ERR Unknown node ${id}`); // forgotten meanwhile
        return all.map((other) => (other === self ? { ...self, primary: id, shard: to.shard } : other));
      };
      node.learnMembers(await changeMembers(node.register, follows));
      followMembership(node);
    });
  }

  /** Leaves the cluster and forgets its slots. */
  reset(): Promise<void> {
    return this.#change(async () => {
      const node = this.#node;
      await this.#claimNow(node.slotsOf(node.id), "", "reset", () => {});
      node.had.fill(0);
      node.migrating.clear();
      node.importing.clear();
      node.learnMembers(await changeMembers(node.register, (all) => all.map((other) => (other.id === node.id ? alone(other) : other))));
      await this.#keeper.look();
    });
  }

  setConfigEpoch(epoch: number): Promise<void> {
    return this.#change(async () => {
      const node = this.#node;
      const change = (other: Member): Member => (other.id === node.id ? { ...other, configEpoch: epoch } : other);
      node.learnMembers(await changeMembers(node.register, (all) => all.map(change)));
    });
  }

  /** This node's slots go to a replica that has everything: it is that one's from the register's answer on. Writes wait for it, so that it waits for nobody. `check` may throw, at the last moment. */
  handOver(to: string, check: () => void): Promise<void> {
    return this.#keeper.inTurn(async () => {
      const node = this.#node;
      check();
      await this.#claimNow(node.slotsOf(node.id), to, FAILOVER, () => {});
      await recordPromotion(node, to, node.id);
      followMembership(node);
      void this.#keeper.tellNews();
    });
  }
}

const slotCount = ({ ranges }: SlotMap): number =>
  ranges.reduce((sum, { owner, start, end }) => sum + (owner === "" ? 0 : end - start + 1), 0);

/** With a shard of its own again. */
function alone(member: Member): Member {
  const fresh = randomBytes(20).toString("hex");
  return { ...member, cluster: fresh, shard: fresh, primary: "", configEpoch: 0 };
}

/** A replica stays one: what it has is a copy, which CLUSTER RESET may remove. */
const forgotten = (member: Member): Member =>
  member.primary === "" ? alone(member) : { ...alone(member), shard: member.shard, primary: member.primary };

/** Whether a node listens at this address, as it is seen from the machine of `from`. */
function isAt(member: Member, from: Member, host: string, port: number): boolean {
  if (member.port !== port && member.tlsPort !== port) return false;
  return member.host === host || (member.machine === from.machine && (isLoopback(host) || isOwnAddress(host)));
}

const isOwnAddress = (host: string): boolean =>
  Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === host) === true);
