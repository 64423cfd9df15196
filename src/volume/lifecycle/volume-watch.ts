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
  /** Whether others have caches of the volume, too; before anybody of them begins, and after the last has left. */
  | { readonly kind: "shared"; readonly shared: boolean }
  /** Others have changed, or are about to change, the content of these files; it is to be dropped. They wait for it. */
  | {
      readonly kind: "invalidate";
      /** Too much to be named: all content may be stale, and the list is empty. */
      readonly everything: boolean;
      readonly inos: readonly number[];
    }
  /** Others want what this session has written to these files: it is to be committed, and their leases dropped. */
  | { readonly kind: "wanted"; readonly inos: readonly number[] }
  /** Something that this session wants may have been given back. */
  | { readonly kind: "released" }
  /** This session was taken for dead: what it held is lost, what it had in caches is stale. It lives again. */
  | { readonly kind: "evicted" }
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
  /** Whether others have caches of the volume, as last told by an event. */
  readonly shared: boolean;
  /** Resolves once no other session has anything in its caches that was changed until now; whoever does not answer is ended. Throws `volume.unreachable`. */
  settled(): Promise<void>;
  /** Asks for a file whose lease another session holds. Never throws: `released` tells when it is worth another try. */
  want(ino: number, holder: number): void;
  /** Leases were dropped that others wanted. */
  released(): void;
}

export interface WatchOptions {
  readonly dataDir: string;
  /** Name or uuid. */
  readonly volume: string;
  readonly session: SessionInfo;
  /** Others wait until a promise of it is kept. */
  readonly onEvent: (event: VolumeEvent) => void | Promise<void>;
  readonly clock?: Clock;
}
