import { AnaxError, errorOf } from "../../base/errors.ts";
import { serveBlob } from "./blob.ts";
import type { ProxyContext } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { serveForward, type Served } from "./forward.ts";
import { serveManifest } from "./manifest.ts";
import { hasBody, passThrough, type Destination } from "./pass-through.ts";
import { routeOf, type Route } from "./route.ts";
import { originOf } from "./endpoint.ts";

/** Answers a request that a client sent to us as if we were the registry. */
export async function serveMirror(context: ProxyContext, exchange: Exchange, portRegistry: string | undefined): Promise<Served> {
  const target = exchange.request.url ?? "/";
  const route = routeOf({ target, header: exchange.asked.registry, portRegistry }, context.registries, context.config);
  if (route === undefined) return replyWithoutRegistry(exchange, target);
  const { registry, resource, path } = route;
  context.loops.checkEndpoint(registry.endpoint);
  const reads = (exchange.request.method === "GET" || exchange.request.method === "HEAD") && !hasBody(exchange.request);
  const to: Destination = { endpoint: registry.endpoint, path, authorization: reads ? await loginOf(context, exchange, route) : undefined };
  if (resource.kind === "ping") return servePing(context, exchange, to, route);
  if (reads && resource.kind === "blob") {
    const blob = { ...to, digest: resource.digest, trusted: registry.trusted };
    return { kind: "blob", outcome: await serveBlob(context, exchange, blob) };
  }
  if (reads && resource.kind === "manifest") {
    return { kind: "manifest", outcome: await serveManifest(context, exchange, { ...to, reference: resource.reference }) };
  }
  const url = URL.parse(originOf(registry.endpoint) + path);
  if (exchange.asked.useP2p && url !== null && !path.startsWith(`${registry.basePath}/v2/`))
    return serveForward(context, exchange, url, path);
  return { kind: "pass", outcome: await passThrough(context, exchange, to) };
}

/** Credentials of settings are for clients that bring none. */
async function loginOf(context: ProxyContext, exchange: Exchange, route: Route): Promise<string | undefined> {
  const { registry, resource } = route;
  if (registry.login === undefined || exchange.request.headers.authorization !== undefined) return undefined;
  if (resource.kind !== "blob" && resource.kind !== "manifest") return undefined;
  return context.logins.authorizationFor(registry, resource.repository, exchange.signal);
}

/**
 * The registry's answer tells clients how to log in. Podman and its kin ping a mirror without saying which registry they mean, and give it up
 * when that fails; so where the default registry cannot be reached, we answer for it.
 */
async function servePing(context: ProxyContext, exchange: Exchange, to: Destination, route: Route): Promise<Served> {
  if (route.registry.login !== undefined && exchange.request.headers.authorization === undefined) return replyPing(exchange);
  try {
    return { kind: "pass", outcome: await passThrough(context, exchange, to) };
  } catch (thrown) {
    const answerable = route.by === "default" && !exchange.response.headersSent && errorOf(thrown).code === "source.unreachable";
    if (!answerable || exchange.signal.aborted) throw thrown;
    context.log.debug("proxy.ping-answered", { registry: route.registry.name });
    return replyPing(exchange);
  }
}

function replyPing(exchange: Exchange): Served {
  exchange.response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": 2,
    "Docker-Distribution-Api-Version": "registry/2.0",
  });
  exchange.response.end(exchange.request.method === "HEAD" ? undefined : "{}");
  return { kind: "pass", outcome: "hit" };
}

function replyWithoutRegistry(exchange: Exchange, target: string): Served {
  if (target === "/v2/" || target === "/v2") return replyPing(exchange);
  const hint = "name it by ?ns=, X-Dragonfly-Registry, a path such as /v2/registry.example/…, or give it a port in p2p.proxy.mirrors";
  throw new AnaxError("proxy.no-registry", { hint });
}
