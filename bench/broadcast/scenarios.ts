import type { Scenario } from "./scenario.ts";

const MIB = 1024 ** 2;
const MBIT = 1e6;

const WITHOUT_FAULTS = { ratioLast: 1.15, originCopies: 1.1 };
const WITH_FAULTS = { ratioLast: 1.25, originCopies: 1.1 };

/**
 * Sizes and rates are such that the links and not two cores decide, of which a host takes a part by the second and a part by the byte. One copy takes
 * 27 s and more, beside which the start of as many `anax get` on one machine, where a real host would start one, does not count for much.
 * Sixteen hosts get as many pieces as eight do: what the first and the last pieces cost is counted in pieces.
 */
const EIGHT = { n: 8, bytes: 256 * MIB, rateBits: 80 * MBIT, delayMs: 1, judged: "last", required: WITHOUT_FAULTS } as const;
const SIXTEEN = { ...EIGHT, n: 16, rateBits: 16 * MBIT } as const;

const ONE_COPY = "each host receives one copy at the rate of its link";

export const SCENARIOS: readonly Scenario[] = [
  { ...EIGHT, name: "flash-8-1ms", title: "all at once, equal links", bound: ONE_COPY, calibrated: true },
  { ...EIGHT, name: "flash-8-20ms", title: "the same, 20 ms each way", delayMs: 20, bound: ONE_COPY, calibrated: true },
  { ...SIXTEEN, name: "flash-16-1ms", title: "all at once, equal links", bound: ONE_COPY, calibrated: true },
  { ...SIXTEEN, name: "flash-16-20ms", title: "the same, 20 ms each way", delayMs: 20, bound: ONE_COPY, calibrated: true },
  { ...EIGHT, name: "fast-origin-8-1ms", title: "the origin sends at four times the rate", originUp: 4, bound: ONE_COPY },
  { ...EIGHT, name: "fast-origin-8-20ms", title: "the same, 20 ms each way", originUp: 4, delayMs: 20, bound: ONE_COPY },
  { ...SIXTEEN, name: "fast-origin-16-1ms", title: "the origin sends at four times the rate", originUp: 4, bound: ONE_COPY },
  { ...SIXTEEN, name: "fast-origin-16-20ms", title: "the same, 20 ms each way", originUp: 4, delayMs: 20, bound: ONE_COPY },
  {
    ...EIGHT,
    name: "loss-8",
    title: "1 % of the packets is lost",
    rateBits: 50 * MBIT, // what is lost are single packets, and those take twice as much of the cores as bundles do
    lossShare: 0.01,
    bound: `${ONE_COPY}, and 1 % again`,
    required: WITH_FAULTS,
  },
  {
    ...SIXTEEN,
    name: "deaths-16",
    title: "a tenth of the hosts (2 of 16) is killed in the middle",
    deaths: { share: 0.1, atBoundShare: 0.5 },
    bound: `${ONE_COPY}; no living one needs the dead`,
    required: WITH_FAULTS,
  },
  {
    ...EIGHT,
    name: "outage-8",
    title: "the scheduler is killed for 30 s while all transfers run",
    rateBits: 50 * MBIT, // one copy takes 43 s, so the outage begins and ends within the transfers
    outage: { atBoundShare: 0.1, lastsMs: 30_000 },
    bound: `${ONE_COPY}, which needs no scheduler`,
    required: WITH_FAULTS,
  },
  {
    ...EIGHT,
    name: "joins-8",
    title: "hosts begin one after the other within 10 s",
    joinsOverMs: 10_000,
    judged: "own",
    bound: `${ONE_COPY} from its own start on`,
  },
  {
    ...EIGHT,
    name: "uplinks-8",
    title: "hosts send at 1/2, 1/2, 1 and 2 times the rate",
    rateBits: 50 * MBIT, // a divided reading takes more of the cores
    uplinks: [0.5, 0.5, 1, 2],
    bound: `${ONE_COPY}; together they send at more than the rate each`,
  },
  {
    ...EIGHT,
    name: "slow-8",
    title: "one host has a quarter of the rate, both ways",
    rateBits: 50 * MBIT, // as above
    slow: { host: 3, share: 0.25 },
    judged: "own",
    bound: `${ONE_COPY}, the slow one at his`,
  },
  {
    ...SIXTEEN,
    name: "racks-16",
    title: "two racks behind a core of 4:1",
    racks: { count: 2, oversubscription: 4 },
    bound: `${ONE_COPY}; the core carries two copies in that time`,
  },
  {
    ...EIGHT,
    name: "half-origin-8",
    title: "the origin sends at half the rate",
    bytes: 128 * MIB,
    originUp: 0.5,
    bound: "the origin sends one copy",
  },
  {
    ...EIGHT,
    name: "small-8",
    title: "64 MiB",
    bytes: 64 * MIB,
    bound: ONE_COPY,
    required: { ...WITHOUT_FAULTS, ratioLast: 1.3 }, // what it takes to begin counts for more
    extra: true,
  },
  {
    ...EIGHT,
    name: "tiny-8",
    title: "1 MiB over slow links",
    bytes: MIB,
    rateBits: 4 * MBIT,
    bound: ONE_COPY,
    required: { ratioLast: 2, originCopies: 1.3 }, // messages to the scheduler and headers are no longer nothing beside the content
    extra: true,
  },
  {
    ...EIGHT,
    name: "racks-8",
    title: "two racks behind a core of 4:1 that carries one copy in the bound's time",
    racks: { count: 2, oversubscription: 4 },
    bound: `${ONE_COPY}, and so does the other rack`,
    extra: true,
  },
  {
    ...EIGHT,
    name: "outage-joins-8",
    title: "hosts begin within 20 s, and from the second on the scheduler is dead for 30 s",
    joinsOverMs: 20_000,
    outage: { atBoundShare: 0.04, lastsMs: 30_000 },
    judged: "own",
    bound: `${ONE_COPY} from its own start on`,
    required: WITH_FAULTS,
    extra: true,
  },
];
