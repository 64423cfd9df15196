import type { Clock } from "../../../base/clock.ts";
import { errorOf } from "../../../base/errors.ts";
import { Semaphore } from "../../../base/limits.ts";
import type { Log } from "../../../base/log.ts";
import type { TaskId } from "../../model/ids.ts";
import type { PieceStore } from "../../pieces/types.ts";
import type { DaemonConfig } from "../config.ts";
import type { RunningDownloads } from "../downloads.ts";
import type { DaemonMetrics } from "../metrics.ts";
import type { TaskStories } from "../task-story.ts";
import { requestOfRemembered, type Remembered } from "./remembered.ts";
import type { RunningRecord } from "./running-record.ts";

export interface ResumeParts {
  readonly record: RunningRecord;
  readonly downloads: Pick<RunningDownloads, "resume" | "storedOf">;
  readonly store: Pick<PieceStore, "find">;
  readonly config: Pick<DaemonConfig, "resumeMax" | "resumeStartsMax">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<DaemonMetrics, "resumed">;
  readonly stories: TaskStories;
}

/** Why a download that was left running stays as it is. */
type Refusal = "too-late" | "no-progress";

/**
 * Goes on with the downloads that an earlier process left running, some at a time and those that began first at the beginning. Resolves when all of them
 * are over; never throws.
 */
export async function resumeEarlier(parts: ResumeParts, signal: AbortSignal): Promise<void> {
  const earlier = await parts.record.earlier();
  if (earlier.length === 0) return;
  const slots = new Semaphore({ slots: parts.config.resumeMax, waitingMax: earlier.length });
  await Promise.all(
    earlier.map(async ({ taskId }) => {
      const slot = await slots.acquire(signal).catch(() => undefined); // the daemon stops: it stays in the record
      if (slot === undefined) return;
      using _slot = slot;
      await resumeOne(taskId, parts);
    }),
  );
}

async function resumeOne(task: TaskId, parts: ResumeParts): Promise<void> {
  const { record, downloads, store, clock, log, metrics, stories, config } = parts;
  const entry = record.find(task);
  if (entry === undefined || downloads.storedOf(task) !== undefined) return; // its client was here first
  if (store.find(task)?.state === "finished") return record.drop(task);
  const because = refusalOf(entry, clock.wallMs(), config);
  if (because !== undefined) {
    record.drop(task);
    metrics.resumed.inc({ outcome: because });
    stories.tell(task, "download.not-resumed", { because, starts: String(entry.starts) });
    return log.warn("download.not-resumed", { taskId: task, because, starts: entry.starts });
  }
  await record.started(task);
  const held = store.find(task)?.finished.count ?? 0;
  const only = entry.disableBackToSource ? { from: "peers only" } : {};
  stories.tell(task, "download.resumed", { after: "a restart", pieces: String(held), ...only });
  log.info("download.resumed", { taskId: task, pieces: held, ...only });
  using download = downloads.resume(task, requestOfRemembered(entry, clock.wallMs()));
  const outcome = await download.done.then(
    () => "done" as const,
    (thrown: unknown) => errorOf(thrown).code,
  );
  if (outcome !== "daemon.stopping") metrics.resumed.inc({ outcome: outcome === "done" ? "done" : "failed" });
}

export function refusalOf(
  { untilMs, starts }: Pick<Remembered, "untilMs" | "starts">,
  nowMs: number,
  { resumeStartsMax }: Pick<DaemonConfig, "resumeStartsMax">,
): Refusal | undefined {
  if (nowMs >= untilMs) return "too-late";
  return starts >= resumeStartsMax ? "no-progress" : undefined;
}
