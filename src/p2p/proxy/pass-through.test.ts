import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import { test } from "node:test";
import { aProxy, ask } from "../../../test/kit/proxy.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";

test("uploads stream through with their bodies", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const start = await ask(`${kit.url}/v2/lab/new/blobs/uploads/`, { method: "POST" });
  assert.equal(start.status, 202);
  const bytes = randomBytes(3_000_000);
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const put = await ask(`${kit.url}${start.headers.location}?digest=${digest}`, { method: "PUT", body: bytes });
  assert.equal(put.status, 201);
  assert.ok(registry.requests.at(-1)?.body.equals(bytes));
  assert.ok((await ask(`${kit.url}/v2/lab/new/blobs/${digest}`)).body.equals(bytes));
});

test("a request is passed on as it came, but for what concerns one connection", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  await ask(`${kit.url}/v2/lab/app/tags/list?n=1&last=%2f`, {
    headers: {
      "X-Custom": ["one", "two"],
      "X-Dragonfly-Tag": "t",
      Connection: "close, X-Hop",
      "X-Hop": "1",
      "Proxy-Authorization": "Basic eA==",
      "Keep-Alive": "5",
    },
  });
  const seen = registry.requests.at(-1);
  assert.equal(seen?.path, "/v2/lab/app/tags/list?n=1&last=%2f");
  assert.equal(seen.headers["x-custom"], "one, two");
  assert.equal(seen.headers.host, registry.host);
  assert.match(String(seen.headers.via), /^1\.1 anax-/);
  for (const name of ["x-dragonfly-tag", "x-hop", "proxy-authorization", "keep-alive"]) assert.equal(seen.headers[name], undefined, name);
});

test("chunked bodies, trailers and several methods pass", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    const reply = await ask(`${kit.url}/v2/lab/app/tags/list`, {
      method,
      headers: { "Transfer-Encoding": "chunked", Trailer: "X-Sum" },
      body: `body of ${method}`,
      trailers: { "X-Sum": "42" },
    });
    assert.equal(reply.status, 200, method);
    const seen = registry.requests.at(-1);
    assert.equal(seen?.method, method);
    assert.equal(seen.body.toString(), `body of ${method}`);
    assert.equal(seen.trailers["x-sum"], "42", method);
  }
  registry.answer("/v2/trailing", (_, response) => {
    response.writeHead(200, { Trailer: "X-Sum", "Set-Cookie": ["a=1", "b=2"] });
    response.write("text");
    response.addTrailers({ "X-Sum": "7" });
    response.end();
  });
  const reply = await ask(`${kit.url}/v2/trailing`);
  assert.equal(reply.body.toString(), "text");
  assert.equal(reply.trailers["x-sum"], "7");
  assert.deepEqual(reply.headers["set-cookie"], ["a=1", "b=2"]);
});

test("a client that waits for 100 Continue gets it when the origin gives it, and not when the origin refuses", async () => {
  await using registry = await startTestRegistry();
  registry.answer("/v2/refuse", (_, response) => void response.writeHead(401, { "Content-Length": 0 }).end());
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  const continued = http.request(`${kit.url}/v2/lab/app/tags/list`, {
    method: "PUT",
    headers: { Expect: "100-continue", "Content-Length": 4 },
    agent: false,
  });
  continued.flushHeaders();
  await once(continued, "continue");
  continued.end("body");
  const [reply] = (await once(continued, "response")) as [IncomingMessage];
  assert.equal(reply.statusCode, 200);
  reply.resume();
  assert.equal(registry.requests.at(-1)?.body.toString(), "body");

  const refused = http.request(`${kit.url}/v2/refuse`, {
    method: "PUT",
    headers: { Expect: "100-continue", "Content-Length": 4 },
    agent: false,
  });
  refused.on("continue", () => assert.fail("the origin did not want the body"));
  refused.flushHeaders();
  const [answer] = (await once(refused, "response")) as [IncomingMessage];
  assert.equal(answer.statusCode, 401);
  assert.equal(answer.headers.connection, "close");
  refused.destroy();
});

test("a kept connection that the origin has closed is no error of the client", async () => {
  await using registry = await startTestRegistry();
  registry.answer("/v2/once", (request, response) => {
    response.writeHead(200, { "Content-Length": 2 }).end("ok");
    response.once("finish", () => setImmediate(() => request.socket.destroy()));
  });
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  for (let i = 0; i < 5; i++) assert.equal((await ask(`${kit.url}/v2/once`)).body.toString(), "ok");
});

test("a request that has been here before is stopped", async () => {
  await using registry = await startTestRegistry();
  await using kit = await aProxy({ config: { defaultRegistry: registry.host } });
  await ask(`${kit.url}/v2/lab/app/tags/list`);
  const via = String(registry.requests.at(-1)?.headers.via);
  assert.equal((await ask(`${kit.url}/v2/lab/app/tags/list`, { headers: { via } })).status, 508);
  const own = `127.0.0.1:${kit.proxy.port}`;
  assert.equal((await ask(`${kit.url}/v2/lab/app/tags/list?ns=${own}`)).status, 508);
  assert.equal((await ask(kit.url, { target: `http://localhost:${kit.proxy.port}/x` })).status, 508);
});
