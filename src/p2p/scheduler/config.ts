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
    .describe(
      "How long a peer that may not read the source waits for its first parent while others have the content; ten times as long for one that may, but has to let others go first.",
    ),
  retryInterval: duration({ min: "10ms", max: "1m" })
    .prefault("500ms")
    .describe(
      "One round of waiting for a parent. Nobody is asked again in it, since parents are told as soon as there are some; limits count in it.",
    ),
  retryBackToSourceLimit: z
    .int()
    .min(1)
    .max(10_000)
    .default(4)
    .meta({ formerly: "retryBackSourceLimit" })
    .describe("Rounds that a peer waits in vain, although others have the content, before it may read the source besides, if it ever may."),
  retryLimit: z
    .int()
    .min(1)
    .max(10_000)
    .default(5)
    .describe("Rounds after which a peer that may not read the source is told that nobody has the content."),
  backToSourceCount: z
    .int()
    .min(1)
    .max(10_000)
    .default(200)
    .meta({ formerly: "backSourceCount" })
    .describe("Peers of one task that may read the source at once for whatever reason, those included that others do not wait for."),
  sourceReadersClusterMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(2000)
    .describe("Peers that may read sources at once, of all tasks of this scheduler; beyond, tasks wait in the order in which they came."),
  sourceReadersOriginMax: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(500)
    .describe("Of these, how many may read from one origin: host and port, or bucket."),
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
  peerForgetMs: duration({ min: "1s", max: "30d" }).prefault("2m").describe("How long a failed peer is kept, so that it can be explained."),
  taskForgetMs: duration({ min: "1s", max: "30d" })
    .prefault("10m")
    .describe("How long a task without peers is kept, so that it can be explained."),
  eventsPerTaskMax: z.int().min(1).max(10_000).default(64).describe("Events kept per task for explanations; the oldest go first."),
  decisionsPerTaskMax: z
    .int()
    .min(1)
    .max(10_000)
    .default(64)
    .describe("Decisions kept per task for explanations: so many offers, and as many of all other kinds; eight of each per peer at most."),
  decisionsMax: z
    .int()
    .min(1)
    .max(10_000_000)
    .default(20_000)
    .describe("Decisions kept in all, of about a kilobyte each at most; those of tasks that nothing was decided for go first."),
  gc: z
    .strictObject({
      peerGCInterval: duration({ min: "100ms", max: "1h" })
        .prefault("10s")
        .describe("How often peers and tasks are looked through for such as nobody needs."),
      peerTTL: duration({ min: "1s", max: "365d" })
        .prefault("24h")
        .describe("How long a peer of a foreign host is believed to be there without a word of it. Hosts of ours tell what they have."),
      pieceDownloadTimeout: duration({ min: "1s", max: "30d" })
        .prefault("30m")
        .describe(
          "Time without a piece after which a download of a foreign host counts as failed. Those of ours end with their host or their stream.",
        ),
      hostTTL: duration({ min: "1s", max: "30d" })
        .prefault("1h")
        .describe("Silence after which a host and its peers are forgotten; as parents they are out of service long before."),
    })
    .prefault({}),
});
export type SchedulerConfig = z.infer<typeof SchedulerConfig>;
