import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { VirtualClock } from "../../base/virtual-clock.ts";
import { aProxy, ask } from "../../../test/kit/proxy.ts";
import { startTestRegistry, type RegistryLogin } from "../../../test/kit/registry.ts";

const TOKEN: RegistryLogin = { kind: "token", username: "ann", password: "secret" };
const basic = (text: string): string => `Basic ${Buffer.from(text).toString("base64")}`;

/** As a client does it: challenge, token server, token. */
async function tokenFor(challenge: string | undefined, login: string): Promise<string> {
  const field = (name: string): string => new RegExp(`${name}="([^"]*)"`).exec(challenge ?? "")?.[1] ?? "";
  const url = new URL(field("realm"));
  url.searchParams.set("service", field("service"));
  url.searchParams.set("scope", field("scope"));
  const reply = await ask(url.href, { headers: { authorization: basic(login) } });
  return `Bearer ${(JSON.parse(reply.body.toString()) as { token: string }).token}`;
}

test("a client logs in to the registry through the mirror, and what it may have is served", async () => {
  await using registry = await startTestRegistry({ login: TOKEN });
  const bytes = randomBytes(300_000);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const ping = await ask(`${kit.url}/v2/`);
  assert.equal(ping.status, 401);
  assert.match(ping.headers["www-authenticate"] ?? "", /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/token"/);
  const url = `${kit.url}/v2/private/app/blobs/${digest}`;
  const refused = await ask(url);
  assert.equal(refused.status, 401);
  assert.match(refused.body.toString(), /UNAUTHORIZED/);
  const authorization = await tokenFor(refused.headers["www-authenticate"], "ann:secret");
  const reply = await ask(url, { headers: { authorization } });
  assert.equal(reply.status, 200);
  assert.ok(reply.body.equals(bytes));
});

test("a private blob that is here is not given to other credentials, nor under another repository or an invented registry", async () => {
  await using registry = await startTestRegistry({ login: { kind: "basic", username: "ann", password: "secret" } });
  const bytes = randomBytes(100_000);
  const digest = registry.putBlob(bytes);
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const url = `${kit.url}/v2/private/app/blobs/${digest}`;
  const mine = await ask(url, { headers: { authorization: basic("ann:secret") } });
  assert.ok(mine.body.equals(bytes));
  const rows = {
    nobody: await ask(url),
    somebody: await ask(url, { headers: { authorization: basic("bob:guess") } }),
    elsewhere: await ask(`${kit.url}/v2/private/other/blobs/${digest}`),
    head: await ask(url, { method: "HEAD" }),
  };
  for (const [who, reply] of Object.entries(rows)) {
    assert.equal(reply.status, 401, who);
    assert.ok(!reply.body.includes(bytes.subarray(0, 32)), who);
  }
  // A registry of the client's own that says yes to everything but has nothing.
  await using evil = await startTestRegistry();
  evil.answer("/v2/", (request, response) => {
    response.writeHead(200, { "Content-Length": bytes.length });
    response.end(request.method === "HEAD" ? undefined : Buffer.alloc(bytes.length));
  });
  for (const target of [`/v2/x/blobs/${digest}?ns=${evil.host}`, `http://${evil.host}/v2/x/blobs/${digest}`]) {
    const headers = { "X-Dragonfly-Enable-Task-ID-Based-Blob-Digest": "true" };
    const reply = await ask(kit.url, { target, headers }).catch(() => undefined);
    assert.notEqual(reply?.status, 200, target);
    assert.ok(reply === undefined || !reply.body.includes(bytes.subarray(0, 32)), target);
  }
});

test("a permission is believed for a while, then asked for again", async () => {
  await using registry = await startTestRegistry();
  const digest = registry.putBlob(randomBytes(1000));
  const clock = new VirtualClock();
  await using kit = await aProxy({ clock, config: { defaultRegistry: registry.host, accessTtlMs: "5m" } });
  const url = `${kit.url}/v2/app/blobs/${digest}`;
  await ask(url);
  await ask(url);
  assert.equal(registry.count("HEAD", "/blobs/"), 1);
  await clock.advance(301_000);
  await ask(url);
  assert.equal(registry.count("HEAD", "/blobs/"), 2);
});

test("while the registry is down, only who was let in before is served", async () => {
  const registry = await startTestRegistry({ login: { kind: "basic", username: "ann", password: "secret" } });
  const bytes = randomBytes(100_000);
  const digest = registry.putBlob(bytes);
  const manifest = registry.putManifest("private/app", "1", { layers: [] });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host, accessTtlMs: "0s" } });
  const priv = `${kit.url}/v2/private/app/blobs/${digest}`;
  const pub = `${kit.url}/v2/public/app/blobs/${digest}`;
  const byDigest = `${kit.url}/v2/private/app/manifests/${manifest}`;
  const ann = { authorization: basic("ann:secret"), accept: "*/*" };
  await ask(priv, { headers: ann });
  await ask(pub);
  await ask(byDigest, { headers: ann });
  using whole = kit.downloads.start(blobRequest(`http://${registry.host}/v2/private/app/blobs/${digest}`));
  await whole.done;
  await registry.stop();
  assert.ok((await ask(priv, { headers: ann })).body.equals(bytes), "let in before");
  assert.equal((await ask(priv, { headers: ann, method: "HEAD" })).headers["content-length"], String(bytes.length));
  assert.equal((await ask(byDigest, { headers: ann })).status, 200);
  assert.ok((await ask(pub, { headers: { authorization: basic("bob:x") } })).body.equals(bytes), "open to everybody before");
  const denied = await ask(priv, { headers: { authorization: basic("bob:x") } });
  assert.equal(denied.status, 502);
  assert.equal(denied.headers["x-dragonfly-error-type"], "backend");
  assert.match(denied.body.toString(), /"errors":\[\{"code":"UNKNOWN"/);
  assert.equal((await ask(byDigest)).status, 502);
  assert.equal((await ask(`${kit.url}/v2/private/app/manifests/1`, { headers: ann })).status, 502, "a tag may have moved");
});

function blobRequest(url: string) {
  return {
    url,
    filteredQueryParams: [],
    requestHeader: {},
    taskIdFromBlobDigest: true,
    priority: 6 as const,
    disableBackToSource: false,
    needBackToSource: false,
    timeoutMs: 60_000,
  };
}

for (const kind of ["basic", "token"] as const) {
  test(`credentials of the settings are used for clients that have none (${kind})`, async () => {
    await using registry = await startTestRegistry({ login: { ...TOKEN, kind } });
    const bytes = randomBytes(50_000);
    const digest = registry.putBlob(bytes);
    registry.putManifest("private/app", "1", { layers: [digest] });
    const settings = { [registry.host]: { username: "ann", password: "secret" } };
    await using kit = await aProxy({ config: { registries: settings, defaultRegistry: registry.host } });
    assert.equal((await ask(`${kit.url}/v2/`)).status, 200);
    assert.ok((await ask(`${kit.url}/v2/private/app/blobs/${digest}`)).body.equals(bytes));
    assert.equal((await ask(`${kit.url}/v2/private/app/manifests/1`)).status, 200);
  });
}

test("an origin that refuses HEAD is asked for the first byte", async () => {
  await using registry = await startTestRegistry();
  const bytes = randomBytes(70_000);
  const digest = registry.putBlob(bytes);
  const path = `/v2/app/blobs/${digest}`;
  let ranged = 0;
  registry.answer(path, (request, response) => {
    if (request.method === "HEAD") return void response.writeHead(405).end();
    if (request.headers.range === "bytes=0-0") {
      ranged++;
      return void response.writeHead(206, { "Content-Range": `bytes 0-0/${bytes.length}`, "Content-Length": 1 }).end(bytes.subarray(0, 1));
    }
    response.writeHead(200, { "Content-Length": bytes.length }).end(bytes);
  });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  assert.ok((await ask(kit.url + path)).body.equals(bytes));
  assert.ok(ranged > 0);
});
