import { AnaxError, errorOf } from "../../base/errors.ts";
import type { ExplainTaskRequest } from "../../wire/grpc/gen/anax/v1/common.ts";
import {
  DaemonService,
  type DaemonInfo,
  type ExplainDaemonResponse,
  type Listener,
  type LocalTask,
  type TaskVerdict,
} from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { serviceOf, type GrpcService } from "../../wire/grpc/service.ts";
import { timestampOf, wallMsOf } from "../../wire/grpc/time.ts";
import { parseTaskId } from "../model/ids.ts";
import { PINNED_FOR_GOOD, type PieceStore, type Verdict } from "../pieces/types.ts";
import { localTaskOf } from "./api.ts";
import { downloadFiles, type DownloadFilesParts } from "./download-files.ts";
import type { HostFacts } from "./host.ts";
import type { PeerIds } from "./peer-ids.ts";
import type { Schedulers } from "./schedulers.ts";

export interface AnaxServiceParts extends DownloadFilesParts {
  readonly store: PieceStore;
  readonly schedulers: Pick<Schedulers, "explain" | "states">;
  readonly peerIds: PeerIds;
  readonly host: HostFacts;
  readonly version: string;
  readonly dataDir: string;
  readonly listeners: () => readonly Listener[];
}

/** Far fewer than what a message may hold. */
const VERDICTS_AT_ONCE = 256;

/** `anax.v1.Daemon`, for our own tools. */
export function createAnaxService(parts: AnaxServiceParts): GrpcService {
  const startedAt = timestampOf(parts.clock.wallMs());
  return serviceOf(DaemonService, {
    explain: (request, call) => explain(request, call.signal, parts),
    async *listTasks() {
      await parts.store.askInUse();
      for (const stored of parts.store.list()) yield localTaskOf(stored);
    },
    pinTask: async ({ taskId, until }) => {
      await parts.store.pin(parseTaskId(taskId), until === undefined ? PINNED_FOR_GOOD : wallMsOf(until));
      return localTask(taskId, parts.store);
    },
    unpinTask: async ({ taskId }) => {
      await parts.store.unpin(parseTaskId(taskId));
      return localTask(taskId, parts.store);
    },
    async *collectTasks({ dryRun, freeBytes }) {
      const { verdicts, ...sums } = await parts.store.collect({ dryRun, freeBytes });
      for (let from = 0; from === 0 || from < verdicts.length; from += VERDICTS_AT_ONCE)
        yield { ...sums, verdicts: verdicts.slice(from, from + VERDICTS_AT_ONCE).map(verdictOf) };
    },
    downloadFiles: (request, call) => downloadFiles(request, call.signal, parts),
    info: (): DaemonInfo => ({
      version: parts.version,
      pid: process.pid,
      host: parts.host.message(),
      dataDir: parts.dataDir,
      listeners: parts.listeners(),
      schedulers: parts.schedulers.states.map(({ address, state }) => `${address} (${state})`),
      startedAt,
    }),
  });
}

/** As it is now. Throws `task.not-found`. */
function localTask(text: string, store: PieceStore): LocalTask {
  const stored = store.find(parseTaskId(text));
  if (stored === undefined) throw new AnaxError("task.not-found", { task: text });
  return localTaskOf(stored);
}

function verdictOf({ id, accessedAtMs, inUse, usedBy, ...verdict }: Verdict): TaskVerdict {
  return { taskId: id, accessedAt: timestampOf(accessedAtMs), inUse: [...inUse], usedBy: [...usedBy], ...verdict };
}

/** Both halves of a task's story. That the scheduler does not answer is part of it. */
async function explain(
  { taskId: text, peer }: ExplainTaskRequest,
  signal: AbortSignal,
  parts: AnaxServiceParts,
): Promise<ExplainDaemonResponse> {
  const taskId = parseTaskId(text);
  const stored = parts.store.find(taskId);
  const events = parts.stories.of(taskId);
  const asked = await parts.schedulers.explain(taskId, peer, signal).then(
    (scheduler) => ({ scheduler, error: undefined }),
    (thrown: unknown) => ({ scheduler: undefined, error: errorOf(thrown) }),
  );
  if (stored === undefined && events.length === 0 && asked.scheduler === undefined) throw new AnaxError("task.not-found", { task: taskId });
  const peerId = parts.peerIds.peek(taskId) ?? "";
  return {
    local: stored === undefined ? undefined : localTaskOf(stored),
    events: events.map(({ atMs, event, fields }) => ({ at: timestampOf(atMs), peerId, event, fields: { ...fields } })),
    scheduler: asked.scheduler,
    schedulerError: asked.error?.message ?? "",
    ownPeerId: peerId,
  };
}
