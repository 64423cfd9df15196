import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCertificate } from "../../../test/kit/certificates.ts";
import { startForwardProxy } from "../../../test/kit/forward-proxy.ts";
import { startOrigin } from "../../../test/kit/origin.ts";
import { aRequest, aSources, bytesOf } from "../../../test/kit/sources.ts";
import { fails } from "./source.conformance.ts";

const tls = createTestCertificate(["127.0.0.1", "localhost", "secure.test"]);
const other = createTestCertificate(["127.0.0.1"]);

const secureOrigin = () => startOrigin({ tls, content: { "/a": "secret" } });

test("a certificate of an unknown authority is source.unreachable", async () => {
  await using origin = await secureOrigin();
  await using sources = aSources({ attemptsMax: 1 });
  const error = await fails(sources.stat(aRequest(origin.url("/a"))), "source.unreachable");
  assert.match(String(error.details["systemCode"]), /SELF_SIGNED|UNABLE_TO_VERIFY/);
});

test("the request's certificate chain is trusted, for that request only", async () => {
  await using origin = await secureOrigin();
  await using sources = aSources({ attemptsMax: 1 });
  const body = await sources.read(aRequest(origin.url("/a"), { certificateChain: [tls.ca] }));
  assert.equal((await bytesOf(body)).toString(), "secret");
  await fails(sources.stat(aRequest(origin.url("/a"))), "source.unreachable");
  await fails(sources.stat(aRequest(origin.url("/a"), { certificateChain: [other.ca] })), "source.unreachable");
});

test("authorities of caFiles are trusted", async () => {
  const directory = await mkdtemp(join(tmpdir(), "anax-ca-"));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(directory, { recursive: true }));
  const file = join(directory, "ca.pem");
  await writeFile(file, tls.ca);
  await using origin = await secureOrigin();
  await using sources = aSources({ caFiles: [file] });
  assert.equal((await sources.stat(aRequest(origin.url("/a")))).contentLength, 6);
});

test("a caFile that cannot be read is config.unreadable, and names the file", async () => {
  await using sources = aSources({ caFiles: ["/nonexistent/ca.pem"] });
  const error = await fails(sources.stat(aRequest("https://127.0.0.1:1/")), "config.unreadable");
  assert.equal(error.details["file"], "/nonexistent/ca.pem");
});

test("a certificate chain that is none is input.invalid", async () => {
  await using sources = aSources();
  const pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  await fails(sources.stat(aRequest("https://127.0.0.1:1/", { certificateChain: [pem] })), "input.invalid");
});

test("certificates of insecureHosts are not checked, those of other hosts are", async () => {
  await using origin = await secureOrigin();
  await using sources = aSources({ insecureHosts: [`localhost:${origin.port}`], attemptsMax: 1 });
  assert.equal((await sources.stat(aRequest(origin.url("/a").replace("127.0.0.1", "localhost")))).contentLength, 6);
  await fails(sources.stat(aRequest(origin.url("/a"))), "source.unreachable");
});

test("http goes through the proxy in absolute form, with its credentials, and the origin does not see them", async () => {
  await using origin = await startOrigin({ content: { "/a": "0123456789" } });
  await using proxy = await startForwardProxy({ credentials: "me:pw" });
  await using sources = aSources({ proxyUrl: proxy.url });
  const url = `http://origin.test:${origin.port}/a`;
  const body = await sources.read({ ...aRequest(url), range: { start: 1, length: 2 } });
  assert.equal((await bytesOf(body)).toString(), "12");
  assert.deepEqual(proxy.seen, [`GET ${url}`]);
  const { host, "proxy-authorization": leaked } = origin.requests.at(-1)?.headers ?? {};
  assert.deepEqual([host, leaked], [`origin.test:${origin.port}`, undefined]);
});

test("https goes through the proxy with CONNECT, and TLS is checked against the origin's name", async () => {
  await using origin = await secureOrigin();
  await using proxy = await startForwardProxy({ credentials: "me:pw" });
  await using sources = aSources({ proxyUrl: proxy.url, attemptsMax: 1 });
  const request = (host: string) => aRequest(`https://${host}:${origin.port}/a`, { certificateChain: [tls.ca] });
  assert.equal((await bytesOf(await sources.read(request("secure.test")))).toString(), "secret");
  assert.deepEqual(proxy.seen, [`CONNECT secure.test:${origin.port}`]);
  await fails(sources.stat(request("wrong.test")), "source.unreachable");
});

test("a proxy that refuses is an error, not a way around it", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" } });
  await using proxy = await startForwardProxy({ credentials: "me:pw" });
  await using sources = aSources({ proxyUrl: proxy.url.replace("me:pw@", ""), attemptsMax: 1 });
  await fails(sources.stat(aRequest(`http://origin.test:${origin.port}/a`)), "source.refused");
  await fails(sources.stat(aRequest(`https://origin.test:${origin.port}/a`)), "source.unreachable");
  assert.equal(origin.requests.length, 0);
});

test("loopback and hosts of noProxy are reached directly", async () => {
  await using origin = await startOrigin({ content: { "/a": "x" } });
  await using proxy = await startForwardProxy();
  await using sources = aSources({ proxyUrl: proxy.url, noProxy: ["direct.invalid"], attemptsMax: 1 });
  assert.equal((await sources.stat(aRequest(origin.url("/a")))).contentLength, 1);
  await fails(sources.stat(aRequest("http://a.direct.invalid/a")), "source.unreachable"); // asked the resolver itself
  assert.deepEqual(proxy.seen, []);
});

test("a literal address that is refused is refused through a proxy as well", async () => {
  await using proxy = await startForwardProxy();
  await using sources = aSources({ proxyUrl: proxy.url });
  await fails(sources.stat(aRequest("http://169.254.169.254/latest")), "source.denied");
  assert.deepEqual(proxy.seen, []);
});
