import assert from "node:assert/strict";
import { RespClient, type Reply } from "./resp-client.ts";
import { startStoreProcess } from "./store-process.ts";

export interface CrashRound {
  readonly dataDir: string;
  readonly policy: "always" | "everysec";
  /** Numbers from 0 up to 1. */
  readonly random: () => number;
  readonly clients: number;
  /** How long there are writes before the kill, at most. */
  readonly loadMsMax: number;
}

/** What one client has done since the start: how often, and when each time was acknowledged. */
interface Written {
  sent: number;
  readonly acknowledgedMs: number[];
}

/** Of `everysec`: what was acknowledged longer before the kill must be there. */
const LOSS_MS = 1000;

/**
 * Writes from several connections, kills the process in the midst of it, starts it again and looks what is there: of each client a beginning of what it has sent, with all that was
 * acknowledged in it, in order and with whole transactions only. Throws an `AssertionError` where that is not so. Returns how many writes were acknowledged.
 */
export async function crashOnce(round: CrashRound): Promise<number> {
  const { dataDir, policy, random, clients, loadMsMax } = round;
  const parameters = { appendonly: true, appendfsync: policy, save: "", "auto-aof-rewrite-percentage": 0 } as const;
  const written: Written[] = [];
  let killedMs: number;
  {
    await using store = await startStoreProcess({ dataDir, parameters });
    using control = await RespClient.connect(store.port);
    await control.call("FLUSHALL");
    const connections = await Promise.all(Array.from({ length: clients }, () => RespClient.connect(store.port)));
    const writing = connections.map((connection, client) =>
      writeOn(connection, client, (written[client] = { sent: 0, acknowledgedMs: [] })),
    );
    await sleep(loadMsMax * random());
    // Often in the midst of a rewrite, or soon after one.
    if (random() < 0.5) {
      await control.call("BGREWRITEAOF");
      await sleep(30 * random());
    }
    killedMs = performance.now();
    await store.kill();
    await Promise.all(writing);
    for (const connection of connections) connection[Symbol.dispose]();
  }
  await using store = await startStoreProcess({ dataDir, parameters });
  using reader = await RespClient.connect(store.port);
  for (const [client, { sent, acknowledgedMs }] of written.entries()) {
    const certain = policy === "always" ? acknowledgedMs.length : acknowledgedMs.filter((ms) => ms < killedMs - LOSS_MS).length;
    await check(reader, client, certain, sent);
  }
  return written.reduce((sum, { acknowledgedMs }) => sum + acknowledgedMs.length, 0);
}

/** Writes until the connection ends, with several commands under way at a time. */
async function writeOn(connection: RespClient, client: number, written: Written): Promise<void> {
  const UNDER_WAY = 4;
  const one = async (): Promise<void> => {
    for (;;) {
      const number = String(++written.sent);
      const replies = [
        connection.call("MULTI"),
        connection.call("RPUSH", `list:${client}`, number),
        connection.call("SET", `last:${client}`, number),
        connection.call("HSET", `hash:${client}`, String(written.sent % 50), number),
        connection.call("EXEC"),
      ];
      const last = (await Promise.all(replies)).at(-1);
      if (!Array.isArray(last) || last.some((reply) => reply instanceof Error)) throw new Error(`EXEC answered ${String(last)}`);
      written.acknowledgedMs.push(performance.now());
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: UNDER_WAY }, one));
  for (const { reason } of ended as PromiseRejectedResult[]) if (!/closed|ECONNRESET|EPIPE/.test(String(reason))) throw reason;
}

async function check(reader: RespClient, client: number, certain: number, sent: number): Promise<void> {
  const list = (await reader.call("LRANGE", `list:${client}`, "0", "-1")) as Reply[];
  const expected = Array.from({ length: list.length }, (_, index) => String(index + 1));
  assert.deepEqual(list, expected, `client ${client}: in the order in which they were sent`);
  assert.ok(list.length >= certain, `client ${client}: ${certain} writes have to be there, ${list.length} are`);
  assert.ok(list.length <= sent, `client ${client}: no more than it sent`);
  assert.equal(await reader.call("GET", `last:${client}`), list.length === 0 ? null : String(list.length), "whole transactions only");
  const hash = (await reader.call("HVALS", `hash:${client}`)) as string[];
  assert.equal(Math.max(0, ...hash.map(Number)), list.length, "whole transactions only");
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
