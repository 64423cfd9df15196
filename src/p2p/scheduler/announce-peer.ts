import { AnaxError } from "../../base/errors.ts";
import type { BidiCall } from "../../wire/grpc/handlers.ts";
import type { AnnouncePeerRequest, AnnouncePeerResponse, RegisterPeerRequest } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { parseHostId, parsePeerId, parseTaskId, type HostId, type PeerId, type TaskId } from "../model/ids.ts";
import { orderOf } from "./api.ts";
import type { Event } from "./events.ts";
import type { OpenStream, SchedulerRunner } from "./runner.ts";
import { converse } from "./stream.ts";

type Request = NonNullable<AnnouncePeerRequest["request"]>;

export interface DownloadIds {
  readonly hostId: HostId;
  readonly taskId: TaskId;
  readonly peerId: PeerId;
}

/** Texts of people's making, kept for explanations only. */
const DESCRIPTION_CHARS_MAX = 300;
/** Parents named in one request; a scheduler offers far fewer. */
const PARENTS_MAX = 256;

/**
 * One download's conversation, Dragonfly's `scheduler.v2.Scheduler/AnnouncePeer`: registers first, and is closed by us after the report
 * that ends the download. A stream that breaks before that ends the download as far as we are concerned.
 */
export async function announcePeer(runner: SchedulerRunner, call: BidiCall<AnnouncePeerRequest, AnnouncePeerResponse>): Promise<void> {
  const { stream, run } = converse(call, runner.newStream());
  let ids: DownloadIds | undefined;
  try {
    await run(async (message) => {
      if (ids !== undefined) return report(runner, ids, message);
      await runner.expectHost(parseHostId(message.hostId), call.signal);
      ids = begin(runner, stream, message);
    });
  } finally {
    // As for a host: the end of our own service is no event of the cluster.
    if (ids !== undefined && !call.draining.aborted) runner.disconnectPeer(ids.peerId, stream);
  }
}

/** The first message of a conversation registers. A host that speaks for itself may speak for no other. */
export function begin(
  runner: SchedulerRunner,
  stream: OpenStream<AnnouncePeerResponse>,
  message: AnnouncePeerRequest,
  host?: HostId,
): DownloadIds {
  const { request } = message;
  if (request?.$case !== "registerPeerRequest")
    throw new AnaxError("input.invalid", { reason: "the first request registers", request: request?.$case });
  const ids = idsOf(message, undefined);
  if (host !== undefined && ids.hostId !== host) throw new AnaxError("input.invalid", { reason: "the host id is not the stream's" });
  register(runner, stream, { ids, request: request.value });
  return ids;
}

export function report(runner: SchedulerRunner, ids: DownloadIds, message: AnnouncePeerRequest): void {
  const { request } = message;
  if (request === undefined) throw new AnaxError("input.invalid", { reason: "the request says nothing" });
  const event = eventOf(idsOf(message, ids).peerId, request);
  if (event !== undefined) runner.tell(event);
}

function register(
  runner: SchedulerRunner,
  stream: OpenStream<AnnouncePeerResponse>,
  { ids, request }: { readonly ids: DownloadIds; readonly request: RegisterPeerRequest },
): void {
  const { order, layout } = orderOf(request.download);
  const owner = runner.cluster.peers.get(ids.peerId)?.host.facts.id;
  // Before the stream is connected, lest a stranger take another's place.
  if (owner !== undefined && owner !== ids.hostId) throw new AnaxError("input.invalid", { reason: "the peer id is another host's" });
  runner.connectPeer(ids.peerId, stream);
  runner.tell({ kind: "peerRegistered", ...ids, streamId: stream.id, order, layout });
}

function eventOf(peerId: PeerId, request: Request): Event | undefined {
  switch (request.$case) {
    case "registerPeerRequest":
      throw new AnaxError("input.invalid", { reason: "this stream has registered already" });
    case "downloadPeerStartedRequest":
      return { kind: "peerStarted", peerId };
    case "downloadPeerBackToSourceStartedRequest":
      return { kind: "backToSourceStarted", peerId, description: textOf(request.value.description) };
    case "reschedulePeerRequest": {
      const parentIds = request.value.candidateParents.slice(0, PARENTS_MAX).map(({ id }) => id);
      return { kind: "rescheduled", peerId, parentIds, description: textOf(request.value.description) };
    }
    case "downloadPeerFinishedRequest":
    case "downloadPeerBackToSourceFinishedRequest":
      return { kind: "peerFinished", peerId };
    case "downloadPeerFailedRequest":
      return { kind: "peerFailed", peerId, description: textOf(request.value.description), readingSource: false };
    case "downloadPeerBackToSourceFailedRequest":
      return { kind: "peerFailed", peerId, description: textOf(request.value.description), readingSource: true };
    case "downloadPieceFinishedRequest":
      return {
        kind: "pieceFinished",
        peerId,
        pieceIndex: pieceIndexOf(request.value.piece),
        parentId: request.value.piece?.parentId ?? "",
      };
    case "downloadPieceBackToSourceFinishedRequest":
      return { kind: "sourcePieceFinished", peerId, pieceIndex: pieceIndexOf(request.value.piece) };
    case "downloadPieceFailedRequest":
      return {
        kind: "pieceFailed",
        peerId,
        parentId: request.value.parentId,
        temporary: request.value.temporary,
        code: request.value.code,
      };
    case "downloadPieceBackToSourceFailedRequest":
      return { kind: "sourcePieceFailed", peerId, error: sourceErrorOf(request.value.response) };
  }
}

function sourceErrorOf(response: Extract<Request, { $case: "downloadPieceBackToSourceFailedRequest" }>["value"]["response"]) {
  if (response?.$case === "backend") return { message: textOf(response.value.message), statusCode: response.value.statusCode };
  return { message: textOf(response?.value.message), statusCode: undefined };
}

function pieceIndexOf(piece: { readonly number: number } | undefined): number {
  if (piece === undefined) throw new AnaxError("input.invalid", { reason: "the piece is missing" });
  return piece.number;
}

/** The ids of a message; those of the registration hold for the whole stream. Throws `input.invalid`. */
function idsOf(message: AnnouncePeerRequest, registered: DownloadIds | undefined): DownloadIds {
  if (registered === undefined) {
    return { hostId: parseHostId(message.hostId), taskId: parseTaskId(message.taskId), peerId: parsePeerId(message.peerId) };
  }
  const same = message.hostId === registered.hostId && message.taskId === registered.taskId && message.peerId === registered.peerId;
  if (!same) throw new AnaxError("input.invalid", { reason: "the ids are not those that the stream registered" });
  return registered;
}

const textOf = (text: string | undefined): string => (text ?? "").slice(0, DESCRIPTION_CHARS_MAX);
