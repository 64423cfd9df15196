import { z } from "zod";
import { byteSize, duration } from "../../../base/quantity.ts";

/** How our own daemons share a task among each other. */
export const MeshConfig = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe("Trade blocks with our own peers; false: fetch whole pieces from parents, as Dragonfly's peers do."),
  downloadSlots: z
    .int()
    .min(1)
    .max(64)
    .default(8)
    .describe(
      "Pieces of one task that are fetched from our own peers at once; half as many again of those that send little, while pieces take less than a second.",
    ),
  uploadSlots: z
    .int()
    .min(1)
    .max(1024)
    .default(8)
    .describe(
      "Pieces that are sent to our own peers at once, of all tasks, by an uplink as quick as the downlink; follows what is measured, from a quarter to four times as many.",
    ),
  perNeighbourMax: z.int().min(1).max(16).default(2).describe("Pieces that are fetched from one neighbour at once."),
  neighboursMax: z.int().min(1).max(256).default(64).describe("Neighbours of one task; more are turned away."),
  tickMs: duration({ min: "1ms", max: "1s" })
    .prefault("20ms")
    .describe("How long news for the neighbours are gathered at least; up to ten times as long where pieces take long."),
  stallMs: duration({ min: "50ms", max: "1m" })
    .prefault("1s")
    .describe("A piece of which nothing came for so long, or for half of what pieces take, is asked of another neighbour."),
  avoidMs: duration({ min: "10ms", max: "10m" })
    .prefault("1s")
    .describe("How long a neighbour that failed is not asked again; doubles each time."),
  reofferMs: duration({ min: "10ms", max: "1m" })
    .prefault("1500ms")
    .describe(
      "Whoever reads the source sends each piece once before any twice: so long, or four times what a piece takes to be sent, it offers a piece that it sent to nobody else.",
    ),
  connectMs: duration({ min: "10ms", max: "5m" }).prefault("3s").describe("Time to connect to a neighbour."),
  idleMs: duration({ min: "100ms", max: "1d" }).prefault("1m").describe("How long a connection without a request is kept."),
  connectionsMax: z.int().min(1).max(100_000).default(1024).describe("Connections to neighbours, of all tasks."),
  receiveBytesMax: byteSize({ min: "1MiB", max: "16GiB" })
    .prefault("16MiB")
    .describe("Memory for blocks that are arriving, for each size of block in use; with none left, reading waits."),
});
export type MeshConfig = z.infer<typeof MeshConfig>;
