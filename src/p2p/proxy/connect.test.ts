import assert from "node:assert/strict";
import { randomBytes, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, stat } from "node:fs/promises";
import http, { type IncomingMessage } from "node:http";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { createTestCertificate } from "../../../test/kit/certificates.ts";
import { aProxy, sendRaw, type Reply } from "../../../test/kit/proxy.ts";
import { startTestRegistry } from "../../../test/kit/registry.ts";
import { parseAuthority } from "./connect.ts";

/** A tunnel through the proxy, as a client opens it. */
async function tunnel(
  port: number,
  target: string,
  headers: http.OutgoingHttpHeaders = {},
): Promise<{ readonly status: number; readonly socket: Socket }> {
  const request = http.request({ host: "127.0.0.1", port, method: "CONNECT", path: target, headers, agent: false }).end();
  const [reply, socket] = (await once(request, "connect")) as [IncomingMessage, Socket];
  return { status: reply.statusCode ?? 0, socket };
}

async function getThrough(
  socket: Socket,
  options: { readonly ca: string; readonly path: string },
): Promise<Reply & { readonly issuer: string }> {
  const secure = connectTls({ socket, ca: options.ca, servername: "localhost" });
  await once(secure, "secureConnect");
  const issuer = secure.getPeerX509Certificate()?.issuer ?? "";
  const request = http.request({ path: options.path, createConnection: () => secure }).end();
  const [reply] = (await once(request, "response")) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of reply) chunks.push(chunk as Buffer);
  secure.destroy();
  return { status: reply.statusCode ?? 0, headers: reply.headers, trailers: {}, body: Buffer.concat(chunks), localPort: 0, issuer };
}

test("an HTTPS registry behind CONNECT is served with a certificate of our own authority", async () => {
  const tls = createTestCertificate(["127.0.0.1", "localhost"]);
  await using registry = await startTestRegistry({ tls });
  const bytes = randomBytes(6_000_000);
  const digest = registry.putBlob(bytes);
  registry.putManifest("lab/app", "1", { layers: [digest] });
  const host = `localhost:${registry.port}`;
  await using kit = await aProxy({ config: { registries: { [host]: { insecureSkipVerify: true } } } });
  const ca = await readFile(kit.proxy.caCertPath ?? "", "utf8");
  for (const path of [`/v2/lab/app/blobs/${digest}`, `/v2/lab/app/blobs/${digest}`]) {
    const { status, socket } = await tunnel(kit.proxy.port, host);
    assert.equal(status, 200);
    const reply = await getThrough(socket, { ca, path });
    assert.match(reply.issuer, /Anax proxy/);
    assert.equal(reply.status, 200, reply.body.toString().slice(0, 200));
    assert.ok(reply.body.equals(bytes));
    assert.equal(reply.headers["x-dragonfly-task-id"], digest.slice(7));
  }
  assert.equal(registry.count("GET", "/blobs/"), 1);
  const { socket } = await tunnel(kit.proxy.port, host);
  const manifest = await getThrough(socket, { ca, path: "/v2/lab/app/manifests/1" });
  assert.equal(manifest.status, 200);
  assert.equal((await stat(join(dirname(kit.proxy.caCertPath ?? ""), "ca.key"))).mode & 0o777, 0o600);
});

test("the authority is kept, and its certificates name the host and last at most a year", async () => {
  await using kit = await aProxy({ config: { hijackHosts: ["localhost", "127.0.0.1"] } });
  const ca = new X509Certificate(await readFile(kit.proxy.caCertPath ?? ""));
  assert.ok(ca.ca && ca.verify(ca.publicKey));
  for (const [target, name] of [
    ["localhost:443", "DNS:localhost"],
    ["127.0.0.1:443", "IP Address:127.0.0.1"],
  ] as const) {
    const { socket } = await tunnel(kit.proxy.port, target);
    const secure = connectTls({ socket, ca: ca.toString(), host: target.split(":")[0] });
    await once(secure, "secureConnect");
    const leaf = secure.getPeerX509Certificate();
    assert.ok(leaf !== undefined);
    assert.equal(leaf.subjectAltName, name);
    assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
    assert.ok(leaf.validToDate.getTime() - leaf.validFromDate.getTime() <= 367 * 86_400_000);
    secure.destroy();
  }
});

test("other hosts get a blind tunnel", async () => {
  const tls = createTestCertificate(["127.0.0.1", "localhost"]);
  await using registry = await startTestRegistry({ tls });
  const digest = registry.putBlob(randomBytes(1000));
  await using kit = await aProxy();
  assert.equal(kit.proxy.caCertPath, undefined, "nothing is hijacked, so there is no authority");
  const { socket } = await tunnel(kit.proxy.port, `127.0.0.1:${registry.port}`);
  const reply = await getThrough(socket, { ca: tls.ca, path: `/v2/lab/app/blobs/${digest}` });
  assert.equal(reply.status, 200);
  assert.match(reply.issuer, /test authority/);
  assert.equal(reply.headers["x-dragonfly-task-id"], undefined);
});

test("a tunnel passes what is sent early, and each direction ends by itself", async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("end", () => socket.end(`got ${Buffer.concat(chunks).toString()}`));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using kit = await aProxy();
  const socket = connect({ port: kit.proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  socket.end(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nHost: x\r\n\r\nearly bytes`);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 200 [^\r]*\r\n\r\ngot early bytes$/);
  server.close();
  await once(server, "close");
});

test("tunnels that must not be are refused", async () => {
  await using kit = await aProxy({ config: { username: "ann", password: "secret" } });
  const authorized = { "Proxy-Authorization": `Basic ${Buffer.from("ann:secret").toString("base64")}` };
  const rows = [
    { target: "127.0.0.1:1", headers: {}, status: 407 },
    { target: "169.254.169.254:80", headers: authorized, status: 403 },
    { target: `127.0.0.1:${kit.proxy.port}`, headers: authorized, status: 508 },
    { target: "127.0.0.1:1", headers: authorized, status: 502 },
    { target: "127.0.0.1:0", headers: authorized, status: 400 },
    { target: "no-port", headers: authorized, status: 400 },
  ];
  for (const { target, headers, status } of rows) {
    const opened = await tunnel(kit.proxy.port, target, headers);
    assert.equal(opened.status, status, target);
    opened.socket.destroy();
  }
});

test("the number of tunnels is bounded", async () => {
  const server = createServer(() => undefined).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await using kit = await aProxy({ config: { tunnelsMax: 1 } });
  const first = await tunnel(kit.proxy.port, `127.0.0.1:${port}`);
  const second = await tunnel(kit.proxy.port, `127.0.0.1:${port}`);
  assert.deepEqual([first.status, second.status], [200, 429]);
  first.socket.destroy();
  second.socket.destroy();
  server.close();
});

test("what is not TLS inside a hijacked tunnel ends it", async () => {
  await using kit = await aProxy({ config: { hijackHosts: ["localhost"] } });
  const reply = await sendRaw(kit.proxy.port, [
    "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
  ]);
  assert.match(reply, /^HTTP\/1\.1 200 /);
  assert.ok(!reply.includes("400"));
});

test("a CONNECT target is a host and a port, nothing else", () => {
  assert.deepEqual(parseAuthority("Registry.Example:443"), { hostname: "registry.example", port: 443 });
  assert.deepEqual(parseAuthority("[::1]:8443"), { hostname: "::1", port: 8443 });
  for (const bad of ["", "host", "host:", "host:99999", "user@host:1", "host:1/path", "[host]:1", "::1:443", "a b:1"]) {
    assert.throws(() => parseAuthority(bad), /CONNECT wants host:port/, bad);
  }
});
