import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fillGenerated, generate, sha256OfGenerated } from "./generated-content.ts";
import { startOrigin } from "./origin.ts";

test("generated content is the same at every offset, whatever the pieces", () => {
  const whole = generate({ bytes: 300_000, seed: 5 });
  for (const [start, length] of [
    [0, 1],
    [7, 3],
    [65_530, 20],
    [65_540, 200_000],
    [131_072, 8],
  ] as const) {
    const part = Buffer.alloc(length);
    fillGenerated(5, start, part);
    assert.ok(part.equals(whole.subarray(start, start + length)), `${start}`);
  }
  assert.equal(sha256OfGenerated({ bytes: 300_000, seed: 5 }), createHash("sha256").update(whole).digest("hex"));
  assert.ok(!generate({ bytes: 1000, seed: 6 }).equals(whole.subarray(0, 1000)));
  assert.ok(!whole.subarray(0, 65_536).equals(whole.subarray(65_536, 131_072)));
});

test("the origin serves a directory, not what lies beside it", async () => {
  const top = await mkdtemp(join(tmpdir(), "anax-origin-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(top, { recursive: true }));
  await writeFile(join(top, "a file"), "0123456789");
  await using origin = await startOrigin({ directory: top });
  const reply = await fetch(origin.url("/a%20file"), { headers: { range: "bytes=-3" } });
  assert.deepEqual([reply.status, reply.headers.get("content-range"), await reply.text()], [206, "bytes 7-9/10", "789"]);
  assert.equal((await fetch(origin.url("/..%2fetc%2fpasswd"))).status, 404);
  assert.equal((await fetch(origin.url("/"))).status, 404);
  assert.deepEqual(origin.stats("/a file"), { gets: 1, heads: 0, bytesSent: 3 });
});

test("the origin answers conditional requests and counts them as GET without bytes", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" } });
  const etag = (await fetch(origin.url("/a"), { method: "HEAD" })).headers.get("etag") ?? "";
  assert.equal((await fetch(origin.url("/a"), { headers: { "if-none-match": etag } })).status, 304);
  assert.deepEqual(origin.totals(), { gets: 1, heads: 1, bytesSent: 0 });
});

test("a fault with times passes, and authentication is wanted where it is set", async () => {
  await using origin = await startOrigin({
    content: { "/a": "x" },
    faults: { "/a": { status: 500, times: 1 }, "/b": { auth: { kind: "bearer", token: "t" } } },
  });
  assert.equal((await fetch(origin.url("/a"))).status, 500);
  assert.equal((await fetch(origin.url("/a"))).status, 200);
  const refused = await fetch(origin.url("/b"));
  assert.deepEqual([refused.status, refused.headers.get("www-authenticate")], [401, 'Bearer realm="origin"']);
});

test("a large body comes whole and is counted", async () => {
  const content = { bytes: 64 * 1024 ** 2 + 1, seed: 9 };
  await using origin = await startOrigin({ content: { "/big": content } });
  const hash = createHash("sha256");
  for await (const chunk of (await fetch(origin.url("/big"))).body ?? []) hash.update(chunk);
  assert.equal(hash.digest("hex"), sha256OfGenerated(content));
  assert.equal(origin.stats("/big").bytesSent, content.bytes);
});
