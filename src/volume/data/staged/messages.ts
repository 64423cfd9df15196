import type { ErrorCode, ErrorDetails } from "../../../base/errors.ts";
import type { Blob } from "../../meta/extents.ts";
import type { RemotePlaces } from "./remote-blobs.ts";

export interface PeersBy {
  /** Unix socket of this machine's daemon, whether or not it runs. */
  readonly daemonSocket: string;
  /** What peers may always take before the store is asked besides; see `PeerPolicy`. */
  readonly waitMs: number;
}

export interface StagedPlaces extends RemotePlaces {
  /** The volume's metadata: to know which of the blobs that an earlier process left is content of a file. */
  readonly meta: string;
  /** Where processes tell where what they read came from. */
  readonly reads: string;
  /** Through whom peers are asked, where the volume says so. */
  readonly peers: PeersBy | undefined;
  /** Of `ReadCounts`, for another thread to read. Default: its own. */
  readonly counts?: SharedArrayBuffer | undefined;
}

/** What the thread that moves blobs begins with. */
export interface MoverStart extends StagedPlaces {
  /** Where this process tells what it has counted. */
  readonly countsPath: string;
  readonly counts: SharedArrayBuffer;
}

export type ToMover = { readonly kind: "upload" | "fetch"; readonly blob: Blob } | { readonly kind: "end" };

/** Of one blob, by its id. A failed upload is tried again by itself, a failed fetch only when it is asked for. */
export type FromMover =
  | { readonly kind: "ready" }
  | { readonly kind: "uploaded" | "fetched"; readonly id: number }
  | { readonly kind: "upload-failed" | "fetch-failed"; readonly id: number; readonly code: ErrorCode; readonly details: ErrorDetails };
