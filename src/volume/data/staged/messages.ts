import type { ErrorCode, ErrorDetails } from "../../../base/errors.ts";
import type { Blob } from "../../meta/extents.ts";
import type { RemotePlaces } from "./remote-blobs.ts";

/** What the thread that moves blobs begins with. */
export interface MoverStart extends RemotePlaces {
  /** The volume's metadata: to know which of the blobs that an earlier process left is content of a file. */
  readonly meta: string;
}

export type ToMover = { readonly kind: "upload" | "fetch"; readonly blob: Blob } | { readonly kind: "end" };

/** Of one blob, by its id. A failed upload is tried again by itself, a failed fetch only when it is asked for. */
export type FromMover =
  | { readonly kind: "ready" }
  | { readonly kind: "uploaded" | "fetched"; readonly id: number }
  | { readonly kind: "upload-failed" | "fetch-failed"; readonly id: number; readonly code: ErrorCode; readonly details: ErrorDetails };
