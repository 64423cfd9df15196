import type { TaskProgress } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { durationOf } from "../../wire/grpc/time.ts";
import type { TaskId } from "../model/ids.ts";
import type { Inventory, RunningTasks } from "./inventory.ts";

/** Tasks named in one heartbeat; with more of them running, each has its turn. */
const TASKS_MAX = 64;
const NOTHING = { pieces: 0, sourceBytes: 0 };

/**
 * How far the running downloads are, for one heartbeat after the other: of those that have gained pieces or read their source since they
 * were last named, those that waited longest. It is all that a scheduler of ours hears of pieces.
 */
export function createProgress(inventory: Inventory, running: RunningTasks): () => TaskProgress[] {
  /** When the task was named last, in the order of that. */
  const told = new Map<TaskId, { readonly pieces: number; readonly sourceBytes: number }>();
  return () => {
    for (const task of told.keys()) if (!running.has(task)) told.delete(task);
    for (const task of running.keys()) if (!told.has(task)) told.set(task, NOTHING);
    const progress: TaskProgress[] = [];
    for (const [task, { pieces, sourceBytes }] of told) {
      const held = inventory.piecesOf(task);
      const { peerId, sourceReading } = running.get(task)!; // the others are forgotten
      const reading = sourceReading();
      if (held === undefined || (held <= pieces && (reading?.bytes ?? 0) <= sourceBytes)) continue;
      const stored = inventory.find(task);
      if (stored === undefined) continue;
      const { contentLength, pieceLength, finishedPieces } = stored;
      const source = reading && { bytes: reading.bytes, elapsed: durationOf(reading.elapsedMs), connections: reading.connections };
      if (finishedPieces.length > 0) progress.push({ taskId: task, peerId, contentLength, pieceLength, finishedPieces, source });
      told.delete(task); // put last
      told.set(task, { pieces: held, sourceBytes: reading?.bytes ?? 0 });
      if (progress.length === TASKS_MAX) break;
    }
    return progress;
  };
}
