import type { Bell } from "../../disk/bell.ts";
import type { PeersBy } from "../data/staged/messages.ts";
import type { ServedSettings } from "./served-mount.ts";

/** What a mount's I/O worker is started with. */
export interface WorkerStart {
  readonly fd: number;
  /** Wakes it. Undefined: any request does. */
  readonly bell: Bell | undefined;
  readonly dataDir: string;
  readonly volumeUuid: string;
  readonly sessionId: number;
  readonly shared: SharedArrayBuffer;
  /** Of `MountCounts`, and of `ReadCounts`. */
  readonly counts: SharedArrayBuffer;
  readonly reads: SharedArrayBuffer;
  readonly operationTimeoutMs: number;
  /** See `OpenVolumeOptions`. */
  readonly peers: PeersBy | undefined;
  readonly cacheDir: string | undefined;
  /** Whether others have the volume mounted, too. */
  readonly others: boolean;
  readonly settings: ServedSettings;
}

/** What the thread that sees to settling is started with. */
export interface SettleStart {
  readonly dir: string;
  /** Of the worker. */
  readonly bell: Bell | undefined;
  readonly shared: SharedArrayBuffer;
}

/** To the worker. It hears no messages while it waits for requests, so whoever writes also wakes it. */
export type ToWorker =
  /** Others have changed these files, or too many to be named; answered. */
  | { readonly kind: "outdated"; readonly id: number; readonly inos: readonly number[]; readonly everything: boolean }
  /** Others have come, or the last has left; answered once what comes next is served accordingly. */
  | { readonly kind: "share"; readonly id: number; readonly shared: boolean }
  /** The session was taken for dead, and lives again; answered. */
  | { readonly kind: "evicted"; readonly id: number }
  /** Others want these files; `released` follows. */
  | { readonly kind: "release"; readonly inos: readonly number[] }
  /** What others hold may be free. */
  | { readonly kind: "free" }
  /** Of `settle` with that number: others have dropped what was changed, or could not be reached. */
  | { readonly kind: "settled"; readonly id: number; readonly reason: string | undefined }
  | { readonly kind: "unlocked"; readonly ino: number }
  /** Everything written to be committed now; answered with `flushed`. */
  | { readonly kind: "flush" };

/** From the worker. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "not-started"; readonly code: string; readonly reason: string }
  /** An operation was answered that the volume does not exist. */
  | { readonly kind: "not-exist"; readonly wireCode: number; readonly volumeUuid: string; readonly epoch: number }
  /** An operation failed until its time was over, or for a reason that passes by no waiting; once, until `recovered`. */
  | { readonly kind: "fault"; readonly op: number; readonly code: string; readonly reason: string }
  | { readonly kind: "recovered" }
  /** Content is missing or does not match its digest: whoever read it got EIO. */
  | { readonly kind: "damaged"; readonly ino: number; readonly code: string; readonly reason: string }
  /** The fence was seen: nothing is served any more, and what was not written is dropped. */
  | { readonly kind: "fenced"; readonly files: number; readonly bytes: number; readonly openFiles: number }
  | { readonly kind: "flushed"; readonly errno: number }
  /** To `outdated`, `share` and `evicted`: with the files of which the kernel may have stale content, if those were not named. */
  | { readonly kind: "answered"; readonly id: number; readonly inos: readonly number[] }
  | { readonly kind: "released" }
  /** A request needs a file that another session holds. */
  | { readonly kind: "want"; readonly ino: number; readonly session: number }
  /** Somebody waits until the others have dropped what was changed until now; answered with `settled`. */
  | { readonly kind: "settle"; readonly id: number }
  /** The kernel has ended the mount. */
  | { readonly kind: "ended"; readonly reason: EndReason; readonly lostFiles: number; readonly lostBytes: number };

/** `unmounted`: taken out of the tree; `aborted`: by force, or by the kernel's request timeout. */
export type EndReason = "unmounted" | "aborted";
