import { AnaxError } from "../../base/errors.ts";
import type {
  ListTaskEntriesRequest,
  ListTaskEntriesResponse,
  StatLocalTaskRequest,
  StatLocalTaskResponse,
} from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import type { Task as WireTask } from "../../wire/grpc/gen/common/v2/common.ts";
import { msOf } from "../../wire/grpc/time.ts";
import { parseTaskId, type TaskId } from "../model/ids.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import type { Sources } from "../source/types.ts";
import { objectStorageOf, pemOf, wireStatOf } from "./api.ts";
import type { Schedulers } from "./schedulers.ts";
import type { Clock } from "../../base/clock.ts";

/** What both services of the daemon answer about tasks, apart from downloading them. */
export interface TaskQueries {
  stored(taskId: string): StoredTask;
  statLocal(request: StatLocalTaskRequest): StatLocalTaskResponse;
  stat(taskId: string, signal: AbortSignal): Promise<WireTask>;
  /** Deletes here; the schedulers hear of it from the store. */
  deleteLocal(taskId: string): Promise<void>;
  delete(taskId: string, signal: AbortSignal): Promise<void>;
  listEntries(request: ListTaskEntriesRequest, signal: AbortSignal): Promise<ListTaskEntriesResponse>;
}

const LIST_DEFAULT_MS = 60_000;

export function createTaskQueries(parts: {
  readonly store: PieceStore;
  readonly sources: Sources;
  readonly schedulers: Pick<Schedulers, "statTask" | "deleteTask">;
  readonly clock: Clock;
}): TaskQueries {
  const { store, sources, schedulers, clock } = parts;
  const find = (text: string): StoredTask => {
    const stored = store.find(parseTaskId(text));
    if (stored === undefined) throw new AnaxError("task.not-found", { task: text });
    return stored;
  };
  const queries: TaskQueries = {
    stored: find,
    statLocal: ({ taskId }) => wireStatOf(find(taskId)),
    stat: async (taskId, signal) => schedulers.statTask(parseTaskId(taskId), signal),
    // The name that an output shares with the content stays when ours goes: that is no reason to refuse.
    deleteLocal: async (taskId) => store.remove(parseTaskId(taskId), { ignore: ["hard-link"] }),
    async delete(taskId, signal) {
      const id: TaskId = parseTaskId(taskId);
      const here = store.find(id) !== undefined;
      if (here) await store.remove(id);
      // Without a scheduler there is nobody else to tell; a task that was here is gone either way.
      await schedulers.deleteTask(id, signal).catch((thrown: unknown) => {
        if (!here) throw thrown;
      });
    },
    async listEntries(request, signal) {
      const timeoutMs = request.timeout === undefined ? LIST_DEFAULT_MS : Math.max(1, msOf(request.timeout));
      using deadline = clock.deadline(timeoutMs, signal);
      if (URL.parse(request.url) === null) throw new AnaxError("input.invalid", { reason: "not a URL", url: request.url.slice(0, 256) });
      const entries = await sources.list({
        url: request.url,
        headers: request.requestHeader,
        certificateChain: pemOf(request.certificateChain),
        objectStorage: objectStorageOf(request),
        signal: deadline.signal,
      });
      return {
        contentLength: 0,
        responseHeader: {},
        statusCode: 200,
        entries: entries.map(({ url, contentLength, isDirectory }) => ({ url, contentLength, isDir: isDirectory })),
      };
    },
  };
  return queries;
}
