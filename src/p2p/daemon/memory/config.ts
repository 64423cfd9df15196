import { z } from "zod";
import { byteSize, duration } from "../../../base/quantity.ts";

export const MemoryConfig = z.strictObject({
  maxBytes: byteSize({ min: "0", max: "8192TiB" })
    .prefault("0")
    .describe(
      "Memory of the daemon (resident) beyond which downloads wait for their turn instead of taking more; 0: 80 % of its cgroup's limit, or of the machine.",
    ),
  waitMs: duration({ min: "100ms", max: "1d" })
    .prefault("10m")
    .describe("How long a download waits for memory that others have, before it fails with memory.exhausted."),
  waitingMax: z.int().min(0).max(100_000).default(4096).describe("Downloads that may wait for memory; more are refused."),
});
export type MemoryConfig = z.infer<typeof MemoryConfig>;
