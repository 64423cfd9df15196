import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { startForwardProxy } from "../../../test/kit/forward-proxy.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { aProxy, ask, type AskOptions } from "../../../test/kit/proxy.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";
import { contentTaskIdOf, taskIdOf } from "../model/ids.ts";

const MIB = 1024 * 1024;
const FILES = { regex: "\\.bin(\\?|$)", filteredQueryParams: ["signature"] };

test("only what a rule names becomes a task; the rest streams through", async () => {
  const bytes = randomBytes(5 * MIB);
  await using origin = await startOrigin({ content: { "/model.bin": bytes, "/page.html": "hello" } });
  await using kit = await aProxy({ config: { rules: [FILES] } });
  const get = (path: string, options: AskOptions = {}) => ask(kit.url, { ...options, target: origin.url(path) });
  const first = await get("/model.bin");
  assert.ok(first.body.equals(bytes));
  assert.equal(first.headers["x-dragonfly-task-id"], taskIdOf({ url: origin.url("/model.bin") }));
  assert.equal(first.headers.etag, `"d${bytes.length}"`);
  assert.equal(first.headers["content-type"], "application/octet-stream");
  assert.ok((await get("/model.bin", { headers: { range: "bytes=5-9" } })).body.equals(bytes.subarray(5, 10)));
  assert.equal(origin.stats("/model.bin").bytesSent, bytes.length, "the origin was read once");
  const page = await get("/page.html");
  assert.equal(page.body.toString(), "hello");
  assert.equal(page.headers["x-dragonfly-task-id"], undefined);
  const conditional = await get("/model.bin", { headers: { "if-none-match": `"d${bytes.length}"` } });
  assert.equal(conditional.status, 304, "a client's own copy is between it and the origin");
});

test("filtered query parameters do not name the content, of a rule or of a request", async () => {
  await using origin = await startOrigin({ content: { "/a.bin": randomBytes(1000) } });
  await using kit = await aProxy({ config: { rules: [FILES], revalidate: false } });
  for (const query of ["?signature=1", "?signature=2"]) await ask(kit.url, { target: origin.url(`/a.bin${query}`) });
  assert.equal(origin.stats("/a.bin").bytesSent, 1000);
  const headers = { "X-Dragonfly-Filtered-Query-Params": "v, signature" };
  const replies = [1, 2].map((v) => ask(kit.url, { target: origin.url(`/a.bin?signature=${v}&v=${v}`), headers }));
  const ids = (await Promise.all(replies)).map((reply) => reply.headers["x-dragonfly-task-id"]);
  assert.equal(ids[0], ids[1]);
});

test("X-Dragonfly request headers take part in the task's name and do not reach the origin", async () => {
  await using origin = await startOrigin({ content: { "/any": randomBytes(9 * MIB) } });
  await using kit = await aProxy();
  const url = origin.url("/any");
  const rows = [
    { headers: { "X-Dragonfly-Use-P2P": "true" }, id: taskIdOf({ url }) },
    {
      headers: { "X-Dragonfly-Use-P2P": "true", "X-Dragonfly-Tag": "t", "X-Dragonfly-Application": "a" },
      id: taskIdOf({ url, tag: "t", application: "a" }),
    },
    { headers: { "X-Dragonfly-Use-P2P": "true", "X-Dragonfly-Piece-Length": "8MiB" }, id: taskIdOf({ url, pieceLength: 8 * MIB }) },
    { headers: { "X-Dragonfly-Use-P2P": "true", "X-Dragonfly-Content-For-Calculating-Task-ID": "mine" }, id: contentTaskIdOf("mine") },
    { headers: {}, id: undefined },
  ];
  for (const { headers, id } of rows) assert.equal((await ask(kit.url, { target: url, headers })).headers["x-dragonfly-task-id"], id);
  const leaked = origin.requests.flatMap((request) => Object.keys(request.headers)).filter((name) => name.startsWith("x-dragonfly"));
  assert.deepEqual(leaked, []);
});

test("content that changed at the origin is never served from what is stored", async () => {
  await using origin = await startOrigin({ content: { "/m.bin": "version one" } });
  await using kit = await aProxy({ config: { rules: [FILES] } });
  const get = () => ask(kit.url, { target: origin.url("/m.bin") });
  assert.equal((await get()).body.toString(), "version one");
  origin.put("/m.bin", "version two!");
  const second = await get();
  assert.equal(second.body.toString(), "version two!");
  const third = await get();
  assert.equal(third.body.toString(), "version two!");
  assert.equal(third.headers["x-dragonfly-task-id"], second.headers["x-dragonfly-task-id"], "the new version is a task as well");
});

test("a file for which the origin wants credentials is not given to a client without", async () => {
  const bytes = randomBytes(100_000);
  const auth = { kind: "bearer", token: "good" } as const;
  await using origin = await startOrigin({ content: { "/private.bin": bytes }, auth });
  await using kit = await aProxy({ config: { rules: [FILES] } });
  const get = (authorization?: string) =>
    ask(kit.url, { target: origin.url("/private.bin"), headers: authorization === undefined ? {} : { authorization } });
  assert.ok((await get("Bearer good")).body.equals(bytes));
  assert.equal((await get("Bearer bad")).status, 401);
  assert.equal((await get()).status, 401);
  assert.ok((await get("Bearer good")).body.equals(bytes));
  assert.equal(origin.stats("/private.bin").bytesSent, bytes.length);
});

test("a rule can change the host and the scheme, and can keep requests direct", async () => {
  await using origin = await startOrigin({ content: { "/x.bin": "bytes", "/d.bin": "direct" } });
  const rules = [
    { regex: "/d\\.bin$", direct: true, redirect: `127.0.0.1:${origin.port}` },
    { ...FILES, redirect: `127.0.0.1:${origin.port}` },
  ];
  await using kit = await aProxy({ config: { rules } });
  const reply = await ask(kit.url, { target: "http://files.invalid/x.bin" });
  assert.equal(reply.body.toString(), "bytes");
  assert.ok(reply.headers["x-dragonfly-task-id"]);
  const direct = await ask(kit.url, { target: "http://files.invalid/d.bin" });
  assert.equal(direct.body.toString(), "direct");
  assert.equal(direct.headers["x-dragonfly-task-id"], undefined);
});

test("the proxy can demand a password, which the mirror does not", async () => {
  await using origin = await startOrigin({ content: { "/x": "text" } });
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { username: "ann", password: "secret", defaultRegistry: registry.host } });
  const get = (credentials?: string) =>
    ask(kit.url, {
      target: origin.url("/x"),
      headers: credentials === undefined ? {} : { "Proxy-Authorization": `Basic ${Buffer.from(credentials).toString("base64")}` },
    });
  for (const credentials of [undefined, "ann:wrong", "ann", ""]) {
    const reply = await get(credentials);
    assert.equal(reply.status, 407);
    assert.match(reply.headers["proxy-authenticate"] ?? "", /^Basic/);
  }
  assert.equal((await get("ann:secret")).body.toString(), "text");
  assert.equal((await ask(`${kit.url}/v2/`)).status, 200);
});

test("addresses that only this machine should reach are refused", async () => {
  await using kit = await aProxy();
  for (const target of ["http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://0.0.0.0/"]) {
    assert.equal((await ask(kit.url, { target })).status, 403, target);
  }
});

test("content is put where the request says, below the directories that settings allow", async () => {
  await using root = await temporaryDirectory();
  await mkdir(join(root.path, "out"));
  await symlink("/", join(root.path, "out/escape"));
  const bytes = randomBytes(200_000);
  await using origin = await startOrigin({ content: { "/f.bin": bytes } });
  await using kit = await aProxy({ config: { rules: [FILES], outputRoots: [join(root.path, "out")] } });
  const get = (path: string, more: Record<string, string> = {}) =>
    ask(kit.url, { target: origin.url("/f.bin"), headers: { "X-Dragonfly-Output-Path": path, ...more } });
  const path = join(root.path, "out/f");
  for (const more of [{}, { "X-Dragonfly-Force-Hard-Link": "true" }]) {
    const reply = await get(path, more);
    assert.ok(reply.body.equals(bytes));
    assert.ok((await readFile(path)).equals(bytes));
  }
  assert.equal((await stat(path)).nlink > 1, true, "on one file system it is a hard link");
  for (const bad of [
    "relative",
    join(root.path, "f"),
    join(root.path, "out/../f"),
    join(root.path, "out/escape/tmp/f"),
    "/etc/anax-test",
    `${path}/`,
  ]) {
    assert.equal((await get(bad)).status, 403, bad);
  }
});

test("a request for a range can bring the whole content", async () => {
  const bytes = randomBytes(12 * MIB);
  await using origin = await startOrigin({ content: { "/p.bin": bytes } });
  await using kit = await aProxy({ config: { rules: [FILES] } });
  const target = origin.url("/p.bin");
  const part = await ask(kit.url, { target, headers: { range: "bytes=0-9", "X-Dragonfly-Prefetch": "true" } });
  assert.ok(part.body.equals(bytes.subarray(0, 10)));
  const id = taskIdOf({ url: target });
  const stored = kit.store.find(id);
  await stored?.waitUntilVerified(AbortSignal.timeout(20_000));
  assert.equal(stored?.finished.full, true);
});

test("a blob of a registry is recognized behind the proxy", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(1000);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy();
  const reply = await ask(kit.url, { target: `http://${registry.host}/v2/lab/app/blobs/${digest}` });
  assert.ok(reply.body.equals(bytes));
  assert.equal(reply.headers["docker-content-digest"], digest);
  assert.notEqual(
    reply.headers["x-dragonfly-task-id"],
    createHash("sha256").update(bytes).digest("hex"),
    "settings do not know this registry",
  );
});

test("origins are reached through the machine's own proxy where there is one", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(100_000);
  const digest = registry.putBlob(bytes);
  await using outer = await startForwardProxy();
  const host = `registry.invalid:${registry.port}`;
  const config = { defaultRegistry: "", registries: { [host]: { plainHttp: true } } };
  await using kit = await aProxy({ config, source: { proxyUrl: outer.url } });
  assert.ok((await ask(`${kit.url}/v2/a/blobs/${digest}?ns=${host}`)).body.equals(bytes));
  assert.equal((await ask(`${kit.url}/v2/a/tags/list?ns=${host}`, { headers: { "X-Custom": ["one", "two"] } })).status, 200);
  assert.equal(registry.requests.at(-1)?.headers["x-custom"], "one, two");
  assert.ok(
    outer.seen.every((line) => line.includes(`http://${host}/v2/a/`)),
    outer.seen.join("\n"),
  );
});
