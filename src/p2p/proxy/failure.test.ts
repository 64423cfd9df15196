import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import { test } from "node:test";
import { aProxy, ask } from "../../../test/kit/proxy.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";

const MIB = 1024 * 1024;

test("a blob that is not what its digest says never reaches a client whole", async () => {
  await using registry = await startTestRegistry();
  for (const bytes of [50_000, 9 * MIB]) {
    const digest = registry.putBlob(randomBytes(bytes));
    registry.corruptBlob(digest, randomBytes(bytes));
    await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
    const reply = await ask(`${kit.url}/v2/app/blobs/${digest}`).catch((error: Error) => error);
    if (bytes < MIB) {
      assert.ok(!(reply instanceof Error) && reply.status === 502, "a small one is answered with an error");
      assert.match(reply.body.toString(), /digest/);
      assert.equal(reply.headers["x-dragonfly-error-type"], "dfdaemon");
    } else {
      assert.ok(reply instanceof Error, "a large one breaks off");
    }
  }
});

test("a blob that does not exist is the registry's own 404", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const reply = await ask(`${kit.url}/v2/app/blobs/sha256:${"0".repeat(64)}`);
  assert.equal(reply.status, 404);
  assert.match(reply.body.toString(), /BLOB_UNKNOWN/);
});

test("when the disk is full the bytes stream through and nothing is kept", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(6 * MIB);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({ config: { defaultRegistry: registry.host }, pieces: { quotaBytes: "1MiB" } });
  const url = `${kit.url}/v2/app/blobs/${digest}`;
  const reply = await ask(url);
  assert.equal(reply.status, 200);
  assert.ok(reply.body.equals(bytes));
  assert.equal(reply.headers["x-dragonfly-task-id"], undefined);
  const part = await ask(url, { headers: { range: "bytes=10-19" } });
  assert.equal(part.status, 206);
  assert.ok(part.body.equals(bytes.subarray(10, 20)));
  assert.equal(kit.store.list().length, 0);
  assert.match(await kit.metrics.metrics(), /anax_proxy_requests_total\{kind="blob",outcome="fallback"\} 2/);
});

test("a full disk is an error where settings do not want bytes to stream through", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putBlob(randomBytes(2 * MIB));
  await using kit = await aProxy({
    config: { defaultRegistry: registry.host, passThroughOnFailure: false },
    pieces: { quotaBytes: "1MiB" },
  });
  const reply = await ask(`${kit.url}/v2/app/blobs/${digest}`);
  assert.equal(reply.status, 507);
  assert.equal(reply.headers["x-dragonfly-error-type"], "dfdaemon");
});

test("an unreachable registry is a 502 that says so", async () => {
  const registry = await startTestRegistry();
  await registry.stop();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  for (const path of [`/v2/app/blobs/sha256:${"0".repeat(64)}`, "/v2/app/manifests/1", "/v2/app/tags/list"]) {
    const reply = await ask(kit.url + path);
    assert.equal(reply.status, 502, path);
    assert.equal(reply.headers["x-dragonfly-error-type"], "backend", path);
    assert.match(reply.body.toString(), /ECONNREFUSED/, path);
  }
  assert.equal((await ask(`${kit.url}/v2/`)).status, 200, "podman gives up a mirror whose ping fails");
});

test("a registry that breaks off in the middle makes the client's reply break off", async () => {
  await using registry = await startTestRegistry();
  registry.answer("/v2/app/tags/list", (_, response) => {
    response.writeHead(200, { "Content-Length": 1000 });
    response.write("a part", () => response.destroy());
  });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  await assert.rejects(ask(`${kit.url}/v2/app/tags/list`), /aborted|ECONNRESET/);
});

test("a client that leaves in the middle harms nobody, and the content can be had afterwards", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(24 * MIB);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/app/blobs/${digest}`;
  for (let i = 0; i < 2; i++) {
    const request = http.get(url, { agent: false });
    const [reply] = (await once(request, "response")) as [IncomingMessage];
    await once(reply, "data");
    request.destroy();
    await once(request, "close");
    assert.ok((await ask(url)).body.equals(bytes)); // the second round leaves in the middle of what the kernel sends
  }
});
