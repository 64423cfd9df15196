import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { test } from "node:test";
import { promisify } from "node:util";
import { startStore } from "../start-store.ts";

const WAIT_MS = 4_000;

async function connected(port: number): Promise<Socket> {
  const socket = createConnection({ host: "127.0.0.1", port });
  socket.setTimeout(WAIT_MS, () => socket.destroy(new Error("nothing came")));
  await once(socket, "connect");
  return socket;
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let got = 0; got < bytes;) {
    const part = socket.read() as Buffer | null;
    if (part === null) await once(socket, "readable");
    else got += parts[parts.push(part) - 1]!.length;
  }
  return Buffer.concat(parts);
}

for (const native of [true, false])
  test(`replies arrive whole and in order at one who reads late, ${native ? "past" : "through"} the stream`, async () => {
    await using running = await startStore({ port: 0, native });
    const socket = await connected(running.port);
    const value = "v".repeat(100_000);
    socket.write(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${value.length}\r\n${value}\r\n`);
    assert.equal(String(await read(socket, 5)), "+OK\r\n");
    const count = 200; // 20 MB: more than the sockets between take
    let commands = "";
    let expected = "";
    for (let i = 0; i < count; i++) {
      commands += `*2\r\n$4\r\nECHO\r\n$${String(i).length}\r\n${i}\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`;
      expected += `$${String(i).length}\r\n${i}\r\n$${value.length}\r\n${value}\r\n`;
    }
    socket.write(commands);
    const other = await connected(running.port);
    other.write("PING\r\n");
    assert.equal(String(await read(other, 7)), "+PONG\r\n");
    assert.equal(String(await read(socket, expected.length)) === expected, true);
    socket.destroy();
    other.destroy();
  });

test("who sends a whole pipeline before reading gets its replies", async () => {
  await using running = await startStore({ port: 0 });
  const socket = await connected(running.port);
  const value = "v".repeat(16_384);
  const count = 2000; // 32 MB each way: more than the sockets between take
  const sent = promisify(socket.write.bind(socket) as (text: string, done: (error?: Error | null) => void) => boolean);
  await sent(`*2\r\n$4\r\nECHO\r\n$${value.length}\r\n${value}\r\n`.repeat(count));
  const expected = `$${value.length}\r\n${value}\r\n`.repeat(count);
  assert.equal(String(await read(socket, expected.length)) === expected, true);
  socket.destroy();
});

for (const bytes of [1, 65_512 /* one whole read */, 65_536, 300_000])
  test(`who sends ${bytes} bytes and no more is answered, and let go`, async () => {
    await using running = await startStore({ port: 0 });
    const socket = await connected(running.port);
    const value = "v".repeat(bytes);
    socket.end(`*2\r\n$4\r\nECHO\r\n$${String(bytes)}\r\n${value}\r\n`);
    const expected = `$${bytes}\r\n${value}\r\n`;
    assert.equal(String(await read(socket, expected.length)) === expected, true);
    socket.resume();
    await once(socket, "close");
    assert.equal(running.store.clients.size, 0);
  });

test("who has not signed in and does not read is let go before much waits", async () => {
  await using running = await startStore({ port: 0, parameters: { requirepass: "secret" } });
  const socket = await connected(running.port);
  socket.on("error", () => {});
  const closed = new Promise((resolve) => void socket.on("close", resolve));
  while (!socket.destroyed) {
    socket.write("GET k\r\n".repeat(10_000));
    await new Promise((resolve) => void setImmediate(resolve));
    if (socket.writableLength > 64 * 1024 * 1024) socket.destroy(new Error("it goes on reading"));
  }
  await closed;
  assert.notEqual(socket.errored?.message, "it goes on reading");
});
