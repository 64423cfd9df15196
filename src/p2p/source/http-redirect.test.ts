import assert from "node:assert/strict";
import { test } from "node:test";
import { startOrigin } from "../../../test/kit/origin.ts";
import { aRequest, aSources, bytesOf } from "../../../test/kit/sources.ts";
import { fails } from "./source.conformance.ts";

const CREDENTIALS = { Authorization: "Bearer t", Cookie: "c=1", "X-Other": "kept" };

for (const status of [301, 302, 303, 307, 308]) {
  test(`a redirect with ${status} is followed, with the range, and keeps credentials within the origin`, async () => {
    await using origin = await startOrigin({
      content: { "/b": "0123456789" },
      faults: { "/a": { redirectTo: "/b", redirectStatus: status } },
    });
    await using sources = aSources();
    const body = await sources.read({ ...aRequest(origin.url("/a"), { headers: CREDENTIALS }), range: { start: 2, length: 3 } });
    assert.equal((await bytesOf(body)).toString(), "234");
    assert.equal(origin.requests.at(-1)?.headers["authorization"], "Bearer t");
    assert.equal((await sources.stat(aRequest(origin.url("/a")))).contentLength, 10);
  });
}

test("credentials do not go to another origin, nor come back with a redirect from there", async () => {
  await using home = await startOrigin({ content: { "/end": "x" } });
  await using other = await startOrigin({ faults: { "/b": { redirectTo: home.url("/end") } } });
  home.setFault("/a", { redirectTo: other.url("/b") });
  await using sources = aSources();
  await bytesOf(await sources.read(aRequest(home.url("/a"), { headers: CREDENTIALS })));
  for (const { headers } of [other.requests.at(-1)!, home.requests.at(-1)!]) {
    assert.deepEqual([headers["authorization"], headers["cookie"], headers["x-other"]], [undefined, undefined, "kept"]);
  }
});

test("user and password of the first URL stay with its origin too", async () => {
  await using other = await startOrigin({ content: { "/b": "x" } });
  await using home = await startOrigin({
    content: { "/same": "x" },
    faults: { "/a": { redirectTo: other.url("/b") }, "/s": { redirectTo: "/same" } },
  });
  await using sources = aSources();
  const withUser = (path: string): string => home.url(path).replace("//", "//u:p@");
  await sources.stat(aRequest(withUser("/a")));
  assert.equal(other.requests.at(-1)?.headers["authorization"], undefined);
  await sources.stat(aRequest(withUser("/s")));
  assert.match(String(home.requests.at(-1)?.headers["authorization"]), /^Basic /);
});

test("a redirect loop ends at redirectsMax", async () => {
  await using origin = await startOrigin({ faults: { "/a": { redirectTo: "/a" } } });
  await using sources = aSources({ redirectsMax: 4 });
  await fails(sources.read(aRequest(origin.url("/a"))), "source.refused");
  assert.equal(origin.stats("/a").gets, 5);
});

for (const location of ["file:///etc/passwd", "s3://bucket/key", "http://[broken"]) {
  test(`a redirect to ${location} is refused`, async () => {
    await using origin = await startOrigin({ faults: { "/a": { redirectTo: location } } });
    await using sources = aSources({ fileRoots: ["/"] });
    await fails(sources.stat(aRequest(origin.url("/a"))), "source.refused");
  });
}

for (const target of [
  "http://169.254.169.254/latest/meta-data",
  "http://[fe80::1]/",
  "http://0x0.0.0.0/",
  "http://[::ffff:169.254.169.254]/",
]) {
  test(`a redirect to ${target} is denied`, async () => {
    await using origin = await startOrigin({ faults: { "/a": { redirectTo: target } } });
    await using sources = aSources();
    await fails(sources.stat(aRequest(origin.url("/a"))), "source.denied");
  });
}
