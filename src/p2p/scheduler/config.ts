import { z } from "zod";
import { duration } from "../../base/quantity.ts";

/** Settings of the scheduler: which peer gets its pieces from where. */
export const SchedulerConfig = z.strictObject({
  sourceReadersMax: z.int().min(1).max(64).default(1).describe("Peers of one task that may read the source at the same time."),
  sourceShareMax: z
    .int()
    .min(1)
    .max(64)
    .default(8)
    .describe(
      "Peers among which one reading of a source is divided when its reader holds the others up, a part for each; 1: one reads it all.",
    ),
  rescueReadersMax: z
    .int()
    .min(0)
    .max(64)
    .default(1)
    .describe("Peers of one task that may read the source besides, because they reach no peer that has the content."),
  parentsMax: z.int().min(1).max(20).default(8).describe("Parents offered to a peer at once."),
  neighboursMax: z
    .int()
    .min(2)
    .max(64)
    .default(24)
    .describe(
      "Neighbours that a daemon of ours is given to trade pieces with; it keeps at least two thirds, and gets two thirds more at most.",
    ),
  rootNeighboursMax: z
    .int()
    .min(1)
    .max(10_000)
    .default(48)
    .describe("Neighbours of a peer that reads the source or has everything; beyond, others pass on what it has."),
  blockFirstMs: duration({ min: "100ms", max: "10m" })
    .prefault("2s")
    .describe("How long a peer is kept from a parent that failed it; doubles each time."),
  blockMaxMs: duration({ min: "100ms", max: "1h" }).prefault("1m").describe("The longest time a peer is kept from a parent."),
  blockRelaxedMs: duration({ min: "0ms", max: "10m" })
    .prefault("1s")
    .describe("The shortest time a block holds when a peer has no other parent."),
  distrustMs: duration({ min: "1s", max: "1h" })
    .prefault("30s")
    .describe("How long a peer that failed several hosts is offered to nobody."),
  distrustHosts: z.int().min(2).max(1000).default(3).describe("Hosts that must have failed on a peer before it is offered to nobody."),
  uploadSlotsDefault: z.int().min(1).max(10_000).default(32).describe("Uploads at once that a host is trusted with when it does not say."),
  heartbeatIntervalMs: duration({ min: "100ms", max: "1m" })
    .prefault("1s")
    .describe("How often an attached host must give a sign of life."),
  heartbeatMissesMax: z.int().min(1).max(100).default(3).describe("Missed heartbeats after which a host is taken out of service."),
  announceIntervalDefaultMs: duration({ min: "1s", max: "1h" })
    .prefault("5m")
    .describe("Time between the announcements of a foreign host that does not say."),
  seedTriggerTimeoutMs: duration({ min: "100ms", max: "5m" })
    .prefault("3s")
    .describe("How long a seed may take from the order to its first report."),
  seedTroubleMs: duration({ min: "0ms", max: "1h" }).prefault("15s").describe("How long a seed that failed an order gets no other."),
  diskBusyPercent: z
    .int()
    .min(1)
    .max(100)
    .default(85)
    .describe("A seed whose disk is used (bytes or inodes) to this share gets new tasks only where no other can take them."),
  diskFullPercent: z
    .int()
    .min(1)
    .max(100)
    .default(95)
    .describe("A host whose disk is used to this share is given nothing new to read from a source; what it has it still serves."),
  sourceStallTimeoutMs: duration({ min: "1s", max: "1h" })
    .prefault("30s")
    .describe("Time without a piece after which a second peer may read the source."),
  sourceFailuresMax: z
    .int()
    .min(1)
    .max(1000)
    .default(3)
    .describe("Readers in a row that the source failed without one piece, after which all who wait are told."),
  fruitlessMax: z
    .int()
    .min(1)
    .max(1000)
    .default(3)
    .describe("Reports of useless parents without a piece in between, after which a peer may read the source itself."),
  waitTimeoutMs: duration({ min: "1s", max: "24h" })
    .prefault("20s")
    .describe("How long a peer waits for its first parent before it is helped or told to give up."),
  prospectTimeoutMs: duration({ min: "100ms", max: "1h" })
    .prefault("5s")
    .describe("How long a peer waits that may not read the source while nobody else has the content."),
  settleMs: duration({ min: "0ms", max: "5m" })
    .prefault("1s")
    .describe("After the start: time for hosts to come back with what they store, before anyone is sent to the source."),
  pushIntervalMs: duration({ min: "10ms", max: "1m" }).prefault("250ms").describe("Shortest time between two unasked offers to one peer."),
  tickIntervalMs: duration({ min: "10ms", max: "10s" }).prefault("200ms").describe("How often deadlines are looked at."),
  hostGraceMs: duration({ min: "0ms", max: "1m" })
    .prefault("1s")
    .describe("How long a registration waits for its host to announce itself, as both may be under way at once."),
  registersWaitingMax: z.int().min(0).default(10_000).describe("Registrations that wait so at the same time; more are refused."),
  hostsMax: z.int().min(1).default(20_000).describe("Hosts kept; beyond, silent ones are forgotten first, then new ones refused."),
  tasksMax: z
    .int()
    .min(1)
    .default(200_000)
    .describe("Tasks kept; beyond, those without a running download are forgotten, longest unused first."),
  peersMax: z.int().min(1).default(500_000).describe("Peers kept; beyond, failed ones are forgotten first, then new ones refused."),
  streamsMax: z.int().min(1).default(100_000).describe("Downloads and hosts that are connected at once; more are refused."),
  triggersMax: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .describe("Orders to seeds under way at once; beyond, peers read the source themselves."),
  inventoryTasksMax: z.int().min(1).default(100_000).describe("Tasks that one host may bring along when it attaches."),
  hostForgetMs: duration({ min: "1s", max: "30d" }).prefault("10m").describe("Silence after which a host and its peers are forgotten."),
  peerForgetMs: duration({ min: "1s", max: "30d" }).prefault("2m").describe("How long a failed peer is kept, so that it can be explained."),
  taskForgetMs: duration({ min: "1s", max: "30d" })
    .prefault("10m")
    .describe("How long a task without peers is kept, so that it can be explained."),
  eventsPerTaskMax: z.int().min(1).max(10_000).default(64).describe("Events kept per task for explanations; the oldest go first."),
});
export type SchedulerConfig = z.infer<typeof SchedulerConfig>;
