import type { TaskId } from "../../model/ids.ts";
import type { TrafficType } from "../../model/types.ts";
import type { PieceWriter } from "../../pieces/types.ts";
import type { RateClass } from "../rates/types.ts";

/** Where a parent serves pieces over Vortex. */
export interface ParentAddress {
  readonly ip: string;
  readonly port: number;
  /** True for our own daemons, which keep the connection and answer pipelined requests in order. A foreign one serves a piece per connection. */
  readonly keepsConnection: boolean;
}

/** What a parent says of a piece before its bytes. */
export interface PieceHead {
  readonly index: number;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** IEEE CRC-32; undefined where a foreign parent gave none. */
  readonly crc32: number | undefined;
  readonly parentId: string;
  readonly traffic: TrafficType;
}

/** Fetches pieces over kept, pipelined connections. Owns every socket to parents. */
export interface PieceClient extends AsyncDisposable {
  /**
   * Streams one piece from a parent into the writer that `open` gives once the head is known (`open` may throw to refuse it).
   * Resolves after `writer.finish()`; on any failure the writer is aborted.
   * Throws `piece.not-found`, `vortex.malformed`, `vortex.remote`, `piece.digest-mismatch`, `rpc.unavailable` (cannot connect, reset, stalled).
   */
  fetch(options: {
    readonly parent: ParentAddress;
    readonly taskId: TaskId;
    readonly index: number;
    /** How soon it is needed beside others, where rates are limited; normal unless it says otherwise. */
    readonly priority?: RateClass | undefined;
    readonly open: (head: PieceHead) => PieceWriter;
    readonly signal: AbortSignal;
  }): Promise<PieceReceipt>;
  /** Requests under way to a parent, for choosing the least busy. */
  inFlight(parent: ParentAddress): number;
}

export interface PieceReceipt {
  readonly head: PieceHead;
  readonly outcome: "stored" | "duplicate";
  readonly costMs: number;
}

/** Serves pieces of the store over Vortex TCP. */
export interface PieceServer extends AsyncDisposable {
  readonly port: number;
  readonly uploadsInFlight: number;
}
