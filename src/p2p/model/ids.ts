import { createHash, type Hash } from "node:crypto";
import { AnaxError } from "../../base/errors.ts";

/** 64 lower-case hexadecimal characters: names a content, its URL or its bytes, in the whole cluster. */
export type TaskId = string & { readonly __brand: "TaskId" };
/** Names a machine's daemon. */
export type HostId = string & { readonly __brand: "HostId" };
/** Names one download of one task by one host. */
export type PeerId = string & { readonly __brand: "PeerId" };

/** What the parts of a task id may be; all but the URL may be absent and then add nothing. */
export interface TaskIdInput {
  readonly url: string;
  readonly tag?: string | undefined;
  readonly application?: string | undefined;
  /** Of a model hub's repository (Hugging Face, ModelScope). */
  readonly revision?: string | undefined;
  /** Bytes; only when fixed by the user, never the computed one. */
  readonly pieceLength?: number | undefined;
  readonly filteredQueryParams?: readonly string[] | undefined;
}

/** The longest host or peer id that we accept from others; ours stay far below. */
const ID_BYTES_MAX = 1024;

export function parseTaskId(text: string): TaskId {
  if (!/^[0-9a-f]{64}$/.test(text)) throw new AnaxError("input.invalid", { reason: "a task id is 64 lower-case hexadecimal characters" });
  return text as TaskId;
}

export const parseHostId = (text: string): HostId => parseName(text, "host id") as HostId;
export const parsePeerId = (text: string): PeerId => parseName(text, "peer id") as PeerId;

/**
 * The id of a standard task, equal to that of Dragonfly's client 1.5: parts follow each other with nothing between.
 * Throws `input.invalid` when the URL is none.
 */
export function taskIdOf(input: TaskIdInput): TaskId {
  const hash = sha256(namedUrlOf(input.url, input.filteredQueryParams ?? []));
  return finish(hash, [input.tag, input.application, input.revision, input.pieceLength?.toString()], "STANDARD");
}

/**
 * The id of a container blob, the hexadecimal part of its digest, from a blob URL or path (`/v2/<name>/blobs/sha256:<hex>`) or the digest itself.
 * Undefined when it is something else; also for sha512, which no Vortex packet can carry.
 */
export function blobTaskIdOf(urlOrDigest: string): TaskId | undefined {
  const hex = /^(?:[^?#]*\/v2\/[^?#]+\/blobs\/)?sha256:([0-9a-f]{64})(?:\?[^#]*)?$/.exec(urlOrDigest)?.[1];
  return hex === undefined ? undefined : (hex as TaskId);
}

/** The id of a task for which the user gave a text to compute it from. */
export const contentTaskIdOf = (text: string): TaskId => sha256(text).digest("hex") as TaskId;

/** The id of a persistent task in object storage. */
export function persistentTaskIdOf(input: { readonly url: string; readonly region: string; readonly endpoint: string }): TaskId {
  return finish(sha256(input.url), [input.region, input.endpoint], "PERSISTENT");
}

/** The id of a persistent cache task: its bytes decide, so they are read through once. Aborting is up to the iterable. */
export async function persistentCacheTaskIdOf(
  content: AsyncIterable<Uint8Array>,
  input: Pick<TaskIdInput, "tag" | "application" | "pieceLength"> = {},
): Promise<TaskId> {
  const hash = createHash("sha256");
  for await (const chunk of content) hash.update(chunk);
  return finish(hash, [input.tag, input.application, input.pieceLength?.toString()], "PERSISTENT_CACHE");
}

export function hostIdOf(host: { readonly ip: string; readonly hostname: string; readonly seed: boolean }): HostId {
  return `${host.ip}-${host.hostname}${host.seed ? "-seed" : ""}` as HostId;
}

export function peerIdOf(peer: { readonly ip: string; readonly hostname: string; readonly uuid: string; readonly seed: boolean }): PeerId {
  return `${peer.ip}-${peer.hostname}-${peer.uuid}${peer.seed ? "-seed" : ""}` as PeerId;
}

/** The URL as it enters a task id: parsed, filtered parameters dropped, the query written anew as a form, a bare root slash cut. */
function namedUrlOf(text: string, filteredQueryParams: readonly string[]): string {
  const url = URL.parse(text);
  if (url === null) throw new AnaxError("input.invalid", { reason: "not a URL", url: text.slice(0, 256) });
  const kept = [...url.searchParams].filter(([name]) => !filteredQueryParams.includes(name));
  url.search = new URLSearchParams(kept).toString();
  const href = withBareCarets(url, text);
  return url.pathname === "/" && href.endsWith("/") ? href.replace(/\/+$/, "") : href;
}

/**
 * The URL standard came to encode `^` in paths, upstream's parser did not follow: the one ASCII character where both differ.
 * (Still apart: a path with both `^` and `%5E`, and `file:` URLs with doubled slashes or `a|` for a drive.)
 */
function withBareCarets(url: URL, text: string): string {
  if (!text.includes("^") || text.includes("%5E")) return url.href;
  return url.href.replace(url.pathname, (path) => path.replaceAll("%5E", "^"));
}

const sha256 = (text: string): Hash => createHash("sha256").update(text);

function finish(hash: Hash, parts: readonly (string | undefined)[], kind: string): TaskId {
  for (const part of parts) if (part !== undefined) hash.update(part);
  return hash.update(kind).digest("hex") as TaskId;
}

function parseName(text: string, what: string): string {
  // A control character in a name could forge log lines and file names.
  const sound = text !== "" && Buffer.byteLength(text) <= ID_BYTES_MAX && !/\p{Cc}/u.test(text);
  if (!sound) throw new AnaxError("input.invalid", { reason: `a ${what} is 1 to ${ID_BYTES_MAX} bytes without control characters` });
  return text;
}
