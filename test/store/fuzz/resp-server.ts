import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { setImmediate } from "node:timers/promises";
import { startStore } from "../../../src/kv/start-store.ts";
import { RespClient } from "../resp-client.ts";
import { checkStore } from "./invariants.ts";
import { anyBytes, pieces } from "./mutate.ts";
import { anyStream } from "./resp-parser.ts";
import type { Target } from "./target.ts";

/** Strings no longer than this: commands may ask for one at will. */
const MIB = 1024 * 1024;

/** A server that listens answers others whatever somebody sends, and has nothing of him when he is gone. */
export async function respServerTarget(): Promise<Target> {
  const running = await startStore({ port: 0, parameters: { "proto-max-bulk-len": MIB, maxmemory: 256 * MIB, "busy-reply-threshold": 0 } });
  const control = await RespClient.connect(running.port);
  return {
    async run(random, input) {
      const bytes = anyStream(random);
      input(bytes);
      const socket = connect(running.port, "127.0.0.1")
        .on("error", () => undefined)
        .resume();
      const closed = new Promise((resolve) => socket.on("close", resolve));
      await once(socket, "connect");
      for (const piece of pieces(bytes, random).slice(0, 20)) {
        socket.write(piece);
        await setImmediate();
      }
      if (random.below(4) === 0) socket.write(anyBytes(random, 20));
      if (random.below(4) === 0) socket.destroy();
      else socket.end();
      await closed;
      assert.equal(await control.call("PING"), "PONG");
    },
    async check() {
      // The end of a connection is heard of by the loop, not by the reply to another.
      for (let turn = 0; running.store.clients.size > 1 && turn < 1000; turn++) await setImmediate();
      const { clients, watches, blocked, monitors, tracking, paused } = running.store;
      assert.deepEqual(
        {
          clients: clients.size,
          watched: watches.any,
          blocked: blocked.count,
          monitors: monitors.size,
          tracking: tracking.count,
          paused: paused.size,
        },
        { clients: 1, watched: false, blocked: 0, monitors: 0, tracking: 0, paused: 0 },
      );
      checkStore(running.store);
      await control.call("FLUSHALL");
      await control.call("FUNCTION", "FLUSH");
      await control.call("SCRIPT", "FLUSH");
    },
    async [Symbol.asyncDispose]() {
      control[Symbol.dispose]();
      await running[Symbol.asyncDispose]();
    },
  };
}
