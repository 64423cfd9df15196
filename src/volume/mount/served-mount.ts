import type { FuseReply, Validity } from "../../wire/fuse/reply.ts";
import type { FuseRequest } from "../../wire/fuse/request.ts";
import type { VolumeFiles } from "../data/volume-files.ts";
import type { Answer, Attributes, VolumeVerbs } from "../meta/verbs.ts";
import type { KnownNodes } from "./known-nodes.ts";
import type { LockQueue } from "./lock-queue.ts";
import type { SharedState } from "./shared-state.ts";
import type { WriteLeases } from "./write-leases.ts";

/** What the handlers of requests work with. */
export interface ServedMount {
  readonly verbs: VolumeVerbs;
  readonly files: VolumeFiles;
  readonly known: KnownNodes;
  readonly locks: LockQueue;
  readonly leases: WriteLeases;
  readonly state: SharedState;
  readonly settings: ServedSettings;
  /** Sends the kernel a message that answers nothing. Only for those that take no locks there: see notify.ts. */
  notify(message: Buffer): void;
  /** Somebody asked to interrupt that request. */
  interrupt(unique: number): void;
}

export interface ServedSettings {
  readonly entryMs: number;
  readonly attrMs: number;
  readonly negativeMs: number;
  readonly writebackCache: boolean;
  readonly requestTimeoutSeconds: number;
}

/** Serves one kind of request: fills the answer and returns 0, or an error number, or NO_REPLY. */
export type Handler = (mount: ServedMount, request: FuseRequest, reply: FuseReply) => Answer<number>;

/** The kernel waits for no answer, or gets it later. */
export const NO_REPLY = -1;

/** Puts an entry into the answer, with what is not committed yet, and counts the lookup. */
export function putEntry(mount: ServedMount, reply: FuseReply, attributes: Attributes): number {
  const current = mount.files.current(attributes);
  mount.known.entered(current);
  reply.entry(current.ino, 0, current, validityOf(mount));
  return 0;
}

/** While others have the volume mounted, too, the kernel asks each time. */
export const validityOf = (mount: ServedMount): Validity => (mount.leases.shared ? ASK : mount.settings);

const ASK: Validity = { entryMs: 0, attrMs: 0 };
