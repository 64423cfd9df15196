import type { Claim, ExpectedRange, OwnedRange, SlotRange } from "../slot-map.ts";

/** All in milliseconds, bytes or counts; the defaults are `MIGRATION_LIMITS`. */
export interface MigrationLimits {
  /** Longest time that writes of moving slots wait, before the claim; later they get TRYAGAIN. */
  readonly pauseMs: number;
  /** Unacknowledged bytes up to which the slots are fenced; more where they are seen to be applied within a quarter of `pauseMs`. */
  readonly handoverLagBytes: number;
  /** Unacknowledged bytes up to which the walk goes on. */
  readonly windowBytes: number;
  /** Unacknowledged bytes at which the attempt fails, since writers are not slowed down. */
  readonly backlogBytesMax: number;
  readonly heartbeatMs: number;
  readonly silenceMs: number;
  /** For a disk, a connection, a register to answer. */
  readonly answerMs: number;
  readonly pollMs: number;
  /** How long a move is tried before it is given up; the fence stays until that is certain. */
  readonly decideMs: number;
  readonly restMs: number;
  readonly attemptsMax: number;
  readonly fencesMax: number;
}

export const MIGRATION_LIMITS: MigrationLimits = {
  pauseMs: 200,
  handoverLagBytes: 64 * 1024,
  windowBytes: 1024 * 1024,
  backlogBytesMax: 256 * 1024 * 1024,
  heartbeatMs: 500,
  silenceMs: 2000,
  answerMs: 2000,
  pollMs: 50,
  decideMs: 5000,
  restMs: 500,
  attemptsMax: 100,
  fencesMax: 20,
};

/** Frames between the two, each of one attempt of one job. `seq` counts the data frames of an attempt from 1. */
export type Frame = { readonly job: string; readonly attempt: number } & (
  | { readonly kind: "init"; readonly from: string; readonly expected: readonly ExpectedRange[] }
  | { readonly kind: "data"; readonly seq: number; readonly bytes: number; readonly keys: number; readonly payload: unknown }
  /** All up to `seq` is what there will be, if the slots move. */
  | { readonly kind: "fence"; readonly fence: number; readonly seq: number }
  | { readonly kind: "unfence"; readonly fence: number }
  /** The register has decided. */
  | { readonly kind: "look" }
  | { readonly kind: "accept" }
  | { readonly kind: "refuse"; readonly reason: string }
  | { readonly kind: "applied"; readonly seq: number }
  | { readonly kind: "confirm"; readonly fence: number; readonly seq: number }
  | { readonly kind: "ping" }
  | { readonly kind: "cancel"; readonly reason: string }
);

/** What is wanted: these slots of this node, moved there. */
export interface Move {
  readonly job: string;
  readonly ranges: readonly SlotRange[];
  readonly from: string;
  readonly to: string;
}

/** How a claim of an attempt is known in the register. */
export const claimOf = (move: Move, attempt: number, want: "move" | "keep" | "refuse", expected: readonly ExpectedRange[]): Claim => ({
  ranges: expected,
  owner: want === "move" ? move.to : move.from,
  by: want === "move" ? moveName(move, attempt) : `${moveName(move, attempt)}/${want}`,
  ...(want === "move" ? { keys: "moved" } : {}),
});

export const moveName = (move: Move, attempt: number): string => `${move.job}/${attempt}`;

/** What the register has said of the slots, to either side. */
export type RegisterEvent =
  | { readonly kind: "ownership"; readonly call: number; readonly pieces: readonly OwnedRange[] }
  | { readonly kind: "registerFailed"; readonly call: number; readonly reason: string };

export type CommonEvent =
  | RegisterEvent
  /** The record with this number is on disk; or will not be. */
  | { readonly kind: "persisted"; readonly record: number }
  | { readonly kind: "persistFailed"; readonly record: number; readonly reason: string }
  | { readonly kind: "frame"; readonly frame: Frame }
  | { readonly kind: "disconnected"; readonly attempt: number; readonly reason: string }
  | { readonly kind: "tick" }
  | { readonly kind: "cancel" };

/** Both sides' orders; `attempt` names what they are for. Orders are to be done in their order, a `persist` to be answered by an event. */
export type CommonEffect<Persisted> =
  | { readonly do: "persist"; readonly record: number; readonly value: Persisted }
  | { readonly do: "send"; readonly attempt: number; readonly frame: Frame }
  /** At once: what comes of this connection later is dropped. */
  | { readonly do: "disconnect"; readonly attempt: number }
  /** Answered by `ownership` with the slots' pieces, or `registerFailed`. */
  | { readonly do: "readOwnership"; readonly call: number; readonly ranges: readonly SlotRange[] }
  | { readonly do: "claim"; readonly call: number; readonly claim: Claim };

/** What a person sees of a job. */
export interface MigrationStatus {
  readonly job: string;
  readonly role: "source" | "target";
  readonly peer: string;
  readonly ranges: readonly SlotRange[];
  readonly phase: string;
  readonly attempt: number;
  readonly keys: number;
  readonly bytes: number;
  readonly lagBytes: number;
  /** Of all hand-overs so far, together. */
  readonly pausedMs: number;
  readonly fences: number;
  /** Time left; undefined at the end. */
  readonly deadlineInMs: number | undefined;
  readonly waitingFor: string | undefined;
  readonly lastError: string | undefined;
}
