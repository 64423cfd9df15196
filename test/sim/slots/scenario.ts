import { createRandom } from "../../../src/base/random.ts";
import type { MigrationLimits } from "../../../src/kv/slots/migration/types.ts";

/** Faults put into the machine on purpose, each of which the checker must find. */
export const MUTANTS = [
  "unfence-by-clock",
  "no-attempt-check",
  "claim-without-epoch",
  "no-lease",
  "confirm-before-durable",
  "start-without-fence-and-claim",
  "older-map-taken",
  "map-read-after-revoking",
  "taker-without-keys",
  "taker-without-holding",
  "strays-stay",
] as const;
export type Mutant = (typeof MUTANTS)[number];

/** How likely things go wrong, each time they could. */
export interface Faults {
  readonly untilMs: number;
  readonly registerLate: number;
  readonly answerLost: number;
  /** What was read or decided comes when others have changed it. */
  readonly answerLate: number;
  readonly registerAway: number;
  readonly frameTwice: number;
  readonly linkBreaks: number;
  readonly linkSilent: number;
  readonly diskFails: number;
  /** For a while: records are refused, and the journal waits for space. */
  readonly diskFull: number;
  /** At each state edge. */
  readonly crashAtEdge: number;
  readonly cancelAtEdge: number;
  readonly freezes: number;
  readonly oldMaps: number;
  /** Of the wall's clock, by which records are in order after a start. */
  readonly clockSteps: number;
  readonly mutant: Mutant | undefined;
}

export const LIMITS: MigrationLimits = {
  pauseMs: 60,
  handoverLagBytes: 60,
  windowBytes: 60,
  backlogBytesMax: 3000,
  heartbeatMs: 60,
  silenceMs: 250,
  answerMs: 150,
  pollMs: 25,
  decideMs: 400,
  restMs: 60,
  attemptsMax: 60,
  fencesMax: 5,
};

export const LEASE_MS = 300;
export const SLOTS = 8;
export const KEYS_PER_SLOT = 2;
export const NODES = ["A", "B", "C"] as const;
export const FAULTS_MS = 2000;

/** Some seeds suffer from everything, others from little: a fault is often found when nothing hides it. */
export function faultsOf(seed: number, mutant?: Mutant): Faults {
  const random = createRandom(seed ^ 0x5107);
  const maybe = (probability: number): number => (random.below(3) === 0 ? 0 : probability * random.next());
  return {
    untilMs: FAULTS_MS,
    registerLate: maybe(0.2),
    answerLost: maybe(0.3),
    registerAway: maybe(0.5),
    frameTwice: maybe(0.1),
    linkBreaks: maybe(0.01),
    linkSilent: maybe(0.01),
    diskFails: maybe(0.02),
    crashAtEdge: maybe(0.05),
    cancelAtEdge: maybe(0.02),
    freezes: maybe(0.3),
    oldMaps: maybe(0.5),
    answerLate: maybe(0.2),
    diskFull: maybe(0.4),
    clockSteps: maybe(1),
    mutant,
  };
}
