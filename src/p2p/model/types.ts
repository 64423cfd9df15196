import type { TaskId } from "./ids.ts";

export type { ByteRange } from "../../wire/http/range.ts";

/** What every peer of a task agrees on, fixed when the first of them has asked the source. */
export interface TaskMeta {
  readonly id: TaskId;
  readonly url: string;
  /** `sha256:…`, `sha512:…` or `crc32:…` of the whole content. */
  readonly digest?: string | undefined;
  readonly tag?: string | undefined;
  readonly application?: string | undefined;
  readonly filteredQueryParams: readonly string[];
  /** Bytes. */
  readonly contentLength: number;
  /** Bytes of every piece but the last. */
  readonly pieceLength: number;
  readonly pieceCount: number;
  /** Lower-case names; what a client of the proxy sees as if the source had answered. */
  readonly responseHeader: Readonly<Record<string, string>>;
}

/** What a download has read of its source. */
export interface SourceReading {
  readonly bytes: number;
  /** Since the first of them, by the reader's own clock. */
  readonly elapsedMs: number;
  /** Over how many connections: more than one where they bring more. */
  readonly connections: number;
}

/** Where a piece came from. */
export type TrafficType = "back-to-source" | "remote-peer" | "local-peer";

const TRAFFIC_TYPES = ["back-to-source", "remote-peer", "local-peer"] as const satisfies readonly TrafficType[];

/** Its number in `common.v2.TrafficType` and in Vortex. */
export const trafficNumberOf = (type: TrafficType): number => TRAFFIC_TYPES.indexOf(type);

/** Unknown numbers read as `remote-peer`: a foreign peer told us something, and that is all that is sure. */
export const trafficTypeOf = (number: number): TrafficType => TRAFFIC_TYPES[number] ?? "remote-peer";

/**
 * `common.v2.Priority` LEVEL0…LEVEL6. 1: nobody downloads; 2: only from peers that have it already; 3: this peer goes to the source;
 * 0, 4, 5 and 6: a seed does. 6 is what the proxy assumes when a request names none, 0 what protobuf does.
 */
export type Priority = 0 | 1 | 2 | 3 | 4 | 5 | 6;

export const isPriority = (number: number): number is Priority => Number.isInteger(number) && number >= 0 && number <= 6;
