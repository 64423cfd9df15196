import type { AnaxError } from "../../base/errors.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { Priority, TaskMeta, TrafficType } from "../model/types.ts";
import type { StoredTask } from "../pieces/types.ts";
import type { ObjectStorage } from "../source/types.ts";

/** What somebody wants to have on this machine. Everything that is part of the task's name is here. */
export interface DownloadRequest {
  readonly url: string;
  readonly digest?: string | undefined;
  readonly tag?: string | undefined;
  readonly application?: string | undefined;
  readonly filteredQueryParams: readonly string[];
  readonly requestHeader: Readonly<Record<string, string>>;
  /** Bytes per piece when the user fixes it; else derived from the length. */
  readonly pieceLength?: number | undefined;
  readonly contentForTaskId?: string | undefined;
  /** The task is named by the `sha256:` digest in a registry blob's URL. */
  readonly taskIdFromBlobDigest: boolean;
  readonly priority: Priority;
  /** Only peers may be asked; without one the download fails with `download.no-source`. */
  readonly disableBackToSource: boolean;
  /** Go to the source at once (a seed that was told to). */
  readonly needBackToSource: boolean;
  readonly certificateChain?: readonly string[] | undefined;
  readonly objectStorage?: ObjectStorage | undefined;
  readonly timeoutMs: number;
  /** The caller already knows the content's length (a proxy that asked the registry), which saves a request. */
  readonly knownContentLength?: number | undefined;
}

/** One caller's hold on a download. Downloads of the same task are one download; it stops when the last hold is released. */
export interface Download extends Disposable {
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  /** Resolves once length and piece length are known and space is reserved. */
  readonly stored: Promise<StoredTask>;
  /** Resolves when everything is here, verified and durable; rejects with the reason why not. */
  readonly done: Promise<DownloadResult>;
  /** Pieces in the order in which they arrived, those held before included; ends with the download. Bounded by the piece count. */
  pieces(signal: AbortSignal): AsyncIterable<DownloadedPiece>;
}

export interface DownloadedPiece {
  readonly index: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly crc32: number;
  readonly traffic: TrafficType;
  readonly parentId: string;
}

/** A piece that a peer did not give, or gave wrong. */
export interface PieceFailure {
  readonly index: number;
  readonly peerId: string;
  readonly error: AnaxError;
  /** The peer may be asked again. */
  readonly temporary: boolean;
}

export interface DownloadResult {
  readonly meta: TaskMeta;
  readonly bytesFrom: Readonly<Record<TrafficType, number>>;
}

/** The daemon's main door: used by the gRPC services, the proxy and, later, by other services through ports. */
export interface Downloads {
  /** Joins the running download of the task or starts one; a finished task is answered from disk. Never throws: see `done`. */
  start(request: DownloadRequest): Download;
  /** The id `start` would use. Throws `input.invalid`. */
  taskIdOf(request: DownloadRequest): TaskId;
}

/** One line of the story that `anax explain` tells. */
export interface TaskEvent {
  readonly atMs: number;
  readonly event: string;
  readonly fields: Readonly<Record<string, string>>;
}
