import type { Clock } from "../../base/clock.ts";
import type { AnaxError } from "../../base/errors.ts";
import type { Random } from "../../base/random.ts";
import type { TaskId } from "../model/ids.ts";
import type { PieceStore, StoredTask } from "../pieces/types.ts";
import type { Sources } from "../source/types.ts";
import type { DaemonConfig } from "./config.ts";
import type { MemoryBudget } from "./memory/budget.ts";
import type { RateLimits } from "./rates/types.ts";
import type { SourceMeter } from "./source-meter.ts";
import type { SourceShare } from "./source-share.ts";
import type { DownloadedPiece, DownloadRequest } from "./types.ts";

/** What reading a source needs, and whom it tells. */
export interface SourceJob {
  readonly taskId: TaskId;
  readonly request: DownloadRequest;
  readonly sources: Sources;
  readonly store: PieceStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<DaemonConfig, "sourceAttemptsMax" | "sourceBackoffMs" | "sourceConnectionsMax">;
  readonly limits: RateLimits;
  readonly memory: Pick<MemoryBudget, "tryReserve">;
  readonly signal: AbortSignal;
  /** What of the task is here already. */
  readonly held: StoredTask | undefined;
  /** The task as it will be filled: length known, space reserved. */
  readonly onStored: (stored: StoredTask, origin: "found" | "adopted") => void;
  readonly onPiece: (piece: DownloadedPiece, costMs: number) => void;
  /** The length of the pieces that content of this length is cut into. */
  readonly pieceLengthOf: (contentLength: number) => number;
  /** What of the source is this host's to read. */
  readonly share: SourceShare;
  /** Whether the piece comes from peers by itself, so that it need not be read. */
  readonly comesFromPeers: (index: number) => boolean;
  readonly meter: SourceMeter;
  /** Nobody else is there who could read a part. */
  readonly isAlone: () => boolean;
  /** Nobody is there any more who would say who reads what. */
  readonly isOnItsOwn: () => boolean;
  /** The piece is being read from now on (`true`), or not any more. */
  readonly onClaim: (index: number, reading: boolean) => void;
  /** A request is over. */
  readonly onRequestEnd: () => void;
  /** So many connections are read over from now on. */
  readonly onConnections: (count: number) => void;
  /** A broken body will be resumed. */
  readonly onRetry: (error: AnaxError) => void;
  /** Lets go of what is held and removes it: the source has something else by now. */
  readonly drop: (held: StoredTask, why: string) => Promise<void>;
}
