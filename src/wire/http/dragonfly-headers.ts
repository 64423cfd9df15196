import { singleHeader, type HeaderFields } from "./headers.ts";
import { parsePieceLength } from "./piece-length.ts";

/** Request headers by which a client of the proxy steers its download; spelt as Dragonfly's client 1.5 does, compared without case. */
export const DRAGONFLY_REQUEST_HEADERS = {
  tag: "X-Dragonfly-Tag",
  application: "X-Dragonfly-Application",
  priority: "X-Dragonfly-Priority",
  registry: "X-Dragonfly-Registry",
  filteredQueryParams: "X-Dragonfly-Filtered-Query-Params",
  useP2p: "X-Dragonfly-Use-P2P",
  prefetch: "X-Dragonfly-Prefetch",
  outputPath: "X-Dragonfly-Output-Path",
  forceHardLink: "X-Dragonfly-Force-Hard-Link",
  pieceLength: "X-Dragonfly-Piece-Length",
  contentForTaskId: "X-Dragonfly-Content-For-Calculating-Task-ID",
  blobDigestTaskId: "X-Dragonfly-Enable-Task-ID-Based-Blob-Digest",
} as const;

/** Response headers by which the proxy tells what it did. */
export const DRAGONFLY_RESPONSE_HEADERS = {
  /** `true` when the whole task was here before the request. */
  taskDownloadFinished: "X-Dragonfly-Task-Download-Finished",
  taskId: "X-Dragonfly-Task-ID",
  serverIp: "X-Dragonfly-Server-IP",
  errorType: "X-Dragonfly-Error-Type",
} as const;

/** Who failed: the source, the proxy itself, or the daemon behind it. */
export type DragonflyErrorType = "backend" | "proxy" | "dfdaemon";

/** What a request asked for; undefined where it is silent or, as upstream has it, makes no sense. */
export interface DragonflyRequest {
  readonly tag: string | undefined;
  readonly application: string | undefined;
  /** 0 to 6; upstream takes 6 when there is none. */
  readonly priority: number | undefined;
  /** Base URL of the registry that is meant. */
  readonly registry: string | undefined;
  readonly filteredQueryParams: readonly string[] | undefined;
  readonly useP2p: boolean;
  readonly prefetch: boolean | undefined;
  /** Absolute path on this machine. Whether this client may write there is for the proxy to judge. */
  readonly outputPath: string | undefined;
  readonly forceHardLink: boolean;
  /** Bytes, not yet checked against the bounds of a piece. */
  readonly pieceLength: number | undefined;
  readonly contentForTaskId: string | undefined;
  readonly blobDigestTaskId: boolean | undefined;
}

export function parseDragonflyRequest(headers: HeaderFields): DragonflyRequest {
  const text = (field: keyof typeof DRAGONFLY_REQUEST_HEADERS): string | undefined =>
    singleHeader(headers, DRAGONFLY_REQUEST_HEADERS[field].toLowerCase());
  const flag = (field: keyof typeof DRAGONFLY_REQUEST_HEADERS): boolean | undefined => {
    const value = text(field);
    return value === undefined ? undefined : value.toLowerCase() === "true";
  };
  return {
    tag: text("tag"),
    application: text("application"),
    priority: /^[0-6]$/.test(text("priority") ?? "") ? Number(text("priority")) : undefined,
    registry: text("registry"),
    filteredQueryParams: text("filteredQueryParams")
      ?.split(",")
      .map((name) => name.trim()),
    useP2p: flag("useP2p") ?? false,
    prefetch: flag("prefetch"),
    outputPath: text("outputPath"),
    forceHardLink: flag("forceHardLink") ?? false,
    pieceLength: parsePieceLength(text("pieceLength") ?? ""),
    contentForTaskId: text("contentForTaskId"),
    blobDigestTaskId: flag("blobDigestTaskId"),
  };
}
