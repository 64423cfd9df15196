import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, createServer, type AddressInfo, type NetConnectOpts } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { startStore } from "../start-store.ts";

/** The answer to one inline command, or the code of the error that a connection meets. */
async function ask(to: NetConnectOpts, command: string): Promise<string> {
  const socket = connect(to);
  try {
    await once(socket, "connect");
    socket.write(`${command}\r\n`);
    const [answer] = (await once(socket, "data")) as [Buffer];
    return answer.toString("latin1");
  } catch (thrown) {
    return String((thrown as NodeJS.ErrnoException).code);
  } finally {
    socket.destroy();
  }
}

async function takenPort(): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

test("CONFIG SET port moves to the new port and closes the old one", async () => {
  let free: number;
  {
    await using taken = await takenPort();
    free = taken.port;
  }
  await using running = await startStore({ port: 0 });
  const { port } = running;
  assert.equal(await ask({ port }, `CONFIG SET port ${free}`), "+OK\r\n");
  assert.equal(await ask({ port: free }, "PING"), "+PONG\r\n");
  assert.equal(await ask({ port }, "PING"), "ECONNREFUSED");
});

test("CONFIG SET changes nothing where it cannot listen", async () => {
  await using taken = await takenPort();
  await using running = await startStore({ port: 0 });
  const { port, store } = running;
  const refused = /^-ERR CONFIG SET failed \(possibly related to argument 'port'\) - Unable to listen on this port/;
  assert.match(await ask({ port }, `CONFIG SET maxmemory 10000001 port ${taken.port} hz 20`), refused);
  assert.deepEqual([store.parameters.port, store.parameters.maxmemory, store.parameters.hz], [port, 0, 10]);
  assert.match(await ask({ port }, "CONFIG SET bind 999.1.1.1"), /^-ERR .*'bind'\) - Failed to bind/);
  assert.equal(await ask({ port }, "PING"), "+PONG\r\n");
});

test("a store listens at a socket in the file system, and at none of its addresses once bind is empty", async () => {
  const dir = mkdtempSync(join(tmpdir(), "anax-listeners-"));
  const path = join(dir, "socket");
  try {
    await using running = await startStore({ port: 0, parameters: { unixsocket: path, unixsocketperm: "700" } });
    assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.equal(await ask({ path }, 'CONFIG SET bind ""'), "+OK\r\n");
    assert.equal(await ask({ port: running.port }, "PING"), "ECONNREFUSED");
    assert.equal(await ask({ path }, "PING"), "+PONG\r\n");
    const { port } = running;
    await running[Symbol.asyncDispose]();
    await using again = await startStore({ port, parameters: { unixsocket: path, bind: "" } });
    assert.equal(again.port, 0);
    assert.equal(await ask({ path }, "CONFIG SET bind 127.0.0.1"), "+OK\r\n");
    assert.equal(await ask({ port }, "PING"), "+PONG\r\n");
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
