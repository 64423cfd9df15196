import assert from "node:assert/strict";
import { test } from "node:test";
import { originOf } from "./endpoint.ts";
import { ProxyConfig } from "./config.ts";
import { Registries } from "./registries.ts";
import { resourceOf, routeOf } from "./route.ts";

const config = ProxyConfig.parse({
  registries: {
    "registry.lab:5000": { plainHttp: true },
    "harbor.lab": { url: "https://harbor.lab/proxy-cache/" },
    "docker.io": { url: "http://127.0.0.1:5000" },
  },
});

test("the registry is the one that the request names, by the first of the ways that says one", async () => {
  const registries = await Registries.open(config);
  const rows = [
    ["/v2/a/tags/list?n=1&ns=quay.io&last=%2f", undefined, undefined, "https://quay.io", "/v2/a/tags/list?n=1&last=%2f", "ns"],
    ["/v2/a/tags/list?ns=quay.io", "http://ghcr.io", "gcr.io", "https://quay.io", "/v2/a/tags/list", "ns"],
    ["/v2/a/tags/list", "http://ghcr.io:8080", "gcr.io", "http://ghcr.io:8080", "/v2/a/tags/list", "header"],
    ["/v2/quay.io/a/tags/list", undefined, "gcr.io", "https://quay.io", "/v2/a/tags/list", "path"],
    ["/v2/registry.lab:5000/a/b/tags/list", undefined, undefined, "http://registry.lab:5000", "/v2/a/b/tags/list", "path"],
    ["/v2/localhost/a/tags/list", undefined, undefined, "http://localhost", "/v2/a/tags/list", "path"],
    ["/v2/library/alpine/tags/list", undefined, "gcr.io", "https://gcr.io", "/v2/library/alpine/tags/list", "port"],
    ["/v2/harbor.lab/a/tags/list", undefined, undefined, "https://harbor.lab", "/proxy-cache/v2/a/tags/list", "path"],
    ["/v2/library/alpine/tags/list", undefined, undefined, "http://127.0.0.1:5000", "/v2/library/alpine/tags/list", "default"],
    ["/v2/a/tags/list?ns=registry-1.docker.io", undefined, undefined, "http://127.0.0.1:5000", "/v2/a/tags/list", "ns"],
  ] as const;
  for (const [target, header, portRegistry, origin, path, by] of rows) {
    const route = routeOf({ target, header, portRegistry }, registries, config);
    assert.deepEqual([route && originOf(route.registry.endpoint), route?.path, route?.by], [origin, path, by], target);
  }
});

test("Docker Hub has one address whatever it is called", async () => {
  const plain = ProxyConfig.parse({});
  const registries = await Registries.open(plain);
  for (const name of ["docker.io", "index.docker.io", "https://index.docker.io", "registry-1.docker.io"]) {
    const { endpoint, trusted } = registries.named(name);
    assert.deepEqual([originOf(endpoint), trusted], ["https://registry-1.docker.io", true], name);
  }
  assert.equal(registries.named("quay.io").trusted, false, "settings do not name it");
});

test("only well-formed names of blobs and manifests are taken for such", () => {
  const hex = "0123456789abcdef".repeat(4);
  const rows = [
    ["/v2/", "ping"],
    [`/v2/a/blobs/sha256:${hex}`, "blob"],
    [`/v2/a/b-c/d_e.f/blobs/sha256:${hex}`, "blob"],
    [`/v2/a/../b/blobs/sha256:${hex}`, "other"],
    [`/v2/a/blobs/sha256:${hex}/x`, "other"],
    [`/v2/a/blobs/sha256:${hex.toUpperCase()}`, "other"],
    [`/v2/a%2fb/blobs/sha256:${hex}`, "other"],
    ["/v2/a/manifests/v1.0", "manifest"],
    [`/v2/a/manifests/sha256:${hex}`, "manifest"],
    ["/v2/a/manifests/.hidden", "other"],
    ["/v2/a/blobs/uploads/", "other"],
  ] as const;
  for (const [path, kind] of rows) assert.equal(resourceOf(path).kind, kind, path);
});
