import type { AnaxError } from "../../../base/errors.ts";
import type { StoredTask } from "../../pieces/types.ts";
import type { RateClass } from "../rates/types.ts";
import type { DownloadedPiece, PieceFailure } from "../types.ts";

/** A peer of the task that the scheduler introduces. */
export interface Introduction {
  readonly peerId: string;
  readonly hostId: string;
  readonly ip: string;
  /** Of its upload service. */
  readonly port: number;
  /** Of its piece server. */
  readonly transferPort: number;
  /** 0: the same rack, or nobody knows. */
  readonly distance: number;
}

/** What the content is, as a neighbour says. */
export interface LearnedContent {
  readonly contentLength: number;
  readonly pieceLength: number;
  readonly responseHeader: Readonly<Record<string, string>>;
}

/** What a download wants to hear of its fetching. */
export interface MeshListener {
  /** How it counts among other downloads where rates are limited. */
  readonly rateClass: RateClass;
  readonly onPiece: (piece: DownloadedPiece, costMs: number) => void;
  readonly onPieceFailed: (failure: PieceFailure) => void;
  /** This one does not trade, although it is ours: it may be asked for whole pieces. */
  readonly onStranger: (peer: Introduction) => void;
  /** No neighbour is left. */
  readonly onAlone: () => void;
  /** Nothing came and nothing is on its way, for the configured time. */
  readonly onNoProgress: () => void;
  readonly onComplete: () => void;
  /** This machine's own trouble: the disk. */
  readonly onFailed: (error: AnaxError) => void;
}

/** How a download takes part in a task's mesh. Disposing ends the fetching; what is here is still given to others. */
export interface MeshPart extends AsyncDisposable {
  introduce(peers: readonly Introduction[], readerKeys: readonly Uint8Array[]): void;
  /** What the first neighbour says that knows. Rejects when the task is forgotten. */
  learned(): Promise<LearnedContent>;
  /** The task on disk: what is in it is given from now on. */
  open(stored: StoredTask): void;
  /** Starts to fetch what is missing. */
  fetch(): void;
  /** This host reads the source: its word counts, and it sends unique pieces first. */
  setReading(reading: boolean): void;
  /** Keeps a piece from being fetched here, since somebody else on this host does; or lets it go. */
  claim(piece: number, claimed: boolean): void;
  /** Whether a neighbour has the piece or gets it. */
  isThere(piece: number): boolean;
  /** Whether the piece is on its way from a neighbour. */
  isRequested(piece: number): boolean;
  readonly neighbourCount: number;
}
