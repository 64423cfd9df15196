import { z } from "zod";
import { byteSize, duration } from "../../base/quantity.ts";

export const PiecesConfig = z
  .strictObject({
    quotaBytes: byteSize({ min: "0", max: "8192TiB" })
      .prefault("0")
      .describe("Most bytes that content may take on disk; 0: only the disk is the limit."),
    diskFreeMinBytes: byteSize({ min: "0", max: "8192TiB" })
      .prefault("256MiB")
      .describe("Bytes of the disk that are never reserved for content; on small disks at most 5 % of the disk."),
    diskFullPercent: z
      .int()
      .min(1)
      .max(100)
      .default(95)
      .describe("From this share of the disk on, whoever uses it, nothing more is stored; what is stored is served."),
    diskHighPercent: z
      .int()
      .min(1)
      .max(100)
      .default(85)
      .describe("Content over this share of the room on the disk that nobody else uses is collected, least recently used first."),
    diskLowPercent: z.int().min(0).max(100).default(70).describe("A collection over the high share goes on down to this one."),
    taskTtlMs: duration({ min: "1m", max: "3650d" }).prefault("30d").describe("Content that nobody used for this long is collected."),
    collectIntervalMs: duration({ min: "100ms", max: "1d" }).prefault("1m").describe("Time between two collections."),
    accountIntervalMs: duration({ min: "1m", max: "30d" })
      .prefault("1h")
      .describe("Time between two comparisons of what content is counted to take with what its files take on the disk."),
    spaceWaitMs: duration({ min: "0ms", max: "1d" })
      .prefault("30s")
      .describe("How long a download waits for the space that other downloads hold, before it is told that the disk is full."),
    commitIntervalMs: duration({ min: "1ms", max: "10s" })
      .prefault("100ms")
      .describe("Longest time that a stored piece waits to be recorded; what a crash in it loses is fetched again."),
    commitPiecesMax: z.int().min(1).max(65_536).default(64).describe("Stored pieces that are recorded at once, before the interval ends."),
    openFilesMax: z.int().min(8).max(65_536).default(512).describe("Content files kept open; those in use stay open beyond it."),
    verifyParallelMax: z.int().min(1).max(16).default(2).describe("Tasks whose pieces are verified at the same time after a restart."),
    syncOnFinish: z
      .boolean()
      .default(true)
      .describe("A download is done only when the disk has confirmed it; false: the confirmation follows in the background."),
  })
  .refine((config) => config.diskLowPercent <= config.diskHighPercent, {
    message: "diskLowPercent is above diskHighPercent",
    path: ["diskLowPercent"],
  });
export type PiecesConfig = z.infer<typeof PiecesConfig>;
