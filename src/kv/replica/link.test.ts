import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { startStore } from "../start-store.ts";
import { createTestCertificate } from "../../../test/kit/certificates.ts";
import { waitFor } from "../../../test/kit/process.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { RespClient } from "../../../test/store/resp-client.ts";

const fieldOf = async (client: RespClient, name: string): Promise<string | undefined> =>
  new RegExp(`^${name}:(.*)\r$`, "m").exec(String(await client.call("INFO")))?.[1];
const isUp = async (client: RespClient): Promise<boolean> => (await fieldOf(client, "master_link_status")) === "up";

test("a replica follows its primary over TLS, and none whose certificate another authority has signed", async () => {
  await using directory = await temporaryDirectory();
  const certificateIn = async (name: string): Promise<Record<"tls-cert-file" | "tls-key-file" | "tls-ca-cert-file", string>> => {
    const { ca, cert, key } = createTestCertificate([name]);
    const file = (kind: string): string => join(directory.path, `${name}-${kind}.pem`);
    await Promise.all([writeFile(file("ca"), ca), writeFile(file("cert"), cert), writeFile(file("key"), key)]);
    return { "tls-cert-file": file("cert"), "tls-key-file": file("key"), "tls-ca-cert-file": file("ca") };
  };
  const files = await certificateIn("ours");
  const parameters = { ...files, "tls-auth-clients": "yes", requirepass: "secret", masterauth: "secret" } as const;
  // Free at this moment; 0 says that there is none.
  const free = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => free.once("listening", resolve));
  const tlsPort = (free.address() as AddressInfo).port;
  await new Promise((resolve) => free.close(resolve));
  await using primary = await startStore({ port: 0, parameters: { ...parameters, "tls-port": tlsPort } });
  const replicaof = `127.0.0.1 ${tlsPort}`;
  await using replica = await startStore({ port: 0, parameters: { ...parameters, requirepass: "", replicaof, "tls-replication": true } });
  using writer = await RespClient.connect(primary.port);
  using reader = await RespClient.connect(replica.port);
  await writer.call("AUTH", "secret");
  await waitFor(() => isUp(reader));
  await writer.call("SET", "a", "x".repeat(100_000));
  await waitFor(async () => (await reader.call("STRLEN", "a")) === 100_000);
  const others = await certificateIn("others");
  await using stranger = await startStore({
    port: 0,
    parameters: { ...others, masterauth: "secret", replicaof, "tls-replication": true },
  });
  using strange = await RespClient.connect(stranger.port);
  await waitFor(async () => stranger.store.replication!.link!.state === "connect");
  assert.equal(await strange.call("DBSIZE"), 0);
  assert.equal(await fieldOf(writer, "connected_slaves"), "1");
});

test("a primary that falls silent is left after repl-timeout, though what is sent to it goes out", async () => {
  await using primary = await startStore({ port: 0 });
  await using replica = await startStore({ port: 0, parameters: { replicaof: `127.0.0.1 ${primary.port}`, "repl-timeout": 1 } });
  using reader = await RespClient.connect(replica.port);
  await waitFor(() => isUp(reader));
  using writer = await RespClient.connect(primary.port);
  // It pings every ten seconds only.
  await waitFor(async () => (await fieldOf(writer, "sync_partial_ok")) === "1");
});

test("CLIENT LIST and CLIENT KILL know the primary", async () => {
  await using primary = await startStore({ port: 0 });
  await using replica = await startStore({ port: 0, parameters: { replicaof: `127.0.0.1 ${primary.port}` } });
  using reader = await RespClient.connect(replica.port);
  await waitFor(() => isUp(reader));
  assert.match(String(await reader.call("CLIENT", "LIST", "TYPE", "master")), new RegExp(`addr=127.0.0.1:${primary.port} .*flags=M`));
  assert.equal(await reader.call("CLIENT", "KILL", "TYPE", "master"), 1);
  using writer = await RespClient.connect(primary.port);
  await waitFor(async () => (await fieldOf(writer, "sync_partial_ok")) === "1");
});

test("a replica that takes nothing of its snapshot is let go after repl-timeout, and nobody waits for it longer", async () => {
  await using primary = await startStore({ port: 0, parameters: { "repl-timeout": 1, rdbcompression: false } });
  using writer = await RespClient.connect(primary.port);
  await writer.call("DEBUG", "POPULATE", "20000", "key", "2000");
  using stopped = await RespClient.connect(primary.port);
  await stopped.call("REPLCONF", "capa", "eof");
  stopped.pause();
  void stopped.call("PSYNC", "?", "-1").catch(() => undefined);
  await waitFor(async () => (await fieldOf(writer, "connected_slaves")) === "1");
  await waitFor(async () => (await fieldOf(writer, "connected_slaves")) === "0");
  assert.match(String(await writer.call("BGSAVE")), /^Background saving/);
});

test("a replica that takes nothing of what is written is let go before it takes more memory than its limit", async () => {
  await using primary = await startStore({
    port: 0,
    parameters: { "client-output-buffer-limit": "normal 0 0 0 slave 4194304 0 0 pubsub 0 0 0", save: "" },
  });
  using writer = await RespClient.connect(primary.port);
  using stopped = await RespClient.connect(primary.port);
  await stopped.call("REPLCONF", "capa", "eof");
  stopped.pause();
  void stopped.call("PSYNC", "?", "-1").catch(() => undefined);
  await waitFor(async () => (await fieldOf(writer, "connected_slaves")) === "1");
  let unsentMax = 0;
  for (let i = 0; i < 400 && primary.store.replication!.primary.replicas.size > 0; i++) {
    assert.equal(await writer.call("SET", "a", "x".repeat(100_000)), "OK");
    for (const replica of primary.store.replication!.primary.replicas.values()) unsentMax = Math.max(unsentMax, replica.unsentBytes);
  }
  assert.equal(await fieldOf(writer, "connected_slaves"), "0");
  assert.ok(unsentMax < 5 * 1024 * 1024, `${unsentMax} bytes`);
});
