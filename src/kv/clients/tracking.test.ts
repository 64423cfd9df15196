import assert from "node:assert/strict";
import { once } from "node:events";
import { createConnection } from "node:net";
import { test } from "node:test";
import { latin1Of } from "../../base/latin1.ts";
import { Request } from "../../wire/resp/request.ts";
import { dispatch } from "../dispatch.ts";
import { startStore } from "../start-store.ts";
import type { Connection } from "./connection.ts";

const WAIT = { signal: AbortSignal.timeout(4_000) };

test("who waits for changes under a prefix has been told of one when its maker is answered", async () => {
  await using running = await startStore({ port: 0 });
  const sockets = [];
  for (const hello of ["HELLO 3\r\n", "PING\r\n"]) {
    const socket = createConnection({ host: "127.0.0.1", port: running.port });
    sockets.push(socket);
    socket.write(hello);
    await once(socket, "data", WAIT);
  }
  const [listener, maker] = [...running.store.clients.values()];
  dispatch(listener!, Request.of(["CLIENT", "TRACKING", "on", "BCAST"]));
  listener!.reply.take();
  dispatch(maker!, Request.of(["INCR", "k"]));
  dispatch(maker!, Request.of(["INCR", "k"]));
  (maker!.output as Connection).flush();
  assert.equal(latin1Of(listener!.reply.take()), ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
  for (const socket of sockets) socket.destroy();
});
