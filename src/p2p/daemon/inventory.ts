import type { StoredTask as WireStored } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { SourceReading } from "../model/types.ts";

/** A download of this host that is under the scheduler's care. */
export interface RunningTask {
  /** Its name there. */
  readonly peerId: PeerId;
  /** Undefined: it does not read the source. */
  readonly sourceReading: () => SourceReading | undefined;
}

export type RunningTasks = ReadonlyMap<TaskId, RunningTask>;

/** What of this machine's store a scheduler is told. */
export interface Inventory {
  list(): Iterable<WireStored>;
  /** Undefined when nothing of the task is here any more. */
  find(task: TaskId): WireStored | undefined;
  /** How many pieces of it are here; undefined as for `find`. */
  piecesOf(task: TaskId): number | undefined;
  /** The name under which the host took part in a task that is gone; undefined when it never did. */
  peerIdOf(task: TaskId): PeerId | undefined;
}
