import type { ProxyConfig } from "./config.ts";
import { looksLikeRegistry, type Registries, type Registry } from "./registries.ts";

/** Which registry a request of the mirror means, and what is asked of it. */
export interface Route {
  readonly registry: Registry;
  /** How it was chosen. */
  readonly by: "ns" | "header" | "path" | "port" | "default";
  /** Path and query for the registry, its base path included; what named the registry is cut out. */
  readonly path: string;
  /** What the path is in the registry's protocol. */
  readonly resource: Resource;
}

/** OCI distribution specification 1.1, the part that is cached; everything else is `other`. */
export type Resource =
  | { readonly kind: "ping" }
  | { readonly kind: "blob"; readonly repository: string; readonly digest: string }
  | { readonly kind: "manifest"; readonly repository: string; readonly reference: string }
  | { readonly kind: "other" };

const REPOSITORY = String.raw`[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*`;
const BLOB = new RegExp(`^/v2/(${REPOSITORY})/blobs/(sha256:[0-9a-f]{64})$`);
const MANIFEST = new RegExp(`^/v2/(${REPOSITORY})/manifests/([A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha(?:256|512):[0-9a-f]{64,128})$`);

/** Chooses by `?ns=`, `X-Dragonfly-Registry`, the path's first part, the port, the default; undefined when none of them says. Throws `input.invalid`, `source.denied`. */
export function routeOf(
  request: { readonly target: string; readonly header: string | undefined; readonly portRegistry: string | undefined },
  registries: Registries,
  config: Pick<ProxyConfig, "defaultRegistry">,
): Route | undefined {
  const { path, query, ns } = withoutNamespace(request.target);
  const route = (by: Route["by"], name: string, rest: string): Route => {
    const registry = registries.named(name);
    return { registry, by, path: registry.basePath + rest + query, resource: resourceOf(rest) };
  };
  if (ns !== undefined) return route("ns", ns, path);
  if (request.header !== undefined) return route("header", request.header, path);
  const [, first = "", rest = ""] = /^\/v2\/([^/]+)(\/.*)$/.exec(path) ?? [];
  if (looksLikeRegistry(first)) return route("path", first, `/v2${rest}`);
  if (request.portRegistry !== undefined) return route("port", request.portRegistry, path);
  return config.defaultRegistry === "" ? undefined : route("default", config.defaultRegistry, path);
}

export function resourceOf(path: string): Resource {
  if (path === "/v2/" || path === "/v2") return { kind: "ping" };
  const [, repository, digest] = BLOB.exec(path) ?? [];
  if (repository !== undefined && digest !== undefined) return { kind: "blob", repository, digest };
  const [, owner, reference] = MANIFEST.exec(path) ?? [];
  if (owner !== undefined && reference !== undefined) return { kind: "manifest", repository: owner, reference };
  return { kind: "other" };
}

/** containerd adds `?ns=` to every request; the rest of the query stays byte for byte. */
function withoutNamespace(target: string): { readonly path: string; readonly query: string; readonly ns: string | undefined } {
  const at = target.indexOf("?");
  if (at === -1) return { path: target, query: "", ns: undefined };
  const parts = target.slice(at + 1).split("&");
  const named = parts.find((part) => part.startsWith("ns="));
  const kept = parts.filter((part) => !part.startsWith("ns="));
  const ns = named === undefined ? undefined : (new URLSearchParams(named).get("ns") ?? undefined);
  return { path: target.slice(0, at), query: kept.length === 0 ? "" : `?${kept.join("&")}`, ns: ns === "" ? undefined : ns };
}
