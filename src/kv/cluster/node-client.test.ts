import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { coded } from "../../register/register.conformance.ts";
import { connectNode } from "./node-client.ts";

/** Answers so many reads with OK, and then nothing any more. */
async function aNodeThatStops(answers: number) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    let left = answers;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const commands = String(data).match(/^\*/gm)?.length ?? 0;
      for (let at = 0; at < commands && left > 0; at++, left--) socket.write("+OK\r\n");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("a node that takes a connection and says nothing is given up, at once or in the middle", async () => {
  using silent = await aNodeThatStops(0);
  using stopped = await aNodeThatStops(100);
  await assert.rejects(connectNode({ url: silent.url.replace("//", "//u:p@"), answerMs: 200 }), coded("socket.closed"));
  using client = await connectNode({ url: stopped.url, answerMs: 200 });
  for (let left = 100; left > 0; left--) {
    const failed = await client.call("PING").then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failed === undefined) continue;
    assert.equal((failed as { code: string }).code, "socket.closed");
    return;
  }
  assert.fail("it answers for ever");
});

test("an address that is none is refused as one that does not answer", async () => {
  await assert.rejects(connectNode({ url: "redis://:100%zz@127.0.0.1:1" }), coded("socket.closed"));
});
