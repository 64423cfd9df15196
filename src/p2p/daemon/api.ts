import { X509Certificate } from "node:crypto";
import { AnaxError } from "../../base/errors.ts";
import {
  Peer as WirePeer,
  type Download as WireDownload,
  type Piece as WirePiece,
  type TrafficType as WireTraffic,
} from "../../wire/grpc/gen/common/v2/common.ts";
import type { Neighbour as WireNeighbour } from "../../wire/grpc/gen/anax/v1/common.ts";
import type { LocalTask } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import type { StoredTask as WireStored } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { StatLocalTaskResponse } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { durationOf, msOf, timestampOf } from "../../wire/grpc/time.ts";
import { parseDigest, formatPieceDigest, PIECE_LENGTH_MAX, PIECE_LENGTH_MIN } from "../model/piece.ts";
import { isPriority, trafficNumberOf, type ByteRange } from "../model/types.ts";
import { PINNED_FOR_GOOD, type PieceInfo, type StoredTask } from "../pieces/types.ts";
import type { ObjectStorage } from "../source/types.ts";
import { givesRanges } from "./task-meta.ts";
import type { DownloadedPiece, DownloadRequest } from "./types.ts";

// The border between messages and this room: everything that comes in is checked here, once.

/** What dfget assumes when nobody says. */
const TIMEOUT_DEFAULT_MS = 2 * 3_600_000;
export const TIMEOUT_MAX_MS = 7 * 24 * 3_600_000;
const URL_CHARS_MAX = 16 * 1024;
const CERTIFICATES_MAX = 100;
const READER_KEYS_MAX = 16;
const SIGNING_KEY_BYTES = 32;

/** Prefix of `Build.git_version` by which our own peers know each other. */
export const OWN_VERSION_PREFIX = "anax/";

/** A peer that a scheduler offers as a parent. */
export interface ParentOffer {
  readonly peerId: string;
  readonly hostId: string;
  readonly ip: string;
  /** Of its upload service. */
  readonly port: number;
  /** Of its piece server. */
  readonly downloadPort: number;
  /** One of our own daemons. */
  readonly ours: boolean;
  readonly facts: TaskFacts;
  /** The message itself, to be handed back in `ReschedulePeer`. */
  readonly wire: WirePeer;
}

/** A peer of ours that a scheduler of ours introduces: pieces go both ways. */
export interface NeighbourOffer {
  readonly peerId: string;
  readonly hostId: string;
  readonly ip: string;
  /** Of its gRPC server. */
  readonly port: number;
  /** Of its piece server. */
  readonly downloadPort: number;
  readonly seed: boolean;
  /** Reads the source now, as far as the scheduler knows. */
  readonly reader: boolean;
  /** Holds everything. */
  readonly whole: boolean;
  /** 0: same rack; more is farther. */
  readonly distance: number;
}

/** What is known of a task before it is here. */
export interface TaskFacts {
  readonly contentLength?: number | undefined;
  readonly pieceLength?: number | undefined;
  readonly digest?: string | undefined;
}

/** A candidate that cannot be reached as described gives undefined. */
export function parentOfferOf(peer: WirePeer): ParentOffer | undefined {
  const { host, task } = peer;
  if (host === undefined || peer.id === "" || host.ip === "" || !isPort(host.port) || !isPort(host.downloadPort)) return undefined;
  return {
    peerId: peer.id,
    hostId: host.id,
    ip: host.ip,
    port: host.port,
    downloadPort: host.downloadPort,
    ours: host.build?.gitVersion.startsWith(OWN_VERSION_PREFIX) ?? false,
    facts: {
      contentLength: task !== undefined && task.contentLength > 0 ? task.contentLength : undefined,
      pieceLength: task?.pieceLength,
      digest: task?.digest,
    },
    wire: peer,
  };
}

/** As `parentOfferOf`. */
export function neighbourOfferOf(neighbour: WireNeighbour): NeighbourOffer | undefined {
  const { peerId, hostId, ip, port, downloadPort } = neighbour;
  return peerId === "" || hostId === "" || ip === "" || !isPort(port) || !isPort(downloadPort) ? undefined : neighbour;
}

/** For whoever knows parents only; it can be named to the scheduler as any other. */
export function parentOfNeighbour({
  peerId,
  hostId,
  ip,
  port,
  downloadPort,
}: Pick<NeighbourOffer, "peerId" | "hostId" | "ip" | "port" | "downloadPort">): ParentOffer {
  return { peerId, hostId, ip, port, downloadPort, ours: true, facts: {}, wire: WirePeer.fromPartial({ id: peerId }) };
}

/** What is no Ed25519 public key proves nothing and is left out. */
export const readerKeysOf = (keys: readonly Uint8Array[]): readonly Uint8Array[] =>
  keys.slice(-READER_KEYS_MAX).filter(({ length }) => length === SIGNING_KEY_BYTES);

/** The order inside a `DownloadTask` call. Throws `input.invalid`. */
export function requestOf(download: WireDownload): DownloadRequest {
  if (download.url === "" || download.url.length > URL_CHARS_MAX || URL.parse(download.url) === null) {
    throw new AnaxError("input.invalid", { reason: "not a URL", url: download.url.slice(0, 256) });
  }
  if (download.digest !== undefined && download.digest !== "") parseDigest(download.digest);
  return {
    url: download.url,
    digest: download.digest || undefined,
    tag: download.tag || undefined,
    application: download.application || undefined,
    filteredQueryParams: download.filteredQueryParams,
    requestHeader: download.requestHeader,
    pieceLength: pieceLengthOf(download.pieceLength),
    contentForTaskId: download.contentForCalculatingTaskId || undefined,
    taskIdFromBlobDigest: download.enableTaskIdBasedBlobDigest,
    priority: isPriority(download.priority) ? download.priority : 0,
    disableBackToSource: download.disableBackToSource,
    needBackToSource: download.needBackToSource,
    certificateChain: pemOf(download.certificateChain),
    objectStorage: objectStorageOf(download),
    timeoutMs: timeoutMsOf(download),
  };
}

/** The order as a scheduler sees it, and as it passes it on to a seed. */
export function wireDownloadOf(
  request: DownloadRequest,
  facts: { readonly contentLength?: number; readonly pieceLength?: number; readonly pieceCount?: number },
): Partial<WireDownload> {
  return {
    url: request.url,
    digest: request.digest,
    tag: request.tag,
    application: request.application,
    priority: request.priority,
    filteredQueryParams: request.filteredQueryParams,
    requestHeader: request.requestHeader,
    pieceLength: request.pieceLength,
    timeout: durationOf(request.timeoutMs),
    disableBackToSource: request.disableBackToSource,
    needBackToSource: request.needBackToSource,
    certificateChain: derOf(request.certificateChain),
    objectStorage: request.objectStorage,
    contentForCalculatingTaskId: request.contentForTaskId,
    enableTaskIdBasedBlobDigest: request.taskIdFromBlobDigest,
    actualContentLength: facts.contentLength,
    actualPieceLength: facts.pieceLength,
    actualPieceCount: facts.pieceCount,
  };
}

/** `Download.range`. Throws `input.invalid`, `task.range-unsatisfiable`. */
export function rangeWithin(
  range: { readonly start: number; readonly length: number } | undefined,
  contentLength: number,
): ByteRange | undefined {
  if (range === undefined) return undefined;
  if (range.length === 0) throw new AnaxError("input.invalid", { reason: "an empty range" });
  if (range.start >= contentLength) throw new AnaxError("task.range-unsatisfiable", { start: range.start, contentLength });
  return { start: range.start, length: Math.min(range.length, contentLength - range.start) };
}

export function wirePieceOf(
  piece: DownloadedPiece | PieceInfo,
  more: { readonly costMs?: number; readonly createdAtMs?: number; readonly content?: Uint8Array } = {},
): WirePiece {
  return {
    number: piece.index,
    parentId: piece.parentId === "" ? undefined : piece.parentId,
    offset: piece.offsetBytes,
    length: piece.lengthBytes,
    digest: formatPieceDigest(piece.crc32),
    content: more.content,
    trafficType: trafficNumberOf(piece.traffic) as WireTraffic, // the table of numbers is the enum's
    cost: durationOf(more.costMs ?? 0),
    createdAt: timestampOf(more.createdAtMs ?? ("createdAtMs" in piece ? piece.createdAtMs : 0)),
  };
}

export function wireStoredOf(stored: StoredTask, peerId: string): WireStored {
  const { meta } = stored;
  const finished = stored.state === "finished";
  return {
    taskId: meta.id,
    peerId,
    url: meta.url,
    digest: meta.digest ?? "",
    tag: meta.tag ?? "",
    application: meta.application ?? "",
    pieceLength: meta.pieceLength,
    contentLength: meta.contentLength,
    pieceCount: meta.pieceCount,
    finishedPieces: finished ? new Uint8Array() : stored.finished.toBytes(),
    finished,
    sourceRanges: givesRanges(meta),
  };
}

export function localTaskOf(stored: StoredTask): LocalTask {
  const { meta, bytesFrom, pinnedUntilMs } = stored;
  return {
    taskId: meta.id,
    url: meta.url,
    digest: meta.digest ?? "",
    tag: meta.tag ?? "",
    application: meta.application ?? "",
    contentLength: meta.contentLength,
    pieceLength: meta.pieceLength,
    pieceCount: meta.pieceCount,
    finishedPieceCount: stored.finished.count,
    bytesFromSource: bytesFrom["back-to-source"],
    bytesFromPeers: bytesFrom["remote-peer"],
    bytesUploaded: stored.uploadedBytes,
    state: stored.state,
    inUse: stored.inUse,
    createdAt: timestampOf(stored.createdAtMs),
    accessedAt: timestampOf(stored.accessedAtMs),
    finishedAt: stored.finishedAtMs === undefined ? undefined : timestampOf(stored.finishedAtMs),
    pinned: pinnedUntilMs !== undefined,
    pinnedUntil: pinnedUntilMs === undefined || pinnedUntilMs === PINNED_FOR_GOOD ? undefined : timestampOf(pinnedUntilMs),
  };
}

export function wireStatOf(stored: StoredTask): StatLocalTaskResponse {
  const { meta } = stored;
  return {
    taskId: meta.id,
    pieceLength: meta.pieceLength,
    contentLength: meta.contentLength,
    responseHeader: { ...meta.responseHeader },
    uploadingCount: stored.inUse.filter((reason) => reason === "upload").length,
    uploadedCount: Math.floor(stored.uploadedBytes / Math.max(1, meta.pieceLength)),
    createdAt: timestampOf(stored.createdAtMs),
    updatedAt: timestampOf(stored.accessedAtMs),
    finishedAt: stored.finishedAtMs === undefined ? undefined : timestampOf(stored.finishedAtMs),
  };
}

/** DER certificates as PEM texts. Throws `input.invalid`. */
export function pemOf(chain: readonly Uint8Array[]): readonly string[] | undefined {
  if (chain.length === 0) return undefined;
  if (chain.length > CERTIFICATES_MAX) throw new AnaxError("input.invalid", { reason: "too many certificates", count: chain.length });
  try {
    return chain.map((der) => new X509Certificate(der).toString());
  } catch (cause) {
    throw new AnaxError("input.invalid", { reason: "not a DER certificate" }, { cause });
  }
}

export function objectStorageOf(from: { readonly objectStorage?: WireDownload["objectStorage"] }): ObjectStorage | undefined {
  const storage = from.objectStorage;
  if (storage === undefined) return undefined;
  const { region, endpoint, accessKeyId, accessKeySecret, sessionToken, insecureSkipVerify } = storage;
  return { region, endpoint, accessKeyId, accessKeySecret, sessionToken: sessionToken ?? storage.securityToken, insecureSkipVerify };
}

const derOf = (chain: readonly string[] | undefined): Uint8Array[] => (chain ?? []).map((pem) => new X509Certificate(pem).raw);

const isPort = (port: number): boolean => Number.isInteger(port) && port > 0 && port <= 65_535;

function pieceLengthOf(pieceLength: number | undefined): number | undefined {
  if (pieceLength === undefined || pieceLength === 0) return undefined;
  if (pieceLength >= PIECE_LENGTH_MIN && pieceLength <= PIECE_LENGTH_MAX) return pieceLength;
  throw new AnaxError("input.invalid", { reason: "piece length out of bounds", pieceLength, min: PIECE_LENGTH_MIN, max: PIECE_LENGTH_MAX });
}

function timeoutMsOf(download: WireDownload): number {
  const ms = download.timeout === undefined ? 0 : msOf(download.timeout);
  return ms <= 0 ? TIMEOUT_DEFAULT_MS : Math.min(ms, TIMEOUT_MAX_MS);
}
