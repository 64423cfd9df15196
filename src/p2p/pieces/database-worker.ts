import { parentPort, workerData } from "node:worker_threads";
import { AnaxError, invariant, systemCodeOf } from "../../base/errors.ts";
import type { PieceDatabase } from "./database.ts";
import type { DatabaseRequest, DatabaseReply, ReportedError } from "./database-thread.ts";
import { recoverStore } from "./recovery.ts";

// The thread that owns the database: a flush to a busy disk can take seconds, and the daemon must not stand still meanwhile.

invariant(parentPort !== null, "runs as a worker");
const port = parentPort;
const reply = (message: DatabaseReply): void => port.postMessage(message);

try {
  const { database, tasks, notices } = recoverStore((workerData as { readonly dir: string }).dir);
  port.on("message", (request: DatabaseRequest) => answer(database, request));
  reply({ kind: "opened", tasks, notices });
} catch (error) {
  reply({ kind: "refused", error: reported(error) });
}

function answer(database: PieceDatabase, request: DatabaseRequest): void {
  if (request.kind === "close") {
    database.close();
    reply({ kind: "closed" });
    port.close();
    return;
  }
  try {
    database.commit(request.operations, request.durable);
    reply({ kind: "committed", sequence: request.sequence });
  } catch (error) {
    reply({ kind: "failed", sequence: request.sequence, error: reported(error) });
  }
}

function reported(error: unknown): ReportedError {
  if (error instanceof AnaxError) return { code: error.code, details: error.details };
  const sqlite = (error as { errcode?: unknown }).errcode;
  // SQLITE_FULL; a full disk also shows as an I/O error of the shared-memory file.
  const full = sqlite === 13 || systemCodeOf(error) === "ENOSPC";
  return {
    code: full ? "disk.full" : "disk.io",
    details: { reason: String(error), sqlite: typeof sqlite === "number" ? sqlite : undefined },
  };
}
