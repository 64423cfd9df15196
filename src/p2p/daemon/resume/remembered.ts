import { z } from "zod";
import { parseTaskId, type TaskId } from "../../model/ids.ts";
import { isPriority } from "../../model/types.ts";
import type { DownloadRequest } from "../types.ts";
import { TIMEOUT_MAX_MS } from "../api.ts";
import { withoutSecrets } from "../url-secrets.ts";

/** A download that runs, as it is written to disk: nothing in it is secret. Its shape is in docs/formats/running-downloads.md. */
export const Remembered = z.strictObject({
  taskId: z.string().transform((text): TaskId => parseTaskId(text)),
  url: z.string(),
  digest: z.string().optional(),
  tag: z.string().optional(),
  application: z.string().optional(),
  filteredQueryParams: z.array(z.string()),
  requestHeader: z.record(z.string(), z.string()),
  pieceLength: z.int().positive().optional(),
  contentForTaskId: z.string().optional(),
  taskIdFromBlobDigest: z.boolean(),
  priority: z.custom<DownloadRequest["priority"]>((value) => typeof value === "number" && isPriority(value)),
  disableBackToSource: z.boolean(),
  certificateChain: z.array(z.string()).optional(),
  objectStorage: z
    .strictObject({ region: z.string().optional(), endpoint: z.string().optional(), insecureSkipVerify: z.boolean().optional() })
    .optional(),
  /** Nobody waits for it any longer than that. Unix time, milliseconds. */
  untilMs: z.number(),
  /** Starts of the daemon in a row at which it was resumed and brought no piece. */
  starts: z.int().min(0),
});
export type Remembered = z.output<typeof Remembered>;

/** Names in lower case of the headers that say nothing secret; whatever else a client sends may be a key to something. */
const HARMLESS_HEADERS: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "cache-control",
  "pragma",
  "user-agent",
]);

/** Query parameters that sign, or let in. Too many are better than too few: their downloads only wait for their client to read the source. */
const SECRET_PARAM = /sig|token|secret|pass|auth|key|cred|policy|jwt|hmac|session|code/i;

/**
 * What of a request may be written to disk. Where that is not all, since it has credentials, the source would refuse the rest: such a download
 * goes on from peers only, until its client comes again.
 */
export function rememberedOf(taskId: TaskId, request: DownloadRequest, untilMs: number): Remembered {
  const url = urlToKeep(request);
  const requestHeader = Object.fromEntries(
    Object.entries(request.requestHeader).filter(([name]) => HARMLESS_HEADERS.has(name.toLowerCase())),
  );
  const { accessKeyId, accessKeySecret, sessionToken, ...storage } = request.objectStorage ?? {};
  const isWhole =
    url === request.url &&
    Object.keys(requestHeader).length === Object.keys(request.requestHeader).length &&
    (accessKeyId ?? accessKeySecret ?? sessionToken) === undefined;
  return {
    taskId,
    url,
    digest: request.digest,
    tag: request.tag,
    application: request.application,
    filteredQueryParams: [...request.filteredQueryParams],
    requestHeader,
    pieceLength: request.pieceLength,
    contentForTaskId: request.contentForTaskId,
    taskIdFromBlobDigest: request.taskIdFromBlobDigest,
    priority: request.priority,
    disableBackToSource: request.disableBackToSource || !isWhole,
    certificateChain: request.certificateChain && [...request.certificateChain],
    objectStorage: request.objectStorage && storage,
    untilMs,
    starts: 0,
  };
}

/** The request that goes on where that one was. An order to read the source is not part of it: another may have got it meanwhile. */
export function requestOfRemembered({ taskId: _taskId, starts: _starts, untilMs, ...request }: Remembered, nowMs: number): DownloadRequest {
  return { ...request, needBackToSource: false, timeoutMs: Math.min(untilMs - nowMs, TIMEOUT_MAX_MS) };
}

/** Parameters that do not name the content are left out: most of them sign. Where others look secret, no query is left. */
function urlToKeep({ url: text, filteredQueryParams }: DownloadRequest): string {
  const url = URL.parse(text);
  if (url === null) return "";
  const names = [...url.searchParams.keys()];
  if (names.some((name) => SECRET_PARAM.test(name) && !filteredQueryParams.includes(name))) return withoutSecrets(text);
  const filtered = names.filter((name) => filteredQueryParams.includes(name));
  if (filtered.length === 0 && url.username === "" && url.password === "") return text;
  for (const name of filtered) url.searchParams.delete(name);
  url.username = url.password = "";
  return url.href;
}
