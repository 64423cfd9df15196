import type { TaskProgress } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { TaskId } from "../model/ids.ts";
import type { Inventory, RunningTasks } from "./inventory.ts";

/** Tasks named in one heartbeat; with more of them running, each has its turn. */
const TASKS_MAX = 64;

/**
 * How far the running downloads are, for one heartbeat after the other: of those that have gained pieces since they were last named,
 * those that waited longest. It is all that a scheduler of ours hears of pieces.
 */
export function createProgress(inventory: Inventory, running: RunningTasks): () => TaskProgress[] {
  /** Pieces when the task was named last, in the order of that. */
  const told = new Map<TaskId, number>();
  return () => {
    for (const task of told.keys()) if (!running.has(task)) told.delete(task);
    for (const task of running.keys()) if (!told.has(task)) told.set(task, 0);
    const progress: TaskProgress[] = [];
    for (const [task, pieces] of told) {
      const held = inventory.piecesOf(task);
      if (held === undefined || held <= pieces) continue;
      const stored = inventory.find(task);
      const peerId = running.get(task);
      if (stored === undefined || peerId === undefined) continue;
      const { contentLength, pieceLength, finishedPieces } = stored;
      if (finishedPieces.length > 0) progress.push({ taskId: task, peerId, contentLength, pieceLength, finishedPieces });
      told.delete(task); // put last
      told.set(task, held);
      if (progress.length === TASKS_MAX) break;
    }
    return progress;
  };
}
