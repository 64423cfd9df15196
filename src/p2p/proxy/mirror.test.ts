import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { test } from "node:test";
import { aProxy, ask } from "../../../test/kit/proxy.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";

const MIB = 1024 * 1024;

test("a blob comes through by every way of naming its registry, and is read from the registry once", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(5 * MIB);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({
    config: { defaultRegistry: registry.host, mirrors: [{ port: 0, registry: registry.host }] },
  });
  const path = `/v2/lab/app/blobs/${digest}`;
  const mirror = `http://127.0.0.1:${kit.proxy.mirrorPorts[0]}`;
  const ways = {
    ns: () => ask(`${kit.url}${path}?ns=${registry.host}`),
    header: () => ask(kit.url + path, { headers: { "X-Dragonfly-Registry": `http://${registry.host}` } }),
    path: () => ask(`${kit.url}/v2/${registry.host}/lab/app/blobs/${digest}`),
    port: () => ask(mirror + path),
    default: () => ask(kit.url + path),
    proxy: () => ask(kit.url, { target: `http://${registry.host}${path}` }),
  };
  for (const [way, go] of Object.entries(ways)) {
    const reply = await go();
    assert.equal(reply.status, 200, way);
    assert.ok(reply.body.equals(bytes), way);
    assert.equal(reply.headers["docker-content-digest"], digest, way);
    assert.equal(reply.headers["x-dragonfly-task-id"], digest.slice("sha256:".length), way);
    assert.equal(reply.headers["x-dragonfly-server-ip"], "127.0.0.1", way);
  }
  assert.equal(registry.count("GET", "/blobs/"), 1);
});

test("the reply tells whether the content was here before", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putBlob(randomBytes(100_000));
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/app/blobs/${digest}`;
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const first = await ask(url, { agent });
  assert.equal(first.headers["x-dragonfly-task-download-finished"], "false");
  using whole = kit.downloads.start({ ...ANY, url: `http://${registry.host}/v2/app/blobs/${digest}` });
  await whole.done;
  const second = await ask(url, { agent });
  assert.equal(second.headers["x-dragonfly-task-download-finished"], "true");
  const third = await ask(url, { agent });
  assert.ok(third.body.equals(first.body) && second.body.equals(first.body));
  assert.equal(second.localPort, third.localPort, "the connection is kept after content went by the kernel");
  agent.destroy();
});

const ANY = {
  filteredQueryParams: [],
  requestHeader: {},
  taskIdFromBlobDigest: true,
  priority: 6 as const,
  disableBackToSource: false,
  needBackToSource: false,
  timeoutMs: 60_000,
};

test("ranges of a blob are answered as RFC 9110 has it", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(9 * MIB);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/lab/app/blobs/${digest}`;
  const rows = [
    { range: "bytes=0-99", status: 206, start: 0, end: 100 },
    { range: "bytes=4194300-4194400", status: 206, start: 4_194_300, end: 4_194_401 },
    { range: `bytes=${9 * MIB - 5}-`, status: 206, start: 9 * MIB - 5, end: 9 * MIB },
    { range: "bytes=-7", status: 206, start: 9 * MIB - 7, end: 9 * MIB },
    { range: "bytes=0-1,5-6", status: 200, start: 0, end: 9 * MIB },
    { range: "lines=1-2", status: 200, start: 0, end: 9 * MIB },
  ];
  for (const round of ["while it is new", "from disk"]) {
    for (const { range, status, start, end } of rows) {
      const reply = await ask(url, { headers: { range } });
      assert.equal(reply.status, status, `${range} ${round}`);
      assert.ok(reply.body.equals(bytes.subarray(start, end)), `${range} ${round}`);
      if (status === 206) assert.equal(reply.headers["content-range"], `bytes ${start}-${end - 1}/${bytes.length}`);
    }
  }
  const beyond = await ask(url, { headers: { range: `bytes=${9 * MIB}-` } });
  assert.equal(beyond.status, 416);
  assert.equal(beyond.headers["content-range"], `bytes */${9 * MIB}`);
  const changed = await ask(url, { headers: { range: "bytes=0-1", "if-range": '"something-else"' } });
  assert.equal(changed.status, 200);
  const same = await ask(url, { headers: { "if-none-match": `"${digest}"` } });
  assert.equal(same.status, 304);
});

test("an empty blob is served", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putBlob(Buffer.alloc(0));
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const reply = await ask(`${kit.url}/v2/lab/app/blobs/${digest}`);
  assert.equal(reply.status, 200);
  assert.equal(reply.body.length, 0);
});

test("a request that names no registry is refused with a hint where there is no default", async () => {
  await using kit = await aProxy({ config: { defaultRegistry: "" } });
  const reply = await ask(`${kit.url}/v2/lab/app/manifests/1`);
  assert.equal(reply.status, 404);
  assert.match(reply.body.toString(), /X-Dragonfly-Registry/);
  assert.equal((await ask(`${kit.url}/v2/`)).status, 200);
});

test("a registry that is not in the settings can be excluded", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { unknownRegistries: false } });
  const reply = await ask(`${kit.url}/v2/lab/app/manifests/1?ns=${registry.host}`);
  assert.equal(reply.status, 403);
  assert.equal(registry.requests.length, 0);
});
