import { z } from "zod";
import { duration } from "../../base/quantity.ts";

/** Ports that Dragonfly's peers expect when nobody says otherwise. */
const UPLOAD_PORT = 4000;
const TRANSFER_PORT = 4005;

const port = (fallback: number) => z.int().min(0).max(65_535).default(fallback);

export const DaemonConfig = z.strictObject({
  hostname: z.string().min(1).optional().describe("Name of this machine in the cluster; default: the system's host name."),
  advertiseIp: z
    .string()
    .min(1)
    .optional()
    .describe("Address that others reach this machine by; default: its first address that is not loopback."),
  location: z.string().default("").describe("Place of this machine, from wide to narrow, divided by |, such as eu|berlin|rack-4."),
  idc: z.string().default("").describe("Data centre of this machine."),
  seed: z.boolean().default(false).describe("This daemon reads sources on behalf of the cluster and keeps content for others."),
  share: z.boolean().default(true).describe("Serve pieces to other peers."),
  listenHost: z.string().default("0.0.0.0").describe("Address that the upload service and the piece server listen on."),
  uploadPort: port(UPLOAD_PORT).describe("TCP port of the gRPC service for other peers."),
  transferPort: port(TRANSFER_PORT).describe("TCP port that serves pieces over Vortex."),
  socketPath: z
    .string()
    .min(1)
    .optional()
    .describe("Unix socket for programs on this machine; default: daemon.sock in the data directory."),
  schedulers: z.array(z.string()).default([]).describe("Schedulers as host:port; none means that every task goes to its source."),
  schedulerConnectMs: duration({ min: "100ms", max: "1m" })
    .prefault("2s")
    .describe("How long a new download waits for a scheduler that does not answer before it goes on without one."),
  decisionMs: duration({ min: "1s", max: "10m" })
    .prefault("2m")
    .describe("How long a registered download waits for the scheduler's first decision."),
  schedulerReturnMs: duration({ min: "0s", max: "10m" })
    .prefault("10s")
    .describe("How long a download whose scheduler was lost waits for one before it goes on without."),
  announceIntervalMs: duration({ min: "1s", max: "1h" })
    .prefault("5m")
    .describe("How often this host announces itself to a scheduler that keeps no stream to it (Dragonfly's)."),
  rpcMs: duration({ min: "100ms", max: "5m" }).prefault("10s").describe("Deadline of a single call to a scheduler or peer."),
  downloadsMax: z.int().min(1).max(10_000).default(128).describe("Downloads that run at once."),
  downloadsWaitingMax: z.int().min(0).max(100_000).default(4096).describe("Downloads that wait for their turn; more are refused."),
  resumeMax: z
    .int()
    .min(0)
    .max(1000)
    .default(8)
    .describe("Downloads resumed at once after a restart, of those that the daemon left running; 0: none is resumed."),
  resumeStartsMax: z
    .int()
    .min(1)
    .max(100)
    .default(3)
    .describe("Starts of the daemon in a row that may bring a resumed download no piece; then it is given up."),
  piecesInFlightMax: z.int().min(1).max(64).default(4).describe("Pieces of one task that are fetched at once."),
  parentsMax: z.int().min(1).max(64).default(8).describe("Parents of one task that are used at once."),
  pieceMs: duration({ min: "1s", max: "1h" }).prefault("2m").describe("Deadline of one piece from a parent."),
  parentFailuresMax: z.int().min(1).max(100).default(4).describe("Failures in a row after which a parent is given up for a download."),
  parentBackoffMs: duration({ min: "10ms", max: "1m" }).prefault("200ms").describe("First pause after a parent failed; doubles up to 5 s."),
  noProgressMs: duration({ min: "500ms", max: "10m" })
    .prefault("10s")
    .describe("Time without a new piece after which the scheduler is asked for other parents."),
  reschedulesMax: z
    .int()
    .min(1)
    .max(1000)
    .default(8)
    .describe("Times in a row that parents may turn out useless before a download goes to its source."),
  sourceAttemptsMax: z
    .int()
    .min(1)
    .max(100)
    .default(5)
    .describe("Attempts in a row without a finished piece before reading a source fails."),
  sourceBackoffMs: duration({ min: "10ms", max: "1m" })
    .prefault("250ms")
    .describe("First pause before a broken source read is resumed; doubles up to 10 s."),
  sourceConnectionsMax: z
    .int()
    .min(1)
    .max(32)
    .default(8)
    .describe(
      "Connections over which a daemon reads one source at once, where more than one make it quicker and no neighbour reads a part.",
    ),
  syncWaitMs: duration({ min: "100ms", max: "10m" })
    .prefault("10s")
    .describe("How long another peer that asks for a task's pieces is held when the task has not begun here."),
  hostStatsMs: duration({ min: "100ms", max: "10m" }).prefault("1s").describe("How often this host's load is measured and told."),
});
export type DaemonConfig = z.infer<typeof DaemonConfig>;
