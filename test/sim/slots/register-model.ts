import { makeClaim, piecesOf, type Claim, type ClaimOutcome, type SlotMap } from "../../../src/kv/slots/slot-map.ts";
import type { Faults } from "./scenario.ts";
import type { World } from "./world.ts";

export interface LeaseCell {
  readonly version: number;
  readonly revoked: boolean;
}

/** The register, and the way to it: slow, away, answers lost, requests late. What it does, it does at one moment. */
export class RegisterModel {
  map: SlotMap;
  readonly leases = new Map<string, LeaseCell>();
  readonly #world: World;
  readonly #faults: Faults;
  awayUntilMs = 0;

  constructor(world: World, faults: Faults, map: SlotMap) {
    this.#world = world;
    this.#faults = faults;
    this.map = map;
  }

  read(answer: (map: SlotMap) => void): void {
    this.#call(() => this.map, answer);
  }

  /** As a node does from time to time. */
  look(answer: (map: SlotMap, leases: ReadonlyMap<string, LeaseCell>) => void): void {
    this.#call(
      () => ({ map: this.map, leases: new Map(this.leases) }),
      ({ map, leases }) => answer(map, leases),
    );
  }

  claim(claim: Claim, answer: (outcome: ClaimOutcome) => void, onMade?: () => void): void {
    this.#call(() => {
      const ranges = this.#faults.mutant === "claim-without-epoch" ? piecesOf(this.map, claim.ranges) : claim.ranges;
      const outcome = makeClaim(this.map, { ...claim, ranges });
      this.map = outcome.map;
      this.#world.trace?.(
        `register ${outcome.kind} ${claim.by} for ${claim.owner}: ${ranges.map(({ start, end, epoch }) => `${start}-${end}@${epoch}`).join()} → ${outcome.map.epoch}`,
      );
      if (outcome.kind === "made") onMade?.();
      return outcome;
    }, answer);
  }

  readLease(node: string, answer: (cell: LeaseCell) => void): void {
    this.#call(() => this.leases.get(node) ?? { version: 0, revoked: false }, answer);
  }

  /** Compare-and-set of the cell; undefined: conflict. */
  setLease(node: string, expected: number, revoked: boolean, answer: (version: number | undefined) => void): void {
    this.#call(() => {
      const { version } = this.leases.get(node) ?? { version: 0 };
      if (version !== expected) return undefined;
      this.leases.set(node, { version: version + 1, revoked });
      if (revoked) this.#world.trace?.(`register revokes the lease of ${node}`);
      return version + 1;
    }, answer);
  }

  #call<T>(work: () => T, answer: (result: T) => void): void {
    const world = this.#world;
    const rough = world.nowMs < this.#faults.untilMs;
    const lateMs = rough && world.chance(this.#faults.registerLate) ? world.between(200, 1500) : world.between(0.5, 8);
    world.travels(lateMs, () => {
      if (world.nowMs < this.awayUntilMs) return;
      const result = work();
      if (rough && world.chance(this.#faults.answerLost)) return;
      const late = rough && world.chance(this.#faults.answerLate);
      world.travels(late ? world.between(20, 1500) : world.between(0.5, 8), () => answer(result));
    });
  }
}
