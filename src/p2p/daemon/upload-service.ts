import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import type { Log } from "../../base/log.ts";
import type { Host as WireHost } from "../../wire/grpc/gen/common/v2/common.ts";
import { DfdaemonUploadService, type DownloadTaskRequest, type DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { CallContext } from "../../wire/grpc/open-calls.ts";
import { serviceOf, type GrpcService } from "../../wire/grpc/service.ts";
import type { PieceStore } from "../pieces/types.ts";
import { requestOf } from "./api.ts";
import { answerDownload } from "./answer-download.ts";
import type { DaemonConfig } from "./config.ts";
import type { RunningDownloads } from "./downloads.ts";
import type { HostFacts } from "./host.ts";
import { linkedSignal, type LinkedSignal } from "./linked-signal.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import { syncPieces } from "./sync-pieces.ts";
import type { TaskQueries } from "./tasks-service.ts";

export interface UploadParts {
  readonly downloads: RunningDownloads;
  readonly store: PieceStore;
  readonly queries: TaskQueries;
  readonly host: HostFacts;
  readonly memory: MemoryBudget;
  readonly clock: Clock;
  readonly log: Log;
  readonly config: Pick<DaemonConfig, "syncWaitMs" | "hostStatsMs">;
}

/** `DfdaemonUpload`, for other peers and for schedulers. What it does not name answers UNIMPLEMENTED. */
export function createUploadService(parts: UploadParts): GrpcService {
  const { queries, host, downloads, store, clock, config } = parts;
  const place = () => {
    const { ip, downloadPort } = host.message();
    return { ip, port: downloadPort };
  };
  return serviceOf(DfdaemonUploadService, {
    downloadTask: (request, call) => seed(request, call, parts),
    statTask: ({ taskId }, call) => queries.stat(taskId, call.signal),
    statLocalTask: (request) => queries.statLocal(request),
    listTaskEntries: (request, call) => queries.listEntries(request, call.signal),
    async deleteTask({ taskId }) {
      // From a scheduler: it knows already.
      await queries.deleteLocal(taskId);
      return {};
    },
    async *syncPieces(request, call) {
      using until = stopping(call);
      yield* syncPieces(request, { store, downloads, clock, waitMs: config.syncWaitMs, place }, until.signal);
    },
    syncHost: (_, call) => tellHost(host, { clock, intervalMs: config.hostStatsMs }, call),
  });
}

/**
 * An order of a scheduler to fetch a task for the others. It is carried out to its end although the scheduler may leave: many may
 * be waiting for it, and a scheduler that restarts is no reason to read the source twice.
 */
async function* seed(request: DownloadTaskRequest, call: CallContext, parts: UploadParts): AsyncGenerator<DownloadTaskResponse> {
  const { downloads, host, memory } = parts;
  if (request.download === undefined) throw new AnaxError("input.invalid", { reason: "no download in the request" });
  const { needBackToSource, disableBackToSource } = request.download;
  // Dragonfly's scheduler passes on what the asking peer forbade itself, and orders the seed to read the source nevertheless.
  const order = requestOf({ ...request.download, disableBackToSource: disableBackToSource && !needBackToSource });
  const download = downloads.start(order);
  void download.done.then(
    () => download[Symbol.dispose](),
    () => download[Symbol.dispose](),
  );
  yield* answerDownload(download, { range: undefined, needPieceContent: false }, { hostId: host.id, memory, signal: call.signal });
}

async function* tellHost(
  host: HostFacts,
  { clock, intervalMs }: { readonly clock: Clock; readonly intervalMs: number },
  call: CallContext,
): AsyncGenerator<WireHost> {
  using until = stopping(call);
  while (!until.signal.aborted) {
    yield host.message();
    await clock.sleep(intervalMs, until.signal).catch(() => undefined);
  }
}

/** For answers without an end of their own: over when the caller leaves or this server begins to stop. */
function stopping(call: CallContext): LinkedSignal {
  const until = linkedSignal(call.signal);
  const stop = (): void => until.abort(new AnaxError("rpc.unavailable", { reason: "the daemon is stopping" }));
  if (call.draining.aborted) stop();
  call.draining.addEventListener("abort", stop, { once: true });
  return {
    ...until,
    [Symbol.dispose]() {
      call.draining.removeEventListener("abort", stop);
      until[Symbol.dispose]();
    },
  };
}
