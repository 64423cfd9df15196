import type { Scenario } from "./scenario.ts";

const MIB = 1024 ** 2;
const MBIT = 1e6;

const WITHOUT_FAULTS = { ratioLast: 1.15, originCopies: 1.1 };

/** Sizes and rates are such that the links and not two cores decide: all hosts together receive 800 Mbit/s. */
const EIGHT = { n: 8, bytes: 256 * MIB, rateBits: 100 * MBIT, judged: "last", required: WITHOUT_FAULTS } as const;

const ONE_COPY = "each host receives one copy at the rate of its link";

export const SCENARIOS: readonly Scenario[] = [
  { ...EIGHT, name: "flash-8-1ms", title: "8 hosts at once, equal links", delayMs: 1, bound: ONE_COPY },
];
