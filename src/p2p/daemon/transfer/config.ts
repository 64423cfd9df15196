import { z } from "zod";
import { byteSize, duration } from "../../../base/quantity.ts";

/** How pieces move between peers: `upload…` is the serving side, `fetch…` the asking one. */
export const TransferConfig = z.strictObject({
  sendfile: z.boolean().default(true).describe("Send pieces with sendfile(2) where the machine can; false: read and write."),
  uploadsMax: z.int().min(1).max(10_000).default(64).describe("Pieces sent to other peers at once."),
  uploadsWaitingMax: z
    .int()
    .min(0)
    .max(100_000)
    .default(1024)
    .describe("Requests that may wait for their turn to be answered; more are refused."),
  uploadWaitMs: duration({ min: "10ms", max: "10m" }).prefault("10s").describe("Longest wait for that turn; then the request is refused."),
  uploadConnectionsMax: z.int().min(1).max(100_000).default(4096).describe("Connections from other peers; more are closed at once."),
  uploadPipelineMax: z.int().min(1).max(1024).default(16).describe("Requests of one connection that are read ahead of their answers."),
  uploadRequestMs: duration({ min: "10ms", max: "10m" })
    .prefault("10s")
    .describe("Time for a request to arrive once it has begun, and for the first one."),
  uploadIdleMs: duration({ min: "10ms", max: "1d" }).prefault("1m").describe("How long a connection may stay open between requests."),
  uploadStallMs: duration({ min: "10ms", max: "1h" })
    .prefault("30s")
    .describe("Longest time in which a peer takes none of a piece's bytes."),
  uploadDrainMs: duration({ min: "0s", max: "10m" }).prefault("5s").describe("Time for uploads to finish when the daemon stops."),
  uploadBufferBytes: byteSize({ min: "8KiB", max: "16MiB" })
    .prefault("512KiB")
    .describe("Bytes of one buffer for what is sent without sendfile; one for each upload at most."),
  fetchConnectionsPerParent: z.int().min(1).max(64).default(2).describe("Connections kept to one parent."),
  fetchPipelineMax: z.int().min(1).max(16).default(4).describe("Requests under way on one connection."),
  fetchConnectionsMax: z.int().min(1).max(10_000).default(256).describe("Connections to all parents together."),
  fetchWaitingMax: z.int().min(0).max(100_000).default(1024).describe("Requests that may wait for one parent; more are refused."),
  fetchConnectMs: duration({ min: "10ms", max: "5m" }).prefault("3s").describe("Time to connect to a parent."),
  fetchHeadMs: duration({ min: "10ms", max: "10m" }).prefault("20s").describe("Time for a parent to begin its answer."),
  fetchStallMs: duration({ min: "10ms", max: "10m" }).prefault("10s").describe("Longest silence of a parent in the middle of a piece."),
  fetchIdleMs: duration({ min: "10ms", max: "1d" })
    .prefault("30s")
    .describe("How long an unused connection is kept; shorter than parents keep theirs."),
  fetchBufferBytes: byteSize({ min: "8KiB", max: "64MiB" })
    .prefault("1MiB")
    .describe("Bytes of one receive buffer; its halves are filled and written in turn."),
  fetchBuffersMax: z.int().min(1).max(4096).default(16).describe("Receive buffers; as many pieces arrive at once."),
  fetchDrainBytesMax: byteSize({ min: "0", max: "1GiB" })
    .prefault("1MiB")
    .describe("Most bytes of a piece that is no longer wanted that are read to keep its connection; with more to come it is closed."),
});
export type TransferConfig = z.infer<typeof TransferConfig>;
