import type { Clock } from "../../base/clock.ts";
import type { SessionInfo } from "../meta/control.ts";
import type { VolumeRecord } from "./volume-record.ts";

/** What a client of a volume is told, whichever way it was learnt. */
export type VolumeEvent =
  /** The record as just read from the primary: also for changes of quotas, read-only, undelete. */
  | { readonly kind: "changed"; readonly volume: VolumeRecord; readonly source: EventSource }
  /** A tombstone of this very volume was read, or its record says `purging` or `deleted`: the one reason to leave. `wireCode` is VOLUME_NOT_EXIST. */
  | {
      readonly kind: "gone";
      readonly wireCode: number;
      readonly volumeUuid: string;
      readonly epoch: number;
      readonly deletedAtMs: number;
      readonly deletedBy: string;
      readonly source: EventSource;
    }
  /** The metadata did not answer, or know nothing of the volume and have no tombstone either: no reason to leave. Once, until `reached`. */
  | { readonly kind: "suspect"; readonly reason: string }
  | { readonly kind: "reached" }
  /** Others changed these inodes: the kernel's caches of them are stale. `entries` name what changed in which directory. */
  | {
      readonly kind: "invalidate";
      /** Too much to be named: everything may be stale, and the lists are empty. */
      readonly everything: boolean;
      readonly inos: readonly number[];
      readonly entries: readonly { readonly parent: number; readonly name: string }[];
    }
  /** A lock that this session waits for may be free. */
  | { readonly kind: "unlocked"; readonly ino: number };

export type EventSource = "push" | "heartbeat" | "operation";

export const HEARTBEAT_MS = 5_000;

/**
 * A client's session with a volume, from `watchVolume`: begun before it is mounted, kept by a heartbeat each 5 s, told of changes by a push (a watched file between
 * processes of one machine) and confirmed by one read of the record. Runs in a thread whose event loop turns: the I/O worker gets only `sessionId`.
 */
export interface VolumeWatch extends AsyncDisposable {
  /** For `openVolume` in the worker. */
  readonly sessionId: number;
  /** The record as last read. */
  readonly volume: VolumeRecord;
  /** An operation threw `volume.not-exist`, or something looked like it: reads the record now, and tells its result as an event. */
  confirm(): Promise<void>;
}

export interface WatchOptions {
  readonly dataDir: string;
  /** Name or uuid. */
  readonly volume: string;
  readonly session: SessionInfo;
  readonly onEvent: (event: VolumeEvent) => void;
  readonly clock?: Clock;
}
