import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { AnaxError } from "../../base/errors.ts";
import { notModified, questionOf, reply304 } from "./blob.ts";
import type { AccessQuestion } from "./access.ts";
import type { ProxyContext } from "./context.ts";
import { originOf } from "./endpoint.ts";
import type { Exchange } from "./exchange.ts";
import type { Manifest } from "./manifest-cache.ts";
import { countServed, type RequestOutcome } from "./metrics.ts";
import { passThrough, relay, type Destination } from "./pass-through.ts";
import { readLimited } from "./read-limited.ts";
import { headerRecord, OF_ONE_REQUEST, passedHeaders } from "./raw-headers.ts";

const DIGEST = /^(sha256|sha512):([0-9a-f]{64}|[0-9a-f]{128})$/;
/** Signed manifests of Docker's first schema: their digest leaves the signature out, so the bytes cannot be checked against it. */
const SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";

export interface ManifestAddress extends Destination {
  /** A tag or a digest. */
  readonly reference: string;
}

/** Answers GET and HEAD of a manifest: always as the registry has it now, its bytes from here where they are the same. */
export async function serveManifest(context: ProxyContext, exchange: Exchange, address: ManifestAddress): Promise<RequestOutcome> {
  const question = questionOf(exchange, address, address.authorization);
  const digest = DIGEST.test(address.reference) ? address.reference : undefined;
  const name = originOf(address.endpoint) + address.path;
  if (exchange.request.method === "HEAD") return passHead(context, exchange, { address, question, digest });
  const cached = await current(context, { question, digest, name, accept: exchange.request.headers.accept });
  if (cached !== undefined) return replyManifest(context, exchange, cached);
  return fetchManifest(context, exchange, { address, question, digest, name });
}

interface Wanted {
  readonly address: ManifestAddress;
  readonly question: AccessQuestion;
  /** When the manifest is asked for by digest. */
  readonly digest: string | undefined;
}

/** The manifest from memory, if the registry agrees that it is what the client would get from it. */
async function current(
  context: ProxyContext,
  wanted: {
    readonly question: AccessQuestion;
    readonly digest: string | undefined;
    readonly name: string;
    readonly accept: string | undefined;
  },
): Promise<Manifest | undefined> {
  const { question, digest, name, accept } = wanted;
  const origin = originOf(question.endpoint);
  const remembered = digest ?? context.manifests.tagged(name);
  const known = remembered === undefined ? undefined : context.manifests.get(origin, remembered);
  if (known === undefined || !accepts(accept, known.contentType)) return undefined;
  if (digest !== undefined) return (await context.access.check(question)).kind === "allowed" ? known : undefined;
  // What a tag names changes, so the registry is asked every time: by HEAD, which Docker Hub does not count as a pull.
  const now = await context.access.head(question);
  return now === undefined ? undefined : context.manifests.get(origin, now);
}

/** Whether a client that sent this `Accept` would be given this type; registries look for the exact type. */
function accepts(accept: string | undefined, contentType: string): boolean {
  if (accept === undefined) return false; // registries then choose an older form
  const types = accept.split(",").map((part) => part.split(";")[0]!.trim().toLowerCase()); // split never gives an empty list
  return types.includes(contentType.toLowerCase()) || types.includes("*/*");
}

function replyManifest(context: ProxyContext, exchange: Exchange, manifest: Manifest): RequestOutcome {
  if (notModified(exchange, manifest.digest)) return reply304(exchange, manifest.digest);
  exchange.response.writeHead(200, {
    "Content-Type": manifest.contentType,
    "Content-Length": manifest.body.length,
    "Docker-Content-Digest": manifest.digest,
    "Docker-Distribution-Api-Version": "registry/2.0",
    ETag: `"${manifest.digest}"`,
  });
  exchange.response.end(manifest.body);
  countServed(context.metrics, "memory", manifest.body.length);
  return "revalidated";
}

async function passHead(context: ProxyContext, exchange: Exchange, wanted: Wanted): Promise<RequestOutcome> {
  const { address, question, digest } = wanted;
  try {
    return await passThrough(context, exchange, address, (reply) => {
      if ((reply.statusCode ?? 502) < 300) context.access.remember(question, reply);
    });
  } catch (thrown) {
    const known = digest === undefined ? undefined : context.manifests.get(originOf(address.endpoint), digest);
    const servable = known !== undefined && !exchange.response.headersSent && !exchange.signal.aborted;
    if (!servable || context.access.stale(question) === undefined) throw thrown;
    exchange.response.writeHead(200, {
      "Content-Type": known.contentType,
      "Content-Length": known.body.length,
      "Docker-Content-Digest": known.digest,
    });
    exchange.response.end();
    return "hit";
  }
}

/** Gets a manifest from the registry, checks it before the first byte goes on, and keeps it. */
async function fetchManifest(
  context: ProxyContext,
  exchange: Exchange,
  wanted: Wanted & { readonly name: string },
): Promise<RequestOutcome> {
  const { request, signal } = exchange;
  const { address, question } = wanted;
  const { authorization } = question.credentials;
  const headers = passedHeaders(request.rawHeaders, (name) => DROPPED.has(name) || name.startsWith("x-dragonfly-"));
  if (authorization !== undefined) headers.push("Authorization", authorization);
  headers.push("Accept-Encoding", "identity", "Via", context.loops.via(request.httpVersion));
  const reply = await context.origins.send({ endpoint: address.endpoint, method: "GET", path: address.path, headers, signal });
  if (reply.statusCode !== 200 || !isSmall(reply, context.config.manifestBytesMax)) {
    await relay(context, exchange, reply);
    return reply.statusCode === 401 || reply.statusCode === 403 ? "refused" : "pass";
  }
  const body = await readLimited(reply, context.config.manifestBytesMax);
  const named = wanted.digest ?? reply.headers["docker-content-digest"]?.toString();
  const contentType = reply.headers["content-type"] ?? "application/octet-stream";
  const sound = named !== undefined && contentType !== SIGNED && matches(body, named);
  if (wanted.digest !== undefined && contentType !== SIGNED && !sound) {
    throw new AnaxError("task.digest-mismatch", { url: originOf(address.endpoint) + address.path, expected: wanted.digest });
  }
  context.access.remember(question, reply);
  if (sound) {
    context.manifests.put({ origin: originOf(address.endpoint), digest: named, contentType, body });
    if (wanted.digest === undefined) context.manifests.tag(wanted.name, named);
  }
  const own = headerRecord(passedHeaders(reply.rawHeaders, (name) => name === "content-length"));
  exchange.response.writeHead(200, { ...own, "Content-Length": body.length });
  exchange.response.end(body);
  countServed(context.metrics, "origin", body.length);
  return "pass";
}

/** Re-made for the request to the registry, or for parts and versions, which a whole new manifest has none of. */
const DROPPED: ReadonlySet<string> = new Set([...OF_ONE_REQUEST, "authorization"]);

/** Only a length that is told beforehand can be judged before anything is read; a manifest without one streams through. */
function isSmall(reply: IncomingMessage, bytesMax: number): boolean {
  const length = reply.headers["content-length"];
  return length !== undefined && Number(length) <= bytesMax && reply.headers["content-encoding"] === undefined;
}

function matches(body: Buffer, digest: string): boolean {
  const [, algorithm, hex] = DIGEST.exec(digest) ?? [];
  return algorithm !== undefined && createHash(algorithm).update(body).digest("hex") === hex;
}
