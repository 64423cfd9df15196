import { blobTaskIdOf } from "../model/ids.ts";
import { serveBlob } from "./blob.ts";
import type { ProxyContext } from "./context.ts";
import { endpointOf, type Endpoint } from "./endpoint.ts";
import type { Exchange } from "./exchange.ts";
import type { RequestKind, RequestOutcome } from "./metrics.ts";
import { hasBody, passThrough, type Destination } from "./pass-through.ts";
import type { Registry } from "./registries.ts";
import { rewritten, type CompiledRule } from "./rules.ts";
import { serveUrlTask } from "./url-task.ts";

export interface Served {
  readonly kind: RequestKind;
  readonly outcome: RequestOutcome;
}

/** Answers a request of the proxy: what a rule names becomes a task, everything else streams through. `rawPath` is path and query as they came. */
export async function serveForward(context: ProxyContext, exchange: Exchange, url: URL, rawPath: string): Promise<Served> {
  const rule = context.rules.match(url.href);
  const target = rewritten(url, rule);
  const registry = context.registries.known(target.host);
  const endpoint = registry?.endpoint ?? endpointOf(target);
  context.loops.checkEndpoint(endpoint);
  const basePath = registry?.basePath ?? "";
  const direct: Destination = { endpoint, path: basePath + rawPath };
  const path = basePath + target.pathname + target.search;
  if (rule?.direct !== true && (rule !== undefined || exchange.asked.useP2p)) {
    const served = await serveContent(context, exchange, { endpoint, registry, rule, direct, path });
    if (served !== undefined) return served;
  }
  return { kind: "pass", outcome: await passThrough(context, exchange, direct) };
}

interface Content {
  readonly endpoint: Endpoint;
  readonly registry: Registry | undefined;
  readonly rule: CompiledRule | undefined;
  readonly direct: Destination;
  readonly path: string;
}

/** As a blob or a task; undefined when the request is not one for content. */
async function serveContent(context: ProxyContext, exchange: Exchange, content: Content): Promise<Served | undefined> {
  const { request } = exchange;
  const { endpoint, registry, path, direct } = content;
  const hex = blobTaskIdOf(path);
  if (hex !== undefined && (request.method === "GET" || request.method === "HEAD") && !hasBody(request)) {
    const blob = { endpoint, path, digest: `sha256:${hex}`, trusted: registry?.trusted ?? false };
    return { kind: "blob", outcome: await serveBlob(context, exchange, blob) };
  }
  if (request.method !== "GET" || hasBody(request) || CONDITIONS.some((name) => request.headers[name] !== undefined)) return undefined;
  const filteredQueryParams = content.rule?.filteredQueryParams ?? context.config.filteredQueryParams;
  return { kind: "task", outcome: await serveUrlTask(context, exchange, { endpoint, path, filteredQueryParams, direct }) };
}

/** A request that depends on the client's own copy is between client and origin. */
const CONDITIONS = ["if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"] as const;
