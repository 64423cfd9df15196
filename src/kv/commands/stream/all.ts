import type { Command } from "../command.ts";
import { STREAM_WRITES } from "./add.ts";
import { STREAM_CLAIMS } from "./claim.ts";
import { XGROUP } from "./group.ts";
import { XINFO } from "./info.ts";
import { XPENDING } from "./pending.ts";
import { STREAM_RANGES } from "./range.ts";
import { STREAM_READS } from "./read.ts";

export const STREAM_COMMANDS: readonly Command[] = [
  ...STREAM_WRITES,
  ...STREAM_RANGES,
  ...STREAM_READS,
  ...STREAM_CLAIMS,
  XGROUP,
  XINFO,
  XPENDING,
];
