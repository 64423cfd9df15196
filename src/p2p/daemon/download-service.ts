import { AnaxError } from "../../base/errors.ts";
import type { Download as WireDownload } from "../../wire/grpc/gen/common/v2/common.ts";
import { DfdaemonDownloadService, type DownloadTaskRequest, type DownloadTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { serviceOf, type GrpcService } from "../../wire/grpc/service.ts";
import type { PieceStore } from "../pieces/types.ts";
import { answerDownload } from "./answer-download.ts";
import { rangeWithin, requestOf, wireStatOf } from "./api.ts";
import type { RunningDownloads } from "./downloads.ts";
import { checkOutput, exportOutput } from "./export-output.ts";
import { keptOrPassed, type KeepOrPassParts } from "./keep-or-pass.ts";
import type { Schedulers } from "./schedulers.ts";
import type { TaskQueries } from "./tasks-service.ts";

export interface DownloadServiceParts extends KeepOrPassParts {
  readonly downloads: RunningDownloads;
  readonly store: PieceStore;
  readonly queries: TaskQueries;
  readonly schedulers: Pick<Schedulers, "deleteHost">;
}

/** `DfdaemonDownload`, for programs on this machine: as dfget uses it. What it does not name answers UNIMPLEMENTED. */
export function createDownloadService(parts: DownloadServiceParts): GrpcService {
  const { queries, store, schedulers } = parts;
  return serviceOf(DfdaemonDownloadService, {
    downloadTask: (request, call) => download(request, call.signal, parts),
    statTask: ({ taskId }, call) => queries.stat(taskId, call.signal),
    statLocalTask: (request) => queries.statLocal(request),
    listLocalTasks: () => ({ tasks: store.list().map(wireStatOf) }),
    listTaskEntries: (request, call) => queries.listEntries(request, call.signal),
    async deleteTask({ taskId }, call) {
      await queries.delete(taskId, call.signal);
      return {};
    },
    async deleteLocalTask({ taskId }) {
      await queries.deleteLocal(taskId);
      return {};
    },
    async deleteHost() {
      await schedulers.deleteHost();
      return {};
    },
  });
}

async function* download(
  request: DownloadTaskRequest,
  signal: AbortSignal,
  parts: DownloadServiceParts,
): AsyncGenerator<DownloadTaskResponse> {
  const { downloads, host, memory } = parts;
  const order = request.download;
  if (order === undefined) throw new AnaxError("input.invalid", { reason: "no download in the request" });
  if (order.metadataOnly) throw new AnaxError("rpc.unimplemented", { reason: "metadata_only" });
  if (order.outputPath !== undefined) await checkOutput({ path: order.outputPath, overwrite: order.overwrite });
  const wanted = requestOf(order);
  using held = downloads.start(wanted);
  const way = await keptOrPassed(held, order, { wanted, signal, parts });
  if (way !== "kept") return yield* way;
  yield* answerDownload(held, order, { hostId: host.id, memory, signal });
  if (order.outputPath !== undefined) await deliver(await held.stored, order, order.outputPath, signal);
}

async function deliver(
  stored: Awaited<ReturnType<RunningDownloads["start"]>["stored"]>,
  order: WireDownload,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const range = rangeWithin(order.range, stored.meta.contentLength);
  await exportOutput(stored, { path, overwrite: order.overwrite, forceHardLink: order.forceHardLink, range }, signal);
}
