import { AnaxError } from "../../base/errors.ts";
import { blobTaskIdOf, contentTaskIdOf, taskIdOf, type TaskId } from "../model/ids.ts";
import { pieceCountOf, pieceLengthOf } from "../model/piece.ts";
import type { TaskMeta } from "../model/types.ts";
import type { DownloadRequest } from "./types.ts";

/** The task that a request is about. Throws `input.invalid`. */
export function taskIdOfRequest(request: DownloadRequest): TaskId {
  if (request.contentForTaskId !== undefined) return contentTaskIdOf(request.contentForTaskId);
  const blob = request.taskIdFromBlobDigest ? blobTaskIdOf(request.url) : undefined;
  return blob ?? taskIdOf(request);
}

/** The digest that the content must have: the request's, or that of the registry blob which names the task. */
export function expectedDigestOf(request: DownloadRequest): string | undefined {
  if (request.digest !== undefined || !request.taskIdFromBlobDigest) return request.digest;
  const blob = blobTaskIdOf(request.url);
  return blob === undefined || request.contentForTaskId !== undefined ? undefined : `sha256:${blob}`;
}

/** Everything about a task once its length is known. Throws `input.invalid` for a length that cannot be cut. */
export function metaOf(
  id: TaskId,
  request: DownloadRequest,
  facts: {
    readonly contentLength: number;
    readonly pieceLength?: number | undefined;
    readonly digest?: string | undefined;
    readonly responseHeader: Readonly<Record<string, string>>;
  },
): TaskMeta {
  const pieceLength = request.pieceLength ?? facts.pieceLength ?? pieceLengthOf(facts.contentLength);
  const layout = { contentLength: facts.contentLength, pieceLength };
  return {
    id,
    url: request.url,
    digest: expectedDigestOf(request) ?? facts.digest,
    tag: request.tag,
    application: request.application,
    filteredQueryParams: request.filteredQueryParams,
    ...layout,
    pieceCount: pieceCountOf(layout),
    responseHeader: facts.responseHeader,
  };
}

/** Whether the source of this content gives parts of it: object stores and files do, HTTP servers say so. */
export const givesRanges = ({ url, responseHeader }: TaskMeta): boolean =>
  /^(?:file|s3):/i.test(url) || /\bbytes\b/i.test(responseHeader["accept-ranges"] ?? "");

/** Why content at the source is no longer what a part of it here came from; undefined while nothing speaks against it. */
export function changeOf(
  meta: TaskMeta,
  now: { readonly totalLength: number | undefined; readonly responseHeader: Readonly<Record<string, string>> },
): string | undefined {
  if (now.totalLength !== undefined && now.totalLength !== meta.contentLength) return "content-length";
  const [before, after] = [meta.responseHeader["etag"], now.responseHeader["etag"]];
  return before !== undefined && after !== undefined && before !== after ? "etag" : undefined;
}

/** What identifies the wrong kind of answer from a scheduler or parent. */
export function checkFacts(
  meta: TaskMeta,
  facts: { readonly contentLength?: number | undefined; readonly pieceLength?: number | undefined },
): void {
  const wrong =
    (facts.contentLength !== undefined && facts.contentLength !== meta.contentLength) ||
    (facts.pieceLength !== undefined && facts.pieceLength !== meta.pieceLength);
  if (wrong) throw new AnaxError("rpc.failed-precondition", { reason: "the peer has another version of the content", task: meta.id });
}
