import { AnaxError } from "../../base/errors.ts";
import type { Download, Host as AnnouncedHost } from "../../wire/grpc/gen/common/v2/common.ts";
import type { HostId, PeerId, TaskId } from "../model/ids.ts";
import type { Priority, SourceReading } from "../model/types.ts";
import type { Place } from "./nearness.ts";
import type { PieceSet } from "./piece-set.ts";
import type { Roster } from "./roster.ts";
import type { Decision } from "./decisions.ts";
import type { StandingRejection } from "./rules.ts";
import type { SourceDenial } from "./source.ts";

// Everything is kept in memory only: hosts bring their part of it back when they attach to a fresh scheduler.

/** What a host says of itself. */
export interface HostFacts {
  readonly id: HostId;
  readonly hostname: string;
  readonly ip: string;
  /** gRPC, for orders to seeds. */
  readonly port: number;
  readonly seed: boolean;
  /** False when it downloads but never uploads. */
  readonly sharing: boolean;
  readonly place: Place;
  /** As announced; handed on to others unread. */
  readonly announced: AnnouncedHost;
}

export type SilentBecause = "no-heartbeat" | "stream-ended" | "announcement-overdue";

/** An attached host is one of ours: it holds a stream to us and may be pushed to. */
export type Liveness =
  | { readonly kind: "attached"; heardAtMs: number }
  | { readonly kind: "announced"; readonly intervalMs: number; heardAtMs: number }
  | { readonly kind: "silent"; readonly sinceMs: number; readonly because: SilentBecause };

export interface Host {
  facts: HostFacts;
  liveness: Liveness;
  /** Of its newest Attach stream while that is open; kept through silence, so that a heartbeat brings the host back. */
  sessionId: number | undefined;
  /** Of the daemon's process; undefined where it is not ours. Kept through silence. */
  instanceId: string | undefined;
  /** Ed25519; what it read from a source it signs with the other half. */
  signingKey: Uint8Array | undefined;
  uploadsInFlight: number;
  /** Undefined until it says. */
  uploadSlots: number | undefined;
  /** Peers of other hosts that were offered a peer of this one and still download. */
  childCount: number;
  /** As a seed, it gets no order before. */
  troubledUntilMs: number;
  /** Its peers by task: one of each as a rule, more while an old one is being given up. */
  readonly peers: Map<Task, readonly Peer[]>;
  /** Of its peers, those to be looked at again for an unasked offer. */
  readonly due: Set<Peer>;
}

export type PeerState =
  /** Known, but never asked for anything. */
  | "pending"
  /** On disk in part, and nobody downloads it now. */
  | "partial"
  /** Asked for parents. */
  | "received"
  /** Fetches from parents. */
  | "running"
  | "back-to-source"
  | "succeeded"
  | "failed"
  | "left";

export type PeerEvent = "register" | "start" | "readSource" | "finish" | "fail" | "pause" | "stored" | "complete" | "leave";

/** Reports may repeat or overtake each other after a reconnection, so what says nothing new is no error. */
const NEXT: Readonly<Record<PeerState, Partial<Record<PeerEvent, PeerState>>>> = {
  pending: { register: "received", stored: "partial", complete: "succeeded", leave: "left" },
  partial: { register: "received", stored: "partial", complete: "succeeded", pause: "partial", fail: "failed", leave: "left" },
  received: {
    register: "received",
    start: "running",
    readSource: "back-to-source",
    finish: "succeeded",
    complete: "succeeded",
    stored: "received",
    fail: "failed",
    pause: "partial",
    leave: "left",
  },
  running: {
    register: "received",
    start: "running",
    readSource: "back-to-source",
    finish: "succeeded",
    complete: "succeeded",
    stored: "running",
    fail: "failed",
    pause: "partial",
    leave: "left",
  },
  "back-to-source": {
    register: "received",
    start: "back-to-source",
    readSource: "back-to-source",
    finish: "succeeded",
    complete: "succeeded",
    stored: "back-to-source",
    fail: "failed",
    pause: "partial",
    leave: "left",
  },
  succeeded: {
    register: "received",
    start: "succeeded",
    finish: "succeeded",
    complete: "succeeded",
    stored: "partial",
    fail: "failed",
    leave: "left",
  },
  failed: { register: "received", stored: "partial", complete: "succeeded", fail: "failed", pause: "failed", leave: "left" },
  left: { leave: "left" },
};

/** Throws `input.invalid` when a peer in this state cannot report that. */
export function nextState(from: PeerState, event: PeerEvent): PeerState {
  const to = NEXT[from][event];
  if (to === undefined) throw new AnaxError("input.invalid", { reason: "a peer in this state cannot report this", state: from, event });
  return to;
}

/** Leave to read the source. */
export interface Permit {
  /** granted: within `sourceReadersMax`; rescue: beyond it, since the peer reaches nobody; unasked: it told us that it does. */
  readonly kind: "granted" | "rescue" | "unasked";
  readonly grantedAtMs: number;
  /** Of its last piece, or of the permit. */
  progressAtMs: number;
  /** Undefined until it tells. */
  reading: SourceReading | undefined;
  /** Whose budget it counts against. */
  readonly origin: string;
  /** It made no progress for too long: another may read besides. Never taken back, lest readers take turns. */
  stalled: boolean;
}

export const BLOCK_REASONS = ["damaged", "unreachable", "too-slow", "malformed", "piece-failed", "given-up"] as const;
export type BlockReason = (typeof BLOCK_REASONS)[number];

export interface Block {
  readonly sinceMs: number;
  readonly untilMs: number;
  /** How often in a row this parent failed this child so. */
  readonly times: number;
  readonly reason: BlockReason;
}

/** What the source said when it failed a reader. */
export interface SourceError {
  readonly message: string;
  /** HTTP status, where the source speaks HTTP and answered. */
  readonly statusCode: number | undefined;
}

export interface Layout {
  readonly contentLength: number;
  readonly pieceLength: number;
  readonly pieceCount: number;
}

/** Sets and maps that most peers have no use for are made when they are needed: they would be a third of what a peer takes. */
export interface Peer {
  readonly id: PeerId;
  readonly task: Task;
  readonly host: Host;
  readonly createdAtMs: number;
  updatedAtMs: number;
  state: PeerState;
  /** What it asked for; undefined when we know it from an inventory only. Handed on to seeds. */
  order: Download | undefined;
  /** Its open AnnouncePeer stream. */
  streamId: number | undefined;
  readonly pieces: PieceSet;
  /** As this peer sees the content; two peers that differ have different contents. */
  layout: Layout | undefined;
  /** Since when it waits for an answer. */
  waitingSinceMs: number | undefined;
  permit: Permit | undefined;
  sourceError: SourceError | undefined;
  /** What it was offered and has not lost since. */
  parents: Set<Peer> | undefined;
  children: Set<Peer> | undefined;
  /** Those of ours that it trades with; each names the other. Changed by `links.ts` only. */
  readonly neighbours: Peer[];
  /** It was told of its neighbours since it asked last. */
  introduced: boolean;
  /** Up to which change of the task's reader keys it was told, with its neighbours. */
  keysTold: number;
  /** Where the task's roster has it. */
  readonly filing: Filing;
  /** By parent, one for each reason; also such as have ended. */
  blocked: Map<PeerId, readonly Block[]> | undefined;
  /** Parents that gave it a piece since it last asked for others. */
  served: Set<PeerId> | undefined;
  /** It has got pieces since it last asked for others. */
  gained: boolean;
  /** Reports of useless parents since its last piece. */
  fruitless: number;
  /** Hosts that it failed as a parent since it last gave anyone a piece, and when. */
  complaints: Map<HostId, number> | undefined;
  /** No unasked offer before. */
  pushableAtMs: number;
  lastDecision: Decision | undefined;
  /** Why it may not read the source, as long as it waits. */
  denied: SourceDenial | undefined;
}

/** As `keysTold`: nothing yet. */
export const NEVER = -1;

/** What stands against a peer whoever asks, and its places in the lists of the roster; -1 is none. */
export interface Filing {
  /** As a parent by the classic rules; undefined also while it is in no list yet. */
  parent: StandingRejection | undefined;
  /** As a neighbour, or as a parent of one of ours. */
  trader: StandingRejection | undefined;
  rack: string;
  readonly places: number[];
}

export interface Trigger {
  readonly hostId: HostId;
  readonly sinceMs: number;
  /** In whose name; tells whose credentials the seed uses. */
  readonly order: Download;
  /** Whose budget it counts against, as its reading will. */
  readonly origin: string;
}

export interface TaskNote {
  readonly atMs: number;
  readonly peerId: PeerId | undefined;
  readonly event: string;
  readonly fields: Fields;
}

export type Fields = Readonly<Record<string, string | number | undefined>>;

/** Pieces that one peer is to read from the source, from `first` up to, not including, `end`. */
export interface SourceSpan {
  /** Undefined: whoever was to read it is gone. */
  readonly reader: Peer | undefined;
  readonly first: number;
  readonly end: number;
  /** Since when it is this reader's. */
  readonly sinceMs: number;
  /** Of one who reads everything: what it told first to have read. */
  readonly told?: undefined | SourceReading;
}

export interface Task {
  readonly id: TaskId;
  readonly createdAtMs: number;
  updatedAtMs: number;
  url: string;
  /** Of the URL; whoever reads it counts against this one's budget. */
  origin: string;
  digest: string | undefined;
  tag: string | undefined;
  application: string | undefined;
  layout: Layout | undefined;
  readonly peers: Map<PeerId, Peer>;
  /** In the order in which they began to wait. */
  readonly waiting: Set<Peer>;
  readonly readers: Set<Peer>;
  /** A seed was told to fetch it and has not reported yet. Changed by the cluster only. */
  trigger: Trigger | undefined;
  /** Seeds that failed, and when they may be asked again. */
  readonly triedSeeds: Map<HostId, number>;
  /** The source gives parts of the content. */
  sourceRanges: boolean;
  /** Who reads which part, once the reading is divided; together they are the whole content. */
  spans: readonly SourceSpan[];
  /** The division is to be looked at now, not at the next tick. */
  shareDue: boolean;
  /** How often somebody was sent to the source. */
  sourceReads: number;
  /** Readers in a row that the source failed. */
  sourceFailures: number;
  failure: { readonly atMs: number; readonly reason: string } | undefined;
  /** How many of the peers want the content and have not all of it, and how many have finished. */
  activeCount: number;
  succeededCount: number;
  readonly roster: Roster;
  /** Of ours, those to be looked at again for an unasked offer. */
  readonly due: Set<Peer>;
  /** Signing keys of the hosts that had leave to read the source, newest last; the number counts changes. */
  readonly readerKeys: Uint8Array[];
  readerKeysVersion: number;
  readonly notes: TaskNote[];
}

export type TaskState = "pending" | "running" | "succeeded" | "failed";

/** Derived, so that it cannot disagree with the peers. */
export function taskStateOf(task: Task): TaskState {
  if (task.succeededCount > 0) return "succeeded";
  if (task.activeCount > 0) return "running";
  return task.failure === undefined ? "pending" : "failed";
}

/** It wants the content and has not all of it. */
export const isActive = (peer: Peer): boolean => peer.state === "received" || peer.state === "running" || peer.state === "back-to-source";

/** It fetches pieces, or should. */
export const isFetching = (peer: Peer): boolean => peer.state === "running" || peer.state === "back-to-source";

export const isLive = (host: Host): boolean => host.liveness.kind !== "silent";

/** One of our daemons, and live: it trades with its like, and understands offers that it did not ask for. */
export const isOurs = (host: Host): boolean => host.instanceId !== undefined && isLive(host);

/** Both are of ours, and settle between themselves who gives what. */
export const trade = (a: Peer, b: Peer): boolean => isOurs(a.host) && isOurs(b.host);

/** It is to be looked at again; nobody is pushed to that would not understand it. */
export function beDue(peer: Peer): void {
  if (!isPushable(peer)) return;
  peer.task.due.add(peer);
  peer.host.due.add(peer);
}

export function notDue(peer: Peer): void {
  peer.task.due.delete(peer);
  peer.host.due.delete(peer);
}

export function* peersOf(host: Host): Generator<Peer> {
  for (const peers of host.peers.values()) yield* peers;
}

/** Offers may be pushed to it. */
export const isPushable = (peer: Peer): boolean =>
  isActive(peer) && peer.streamId !== undefined && isOurs(peer.host) && peer.order?.metadataOnly !== true;

/** Holds all of the content; a peer that wanted a range only never does by finishing. */
export const isWhole = (peer: Peer): boolean =>
  peer.state === "succeeded" &&
  (peer.order?.range === undefined || (peer.layout !== undefined && peer.pieces.count >= peer.layout.pieceCount));

/** Reads the source now, as far as anyone can tell. */
export const isReading = (peer: Peer): boolean =>
  peer.permit !== undefined && !peer.permit.stalled && peer.streamId !== undefined && isLive(peer.host);

export const priorityOf = (peer: Peer): Priority => peer.order?.priority ?? 0;

export const mayReadSource = (peer: Peer): boolean =>
  peer.order !== undefined && !peer.order.disableBackToSource && priorityOf(peer) !== 1 && priorityOf(peer) !== 2;
