import { isIP } from "node:net";
import { AnaxError } from "../../base/errors.ts";
import type { Neighbour as WireNeighbour, Rejection as WireRejection } from "../../wire/grpc/gen/anax/v1/common.ts";
import type {
  SourceReading as WireReading,
  StoredTask as WireStored,
  TaskProgress as WireProgress,
} from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import {
  Peer as WirePeer,
  SizeScope,
  Task as WireTask,
  type Download,
  type Host as WireHost,
} from "../../wire/grpc/gen/common/v2/common.ts";
import { msOf, timestampOf } from "../../wire/grpc/time.ts";
import { parseHostId, parsePeerId, parseTaskId } from "../model/ids.ts";
import { parseDigest, pieceCountOf } from "../model/piece.ts";
import { isPriority, type SourceReading } from "../model/types.ts";
import type { ProgressFacts, StoredFacts } from "./events.ts";
import { distanceOf, placeOf } from "./nearness.ts";
import type { Rejections } from "./rules.ts";
import {
  isReading,
  isWhole,
  taskStateOf,
  type HostFacts,
  type Layout,
  type Peer,
  type PeerState,
  type Task,
  type TaskState,
} from "./state.ts";

// The border between messages and this room: everything that comes in is checked here, once.

const URL_CHARS_MAX = 16 * 1024;
const NAME_CHARS_MAX = 1024;
const SIGNING_KEY_BYTES = 32;
/** Of headers, certificates and the like that an order carries: kept for as long as its download runs. */
const ORDER_BYTES_MAX = 256 * 1024;

const invalid = (reason: string, details: Readonly<Record<string, string | number>> = {}): AnaxError =>
  new AnaxError("input.invalid", { reason, ...details });

/** Throws `input.invalid`. */
export function hostFactsOf(host: WireHost | undefined): HostFacts {
  if (host === undefined) throw invalid("the host is missing");
  const { ip, port, downloadPort, network } = host;
  if (isIP(ip) === 0) throw invalid("the host's ip is no IP address", { ip: ip.slice(0, 64) });
  if (!isPort(port)) throw invalid("the host's port is out of range", { port });
  if (!isPort(downloadPort)) throw invalid("the host's download_port is out of range", { downloadPort });
  const location = network?.location ?? "";
  const idc = network?.idc ?? "";
  for (const text of [host.hostname, location, idc]) if (text.length > NAME_CHARS_MAX) throw invalid("a name of the host is too long");
  return {
    id: parseHostId(host.id),
    hostname: host.hostname,
    ip,
    port,
    seed: host.type !== 0,
    sharing: !host.disableShared,
    place: placeOf(idc, location),
    announced: host,
  };
}

/** Throws `input.invalid`. */
export function orderOf(download: Download | undefined): { readonly order: Download; readonly layout: Layout | undefined } {
  if (download === undefined) throw invalid("the download is missing");
  if (download.url.length > URL_CHARS_MAX || URL.parse(download.url) === null)
    throw invalid("not a URL", { url: download.url.slice(0, 256) });
  if (!isPriority(download.priority)) throw invalid("no such priority", { priority: download.priority });
  if (download.digest) parseDigest(download.digest);
  if (bytesOf(download) > ORDER_BYTES_MAX)
    throw invalid("the download's headers, parameters and certificates are too long", { bytesMax: ORDER_BYTES_MAX });
  const order = {
    ...download,
    digest: download.digest || undefined,
    tag: download.tag || undefined,
    application: download.application || undefined,
  };
  return { order, layout: layoutOf(download.actualContentLength, download.actualPieceLength) };
}

/** Throws `input.invalid`. */
export function storedFactsOf(stored: WireStored | undefined): StoredFacts {
  if (stored === undefined) throw invalid("the task is missing");
  if (stored.url.length > URL_CHARS_MAX) throw invalid("the URL is too long");
  const isEmpty = stored.finished && stored.contentLength === 0;
  const layout = isEmpty ? EMPTY_LAYOUT : layoutOf(stored.contentLength, stored.pieceLength);
  return {
    taskId: parseTaskId(stored.taskId),
    peerId: parsePeerId(stored.peerId),
    url: stored.url,
    digest: stored.digest || undefined,
    tag: stored.tag || undefined,
    application: stored.application || undefined,
    layout,
    finishedPieces: bitmapOf(stored.finishedPieces, layout),
    finished: stored.finished && layout !== undefined,
    sourceRanges: stored.sourceRanges,
  };
}

/** Throws `input.invalid`. */
export function progressFactsOf(progress: WireProgress): ProgressFacts {
  const layout = layoutOf(progress.contentLength, progress.pieceLength);
  return {
    peerId: parsePeerId(progress.peerId),
    layout,
    finishedPieces: bitmapOf(progress.finishedPieces, layout),
    source: progress.source && sourceReadingOf(progress.source),
  };
}

const sourceReadingOf = ({ bytes, elapsed, connections }: WireReading): SourceReading => ({
  bytes,
  elapsedMs: elapsed === undefined ? 0 : Math.max(0, msOf(elapsed)),
  connections,
});

/** Undefined where the host does not sign. Throws `input.invalid`. */
export function signingKeyOf(key: Uint8Array): Uint8Array | undefined {
  if (key.length === 0) return undefined;
  if (key.length !== SIGNING_KEY_BYTES) throw invalid("no Ed25519 public key", { bytes: key.length });
  return key;
}

export const wireRejectionsOf = (rejections: Rejections): WireRejection[] =>
  Object.entries(rejections).map(([rule, count]) => ({ rule, count: count ?? 0 }));

/** As a candidate parent and as the answer to StatPeer; `epochMs` turns the state's time into wall time. */
export function wirePeerOf(peer: Peer, epochMs: number): WirePeer {
  const layout = peer.layout ?? peer.task.layout;
  return WirePeer.fromPartial({
    id: peer.id,
    range: peer.order?.range,
    priority: peer.order?.priority ?? 0,
    state: PEER_STATE_NAMES[peer.state],
    task: wireTaskOf(peer.task, epochMs, layout),
    host: peer.host.facts.announced,
    needBackToSource: peer.permit !== undefined,
    createdAt: timestampOf(epochMs + peer.createdAtMs),
    updatedAt: timestampOf(epochMs + peer.updatedAtMs),
    concurrentPieceCount: peer.order?.concurrentPieceCount,
    finishedPieces: layout === undefined ? undefined : peer.pieces.toBytes(layout.pieceCount),
  });
}

/** As `child` is told of it. */
export function wireNeighbourOf(child: Peer, peer: Peer): WireNeighbour {
  const { facts } = peer.host;
  return {
    peerId: peer.id,
    hostId: facts.id,
    ip: facts.ip,
    port: facts.port,
    downloadPort: facts.announced.downloadPort,
    seed: facts.seed,
    reader: isReading(peer),
    whole: isWhole(peer),
    distance: distanceOf(child.host.facts.place, facts.place),
  };
}

/** Headers of the order are nobody else's business and stay here. */
export function wireTaskOf(task: Task, epochMs: number, layout: Layout | undefined = task.layout): WireTask {
  return WireTask.fromPartial({
    id: task.id,
    url: task.url,
    digest: task.digest,
    tag: task.tag,
    application: task.application,
    contentLength: layout?.contentLength ?? 0,
    pieceCount: layout?.pieceCount ?? 0,
    pieceLength: layout?.pieceLength,
    sizeScope: layout?.contentLength === 0 ? SizeScope.EMPTY : SizeScope.NORMAL,
    state: TASK_STATE_NAMES[taskStateOf(task)],
    peerCount: task.peers.size,
    hasAvailablePeer: task.roster.roots.size > 0,
    createdAt: timestampOf(epochMs + task.createdAtMs),
    updatedAt: timestampOf(epochMs + task.updatedAtMs),
  });
}

/** What Dragonfly's own tools print. */
const PEER_STATE_NAMES: Readonly<Record<PeerState, string>> = {
  pending: "Pending",
  partial: "Pending",
  received: "ReceivedNormal",
  running: "Running",
  "back-to-source": "BackToSource",
  succeeded: "Succeeded",
  failed: "Failed",
  left: "Leave",
};
const TASK_STATE_NAMES: Readonly<Record<TaskState, string>> = {
  pending: "Pending",
  running: "Running",
  succeeded: "Succeeded",
  failed: "Failed",
};

const EMPTY = new Uint8Array(0);

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 1 && port <= 65_535;

/** Undefined where the peer does not know; throws `input.invalid` where it makes no sense. */
function layoutOf(contentLength: number | undefined, pieceLength: number | undefined): Layout | undefined {
  if (contentLength === undefined || !pieceLength) return contentLength === 0 && pieceLength === undefined ? EMPTY_LAYOUT : undefined;
  return { contentLength, pieceLength, pieceCount: pieceCountOf({ contentLength, pieceLength }) };
}

/** Of nothing there are no pieces, however long each were. */
const EMPTY_LAYOUT: Layout = { contentLength: 0, pieceLength: 1, pieceCount: 0 };

/** Without bits beyond the last piece, which would count as pieces. Throws `input.invalid`. */
function bitmapOf(bytes: Uint8Array, layout: Layout | undefined): Uint8Array {
  if (layout === undefined) return EMPTY;
  const bytesMax = (layout.pieceCount + 7) >> 3;
  if (bytes.length > bytesMax) throw invalid("a bitmap longer than the task");
  const strays = layout.pieceCount % 8;
  if (strays === 0 || bytes.length !== bytesMax) return bytes;
  const copy = bytes.slice();
  copy[copy.length - 1]! &= (1 << strays) - 1; // there is at least one byte
  return copy;
}

function bytesOf(download: Download): number {
  const texts = [
    ...Object.entries(download.requestHeader).flat(),
    ...download.filteredQueryParams,
    download.tag,
    download.application,
    download.outputPath,
  ];
  const chars = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
  return download.certificateChain.reduce((sum, certificate) => sum + certificate.length, chars);
}
