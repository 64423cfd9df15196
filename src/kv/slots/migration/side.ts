import type { Log } from "../../../base/log.ts";
import type { Register } from "../../../register/register.ts";
import type { Store } from "../../store.ts";
import type { Arrival, Fence } from "../admission.ts";
import { claimSlots, readSlotMap } from "../ownership.ts";
import { piecesOf, type SlotMap } from "../slot-map.ts";
import type { Failpoints } from "./failpoints.ts";
import type { LinkTarget } from "./link.ts";
import type { Records, StoredRecord } from "./records.ts";
import type { CommonEffect, CommonEvent, MigrationLimits } from "./types.ts";

/** What moving slots need of the node's cluster. */
export interface ClusterSide {
  readonly id: string;
  readonly map: SlotMap;
  /** Its data is its primary's. */
  readonly isReplica: boolean;
  /** The node knows which cluster it belongs to: before that the register would answer for another one, whose map is empty. */
  readonly hasPlace: boolean;
  readonly register: Register;
  ownerOf(slot: number): string;
  /** By CLUSTER SETSLOT. */
  isImporting(slot: number): boolean;
  /** A node is a replica: it has what its primary has, and gets no slots of its own. */
  follows(node: string): boolean;
  /** Where a node's clients connect; undefined: it is not known. */
  addressOf(node: string): LinkTarget | undefined;
  learnMap(map: SlotMap): void;
  setFences(fences: readonly Fence[]): void;
  setArriving(arrivals: readonly Arrival[]): void;
}

/** What both sides of a migration have at hand. */
export interface SideParts {
  readonly store: Store;
  readonly cluster: ClusterSide;
  readonly records: Records;
  readonly limits: MigrationLimits;
  readonly log: Log;
  readonly failpoints: Failpoints;
  /** One turn after the other: what an effect brings about happens after the step that ordered it. */
  readonly inOrder: (turn: () => void) => void;
  /** A job is in another state. */
  readonly changed: (job: string) => void;
}

type RegisterEffect = CommonEffect<unknown> & { readonly do: "readOwnership" | "claim" };

/** Asks the register; what it says, and that it says nothing, is an event. */
export function askRegister(parts: SideParts, effect: RegisterEffect, answer: (event: CommonEvent) => void): void {
  const { call } = effect;
  const asked = async (): Promise<CommonEvent> => {
    try {
      if (!parts.cluster.hasPlace) throw new Error("this node has not found its place in the cluster yet");
      const map = await mapAfter(parts.cluster, effect);
      parts.cluster.learnMap(map);
      return { kind: "ownership", call, pieces: piecesOf(map, effect.do === "claim" ? effect.claim.ranges : effect.ranges) };
    } catch (error) {
      return { kind: "registerFailed", call, reason: reasonOf(error) };
    }
  };
  void asked().then(answer);
}

const mapAfter = async ({ register }: ClusterSide, effect: RegisterEffect): Promise<SlotMap> =>
  effect.do === "claim" ? (await claimSlots(register, effect.claim)).map : readSlotMap(register);

/** Puts what `make` gives on disk, and tells whether it is there. */
export function persist(
  { records, log }: SideParts,
  of: { readonly job: string; readonly record: number },
  make: () => Promise<StoredRecord>,
  answer: (event: CommonEvent) => void,
): void {
  const { job, record } = of;
  records.put(job, make).then(
    () => answer({ kind: "persisted", record }),
    (error: unknown) => {
      log.error("slots.record-failed", { job, error });
      answer({ kind: "persistFailed", record, reason: reasonOf(error) });
    },
  );
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 300);

/** States that are no end have a deadline. */
export const isOpen = ({ state }: { readonly state: object }): boolean => "deadlineMs" in state;
