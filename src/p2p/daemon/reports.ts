import type { AnaxError } from "../../base/errors.ts";
import { Download as WireDownload, Peer as WirePeer } from "../../wire/grpc/gen/common/v2/common.ts";
import { wireDownloadOf, wirePieceOf, type ParentOffer } from "./api.ts";
import type { Report } from "./announcement.ts";
import type { DownloadedPiece, DownloadRequest } from "./types.ts";

// The reports of a download to its scheduler, as messages.

export function registerReport(request: DownloadRequest, facts: Parameters<typeof wireDownloadOf>[1]): Report {
  return { $case: "registerPeerRequest", value: { download: WireDownload.fromPartial(wireDownloadOf(request, facts)) } };
}

export const startedReport: Report = { $case: "downloadPeerStartedRequest", value: {} };

export const sourceStartedReport = (description: string): Report => ({
  $case: "downloadPeerBackToSourceStartedRequest",
  value: { description },
});

export function rescheduleReport(parents: readonly (Pick<ParentOffer, "peerId"> & Partial<ParentOffer>)[], description: string): Report {
  const candidateParents = parents.map(({ peerId, wire }) => wire ?? WirePeer.fromPartial({ id: peerId }));
  return { $case: "reschedulePeerRequest", value: { candidateParents, description } };
}

export function pieceReport(piece: DownloadedPiece, costMs: number, wallMs: number): Report {
  const value = { piece: wirePieceOf(piece, { costMs, createdAtMs: wallMs }) };
  return piece.traffic === "back-to-source"
    ? { $case: "downloadPieceBackToSourceFinishedRequest", value }
    : { $case: "downloadPieceFinishedRequest", value };
}

export function pieceFailedReport(failure: {
  readonly index: number;
  readonly parent: Pick<ParentOffer, "peerId">;
  readonly temporary: boolean;
  readonly code: string;
}): Report {
  const { index, parent, temporary, code } = failure;
  return { $case: "downloadPieceFailedRequest", value: { pieceNumber: index, parentId: parent.peerId, temporary, code } };
}

export const finishedReport = (fromSource: boolean): Report =>
  fromSource ? { $case: "downloadPeerBackToSourceFinishedRequest", value: {} } : { $case: "downloadPeerFinishedRequest", value: {} };

/** What the source answered, for those who wait for this reader. */
export function sourceFailedReport(error: AnaxError): Report {
  const statusCode = error.details["status"];
  const backend = { message: error.message, header: {}, statusCode: typeof statusCode === "number" ? statusCode : STATUS_OF[error.code] };
  return { $case: "downloadPieceBackToSourceFailedRequest", value: { response: { $case: "backend", value: backend } } };
}

export const failedReport = (fromSource: boolean, error: AnaxError): Report => ({
  $case: fromSource ? "downloadPeerBackToSourceFailedRequest" : "downloadPeerFailedRequest",
  value: { description: error.message },
});

const STATUS_OF: Readonly<Partial<Record<AnaxError["code"], number>>> = {
  "source.forbidden": 403,
  "source.not-found": 404,
  "source.unauthorized": 401,
};
