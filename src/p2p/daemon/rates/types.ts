import type { Priority } from "../../model/types.ts";
import type { TaskId } from "../../model/ids.ts";

/**
 * `urgent`: somebody waits for these very bytes; `normal`; `background`: nobody would notice a delay. While more is wanted than a limit
 * allows, classes share by their weights.
 */
export const RATE_CLASSES = ["urgent", "normal", "background"] as const;
export type RateClass = (typeof RATE_CLASSES)[number];

/** Of a download's priority: who names one below the usual 6 (0 is what protobuf says when nobody names any) can wait. */
export const rateClassOf = (priority: Priority): RateClass => (priority === 0 || priority === 6 ? "normal" : "background");

/**
 * What the data plane asks before it moves bytes; they count as moved once it is allowed. Try first: without a limit that is two additions.
 * ```
 * if (!limits.tryUpload(task, "normal", bytes)) await limits.upload(task, "normal", bytes, signal);
 * ```
 * Ask for the bytes of a turn at most, so that others get theirs in between. Bytes that are here already may be asked for afterwards: the
 * reader then pauses until they are paid for.
 */
export interface RateLimits {
  /** True: go ahead. */
  tryUpload(task: TaskId, priority: RateClass, bytes: number): boolean;
  /** Resolves when it may go ahead. Throws the signal's reason; `limit.exceeded` when too many wait. */
  upload(task: TaskId, priority: RateClass, bytes: number, signal: AbortSignal): Promise<void>;
  tryDownload(task: TaskId, priority: RateClass, bytes: number): boolean;
  download(task: TaskId, priority: RateClass, bytes: number, signal: AbortSignal): Promise<void>;
  /** Counts as a download, too. */
  source(task: TaskId, priority: RateClass, bytes: number, signal: AbortSignal): Promise<void>;
  /** Most to ask for at once; Infinity while nothing is limited. */
  readonly uploadTurnBytes: number;
  readonly downloadTurnBytes: number;
  readonly sourceTurnBytes: number;
  /** Class of uploads to peers that name none. */
  readonly uploadClass: RateClass;
  /** Bytes per second that can be counted on in each direction: the limit, or what the link was seen to carry; 0 while unknown. */
  capacity(): LinkRates;
}

/** What can be counted on to pass in each direction of a host's link, bytes per second; 0: not known. */
export interface LinkRates {
  readonly upload: number;
  readonly download: number;
}

/** Bytes per second. */
export interface MeasuredRates {
  readonly upload: number;
  readonly download: number;
  readonly source: number;
}
