import type { ErrorCode, ErrorDetails } from "../../base/errors.ts";
import type { Download } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import type { SourceReading } from "../model/types.ts";
import type { Rejections } from "./rules.ts";
import type { BudgetLimit } from "./source-budget.ts";
import type { HostFacts, Layout, SourceError } from "./state.ts";

/** A task as a host has it on disk. */
export interface StoredFacts {
  readonly taskId: TaskId;
  readonly peerId: PeerId;
  readonly url: string;
  readonly digest: string | undefined;
  readonly tag: string | undefined;
  readonly application: string | undefined;
  /** Undefined while the host does not know the length. */
  readonly layout: Layout | undefined;
  readonly finishedPieces: Uint8Array;
  readonly finished: boolean;
  readonly sourceRanges: boolean;
}

/** How far a running download of a host of ours is. */
export interface ProgressFacts {
  readonly peerId: PeerId;
  readonly layout: Layout | undefined;
  readonly finishedPieces: Uint8Array;
  /** Undefined: it does not read the source. */
  readonly source?: SourceReading | undefined;
}

/** What happened. Reports of peers carry ids that were looked at, nothing more: the peer may be unknown. */
export type Event =
  | { readonly kind: "hostAnnounced"; readonly host: HostFacts; readonly intervalMs: number | undefined }
  | {
      readonly kind: "hostAttached";
      readonly host: HostFacts;
      readonly sessionId: number;
      readonly instanceId: string;
      readonly signingKey: Uint8Array | undefined;
      readonly inventory: readonly StoredFacts[];
    }
  | {
      readonly kind: "heartbeat";
      readonly hostId: HostId;
      readonly sessionId: number;
      readonly host: HostFacts | undefined;
      readonly uploadsInFlight: number;
      readonly uploadSlots: number;
      readonly progress: readonly ProgressFacts[];
    }
  | { readonly kind: "stored"; readonly hostId: HostId; readonly stored: StoredFacts }
  | { readonly kind: "dropped"; readonly hostId: HostId; readonly taskId: TaskId; readonly peerId: PeerId | undefined }
  | { readonly kind: "hostDetached"; readonly hostId: HostId; readonly sessionId: number }
  | { readonly kind: "hostLeft"; readonly hostId: HostId }
  | {
      readonly kind: "peerRegistered";
      readonly hostId: HostId;
      readonly taskId: TaskId;
      readonly peerId: PeerId;
      readonly streamId: number;
      readonly order: Download;
      readonly layout: Layout | undefined;
    }
  | { readonly kind: "peerStarted"; readonly peerId: PeerId }
  | { readonly kind: "backToSourceStarted"; readonly peerId: PeerId; readonly description: string }
  | { readonly kind: "pieceFinished"; readonly peerId: PeerId; readonly pieceIndex: number; readonly parentId: string }
  | { readonly kind: "sourcePieceFinished"; readonly peerId: PeerId; readonly pieceIndex: number }
  | { readonly kind: "pieceFailed"; readonly peerId: PeerId; readonly parentId: string; readonly temporary: boolean; readonly code: string }
  | { readonly kind: "sourcePieceFailed"; readonly peerId: PeerId; readonly error: SourceError }
  | { readonly kind: "rescheduled"; readonly peerId: PeerId; readonly parentIds: readonly string[]; readonly description: string }
  /** With the source's help or without. */
  | { readonly kind: "peerFinished"; readonly peerId: PeerId }
  | { readonly kind: "peerFailed"; readonly peerId: PeerId; readonly description: string; readonly readingSource: boolean }
  | { readonly kind: "streamClosed"; readonly peerId: PeerId; readonly streamId: number }
  | { readonly kind: "peerDeleted"; readonly peerId: PeerId }
  | { readonly kind: "seedTriggerEnded"; readonly taskId: TaskId; readonly hostId: HostId; readonly failure: TriggerFailure | undefined }
  | { readonly kind: "tick" };

export interface TriggerFailure {
  readonly reason: string;
  /** Set when it was the source that failed the seed. */
  readonly source: SourceError | undefined;
}

/** Why somebody may read the source; `part`: a part of what another reads. */
export const SOURCE_BECAUSE = ["first", "reader-lost", "no-parent-reachable", "asked-for", "part"] as const;
export type SourceBecause = (typeof SOURCE_BECAUSE)[number];

/** What is to be done about it, in this order. Peers are named; what they are told is read from the state. */
export type Effect =
  /** Replaces what the peer was offered before. */
  | {
      readonly do: "offerParents";
      readonly peerId: PeerId;
      readonly parents: readonly PeerId[];
      /** All of them, for a peer of ours. */
      readonly neighbours: readonly PeerId[];
      readonly rejections: Rejections;
      readonly unasked: boolean;
    }
  | { readonly do: "keepWaiting"; readonly peerId: PeerId; readonly rejections: Rejections }
  | { readonly do: "needBackToSource"; readonly peerId: PeerId; readonly because: SourceBecause; readonly rejections: Rejections }
  /** What the peer is to read of the source from now on, and nothing else. */
  | { readonly do: "shareSource"; readonly peerId: PeerId; readonly spans: readonly { readonly first: number; readonly end: number }[] }
  /** Nothing yet, for this reason; for peers of ours, which else lose patience. */
  | { readonly do: "tellToWait"; readonly peerId: PeerId; readonly because: BudgetLimit }
  /** Hosts that were not sent to the source. */
  | { readonly do: "passOver"; readonly rejections: Rejections }
  | { readonly do: "emptyTask"; readonly peerId: PeerId }
  | { readonly do: "metadataOnly"; readonly peerId: PeerId }
  | {
      readonly do: "failPeer";
      readonly peerId: PeerId;
      readonly streamId: number;
      readonly code: ErrorCode;
      readonly details: ErrorDetails;
    }
  | { readonly do: "closeStream"; readonly peerId: PeerId; readonly streamId: number }
  | { readonly do: "closeAttachment"; readonly hostId: HostId; readonly sessionId: number }
  | { readonly do: "triggerSeed"; readonly taskId: TaskId; readonly hostId: HostId; readonly order: Download }
  | {
      readonly do: "note";
      readonly level: "info" | "warn" | "debug";
      readonly event: string;
      readonly fields: Readonly<Record<string, string | number | undefined>>;
    };
