import { z } from "zod";
import { duration, rateLimit } from "../../../base/quantity.ts";
import { RATE_CLASSES } from "./types.ts";

const limit = () => rateLimit({ min: "256KiB/s", max: "1TiB/s" }).prefault("0");
const weight = (fallback: number) => z.int().min(1).max(10_000).default(fallback);

/** How much of the links the data plane may use. A size without a time is one per second, as in Dragonfly's `rateLimit`. */
export const RatesConfig = z.strictObject({
  uploadBytesPerSecond: limit().describe("What this machine sends to other peers, of all tasks together (Dragonfly's upload.rateLimit)."),
  downloadBytesPerSecond: limit().describe(
    "What this machine receives from peers and sources, of all tasks together (download.rateLimit).",
  ),
  sourceBytesPerSecond: limit().describe("What this machine reads from sources, of all tasks together; part of downloadBytesPerSecond."),
  taskUploadBytesPerSecond: limit().describe("What this machine sends of one task."),
  taskDownloadBytesPerSecond: limit().describe("What this machine receives of one task, from peers and its source."),
  weights: z
    .strictObject({
      urgent: weight(64).describe("Share of reads that somebody waits for, while more is wanted than a limit allows."),
      normal: weight(8).describe("Share of ordinary downloads (priority 0 or 6) and uploads then."),
      background: weight(1).describe("Share of downloads of a lower priority (1 to 5) then."),
    })
    .prefault({}),
  uploadClass: z
    .enum(RATE_CLASSES)
    .default("normal")
    .describe("Class of what is sent to peers that do not say how urgent it is; background: everything else on this machine comes first."),
  adaptive: z
    .boolean()
    .optional()
    .describe(
      "Background transfers make room for other programs' traffic on the same link. Default: where a limit or linkBytesPerSecond is set.",
    ),
  linkBytesPerSecond: limit().describe("What the link carries in each direction; 0: learned from the highest rate that was seen on it."),
  linkInterfaces: z
    .array(z.string().min(1))
    .max(64)
    .default([])
    .describe("Network interfaces whose traffic counts for that; none: those with a default route, or all but loopback."),
  burstMs: duration({ min: "10ms", max: "1s" })
    .prefault("100ms")
    .describe("Unused time of a limit that may be made up for later, and so the size of a burst."),
});
export type RatesConfig = z.infer<typeof RatesConfig>;
