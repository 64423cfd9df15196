import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { runAnax, startAnaxStore } from "../kit/anax.ts";
import { createTestCertificate } from "../kit/certificates.ts";
import { temporaryDirectory } from "../kit/temporary-directory.ts";

/** Sends lines as inline commands; what came until the other side closed. */
async function ask(socket: Socket, ...lines: readonly string[]): Promise<string> {
  let text = "";
  socket.setEncoding("latin1").on("data", (part: string) => void (text += part));
  socket.write([...lines, "QUIT"].map((line) => `${line}\r\n`).join(""));
  await once(socket, "close");
  return text;
}

const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));

test("store serves with parameters of a redis.conf and of the command line, and ends at SHUTDOWN", async () => {
  await using dir = await temporaryDirectory();
  const file = join(dir.path, "redis.conf");
  writeFileSync(file, "requirepass secret\nmaxmemory 1gb\nuser ann on >pw ~a* +@read\n");
  await using store = await startAnaxStore({ dataDir: dir.path, args: ["--config", file, "--set", "maxmemory=2gb"] });
  const port = portOf(store.listeners["store"]!);
  assert.equal(
    await ask(connect(port, "127.0.0.1"), "GET a", "AUTH secret", "SET a 1", "GET a", "CONFIG GET maxmemory", "DEBUG JMAP"),
    "-NOAUTH Authentication required.\r\n+OK\r\n+OK\r\n$1\r\n1\r\n*2\r\n$9\r\nmaxmemory\r\n$10\r\n2147483648\r\n" +
      '-ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a local connection, otherwise you ' +
      "need to set this option in the configuration file, and then restart the server.\r\n+OK\r\n",
  );
  assert.match(
    await ask(connect(port, "127.0.0.1"), "AUTH ann pw", "GET a", "GET b", "SET a 2"),
    /^\+OK\r\n\$1\r\n1\r\n-NOPERM .*key.*\r\n-NOPERM .*'set'/s,
  );
  const metrics = await (await fetch(`${store.listeners["status"]}/metrics`)).text();
  assert.match(metrics, /^anax_kv_commands_processed \d+$/m);
  assert.match(await ask(connect(port, "127.0.0.1"), "AUTH secret", "SHUTDOWN NOSAVE"), /^\+OK\r\n/);
  assert.equal(await store.exited, 0);
});

test("store ends with 0 at SIGTERM, and is never two in one place", async () => {
  await using dir = await temporaryDirectory();
  await using store = await startAnaxStore({ dataDir: dir.path });
  const second = await runAnax(["store", "--port", "0", "--data-dir", dir.path, "--json"], { env: { ANAX_STATUS_STORE_PORT: "0" } });
  assert.notEqual(second.code, 0);
  assert.match(second.stderr, /already-running/);
  store.kill("SIGTERM");
  assert.equal(await store.exited, 0);
});

test("store speaks TLS on a port of its own", async () => {
  await using dir = await temporaryDirectory();
  const { ca, cert, key } = createTestCertificate(["127.0.0.1"]);
  const files = { "tls-cert-file": cert, "tls-key-file": key };
  const args = Object.entries(files).flatMap(([name, text]) => {
    writeFileSync(join(dir.path, name), text);
    return ["--set", `${name}=${join(dir.path, name)}`];
  });
  await using store = await startAnaxStore({
    dataDir: dir.path,
    args: [...args, "--set", "tls-auth-clients=no", "--set", `tls-port=${await freePort()}`],
  });
  const port = portOf(store.listeners["store-tls"]!);
  assert.equal(await ask(connectTls({ host: "127.0.0.1", port, ca }), "PING", "SET a 1", "GET a"), "+PONG\r\n+OK\r\n$1\r\n1\r\n+OK\r\n");
});

test("store names every wrong parameter", async () => {
  await using dir = await temporaryDirectory();
  const args = ["store", "--port", "0", "--set", "maxmemry=1gb", "--json", "--data-dir", dir.path];
  const ran = await runAnax(args, { env: { ANAX_STATUS_STORE_PORT: "0" } });
  assert.notEqual(ran.code, 0);
  assert.match(ran.stderr, /unknown parameter maxmemry, did you mean maxmemory\?/);
});

async function freePort(): Promise<number> {
  const { createServer } = await import("node:net");
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { readonly port: number };
  server.close();
  await once(server, "close");
  return port;
}
