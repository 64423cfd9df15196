import assert from "node:assert/strict";
import { test } from "node:test";
import { aProxy, ask } from "../../../test/kit/proxy.ts";
import { OCI_MANIFEST, startTestRegistry } from "../../../test/kit/registry.ts";

const accept = { accept: `${OCI_MANIFEST}, application/json;q=0.5` };

test("a tag's manifest is read once and asked about each time", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putManifest("lab/app", "1", { layers: ["a"] });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/lab/app/manifests/1`;
  for (let i = 0; i < 3; i++) {
    const reply = await ask(url, { headers: accept });
    assert.equal(reply.headers["docker-content-digest"], digest);
    assert.equal(reply.headers["content-type"], OCI_MANIFEST);
    assert.deepEqual(JSON.parse(reply.body.toString()), { layers: ["a"] });
  }
  assert.equal(registry.count("GET", "/manifests/"), 1);
  assert.equal(registry.count("HEAD", "/manifests/"), 2);
  const moved = registry.putManifest("lab/app", "1", { layers: ["b"] });
  const reply = await ask(url, { headers: accept });
  assert.equal(reply.headers["docker-content-digest"], moved, "a moved tag is seen at once");
  assert.deepEqual(JSON.parse(reply.body.toString()), { layers: ["b"] });
  const known = await ask(url, { headers: { ...accept, "if-none-match": `"${moved}"` } });
  assert.equal(known.status, 304);
});

test("a manifest by digest is read once, and its HEAD is the registry's", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putManifest("lab/app", "1", { layers: ["a"] });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/lab/app/manifests/${digest}`;
  assert.equal((await ask(url, { method: "HEAD", headers: accept })).headers["docker-content-digest"], digest);
  for (let i = 0; i < 3; i++) assert.equal((await ask(url, { headers: accept })).status, 200);
  assert.equal(registry.count("GET", "/manifests/"), 1);
  const plain = await ask(url);
  assert.equal(plain.status, 200);
  assert.equal(registry.count("GET", "/manifests/"), 2, "a client that accepts something else gets the registry's choice");
});

test("a manifest that is not what its digest says is not passed on", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putManifest("lab/app", "1", { layers: ["a"] });
  registry.answer(`/v2/lab/app/manifests/${digest}`, (_, response) => {
    response.writeHead(200, { "Content-Type": OCI_MANIFEST, "Docker-Content-Digest": digest, "Content-Length": 2 }).end("{}");
  });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const reply = await ask(`${kit.url}/v2/lab/app/manifests/${digest}`, { headers: accept });
  assert.equal(reply.status, 502);
  assert.match(reply.body.toString(), /does not match the expected digest/);
});

test("a manifest above the limit streams through", async () => {
  await using registry = await startTestRegistry();
  const layers = Array.from({ length: 10_000 }, (_, i) => `layer ${i}`);
  registry.putManifest("lab/app", "big", { layers });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host, manifestBytesMax: "64KiB" } });
  for (let i = 0; i < 2; i++) {
    const reply = await ask(`${kit.url}/v2/lab/app/manifests/big`, { headers: accept });
    assert.deepEqual(JSON.parse(reply.body.toString()), { layers });
  }
  assert.equal(registry.count("GET", "/manifests/"), 2);
});

test("what a registry answers about a missing manifest is passed on as it is", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const reply = await ask(`${kit.url}/v2/lab/app/manifests/none`, { headers: accept });
  assert.equal(reply.status, 404);
  assert.match(reply.body.toString(), /MANIFEST_UNKNOWN/);
});
