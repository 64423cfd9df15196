import type { Clock } from "../../base/clock.ts";
import { errorOf } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Download as WireDownload } from "../../wire/grpc/gen/common/v2/common.ts";
import type { DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { Sources } from "../source/types.ts";
import type { HostFacts } from "./host.ts";
import { orAborted } from "./linked-signal.ts";
import { DOWNLOAD_BYTES } from "./memory/amounts.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import { passThrough } from "./pass-through.ts";
import type { RateLimits } from "./rates/types.ts";
import type { TaskStories } from "./task-story.ts";
import type { Download, DownloadRequest } from "./types.ts";

export interface KeepOrPassParts {
  readonly host: Pick<HostFacts, "id">;
  readonly clock: Clock;
  readonly sources: Sources;
  readonly limits: RateLimits;
  readonly memory: MemoryBudget;
  readonly stories: TaskStories;
  readonly log: Log;
}

/**
 * Waits until the content has its place in the store. Where there is none, and its output need not be kept, the answers with which it goes straight
 * to its output instead; it is there when they end. Throws why neither is possible.
 */
export async function keptOrPassed(
  held: Download,
  order: WireDownload,
  { wanted, signal, parts }: { readonly wanted: DownloadRequest; readonly signal: AbortSignal; readonly parts: KeepOrPassParts },
): Promise<"kept" | AsyncIterable<DownloadTaskResponse>> {
  try {
    await orAborted(held.stored, signal);
    return "kept";
  } catch (thrown) {
    const { outputPath } = order;
    const passes = errorOf(thrown).code === "disk.full" && outputPath !== undefined && !order.forceHardLink && !order.disableBackToSource;
    if (!passes) throw thrown;
    const reason = errorOf(thrown).message;
    parts.stories.tell(held.taskId, "download.passed-through", { reason });
    parts.log.warn("download.passed-through", {
      taskId: held.taskId,
      output: outputPath,
      reason,
      hint: "anax gc --dry-run says what is in use",
    });
    const to = { request: wanted, path: outputPath, overwrite: order.overwrite, range: order.range };
    return passed(held, to, { ...parts, hostId: parts.host.id, signal });
  }
}

async function* passed(
  held: Download,
  to: Parameters<typeof passThrough>[1],
  parts: Parameters<typeof passThrough>[2] & Pick<KeepOrPassParts, "clock" | "memory">,
): AsyncGenerator<DownloadTaskResponse> {
  using deadline = parts.clock.deadline(to.request.timeoutMs, parts.signal);
  using _memory = await parts.memory.reserve(DOWNLOAD_BYTES, deadline.signal);
  yield* passThrough(held, to, { ...parts, signal: deadline.signal });
}
