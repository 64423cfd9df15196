import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { slotOfKey } from "../../../src/kv/keyspace/key-slot.ts";
import { RespClient } from "../../../test/store/resp-client.ts";
import type { WriterOrder, Written } from "./writer-process.ts";

const WRITER = fileURLToPath(new URL("writer-process.ts", import.meta.url));
const FILL_BATCH = 500;

/** So many keys whose slots are in this range. */
export function keysIn(count: number, from: number, below: number): readonly string[] {
  const keys: string[] = [];
  for (let n = 0; keys.length < count; n++) {
    const [key, slot] = [`key:${n}`, slotOfKey(`key:${n}`)];
    if (slot >= from && slot < below) keys.push(key);
  }
  return keys;
}

export async function fill(port: number, keys: readonly string[], valueBytes: number): Promise<void> {
  using client = await RespClient.connect(port);
  const value = "x".repeat(valueBytes);
  for (let at = 0; at < keys.length; at += FILL_BATCH)
    for (const reply of await Promise.all(keys.slice(at, at + FILL_BATCH).map((key) => client.call("SET", key, value))))
      if (reply instanceof Error) throw reply;
}

/** Milliseconds of GETs of keys that stay, one after the other, until `ends`; of the slowest hundredth the quickest. */
export async function probe(port: number, keys: readonly string[], ends: Promise<unknown>): Promise<number> {
  using client = await RespClient.connect(port);
  const took: number[] = [];
  const over = overWith(ends);
  for (let n = 0; !over.aborted; n++) {
    const atMs = performance.now();
    const reply = await client.call("GET", keys[n % keys.length]!);
    if (reply instanceof Error) throw reply;
    took.push(performance.now() - atMs);
    await sleep(1);
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? 0;
}

/** Has a process of its own write keys that move, so many a second as long as the servers keep up, until `ends`. */
export async function write(order: WriterOrder, ends: Promise<unknown>): Promise<Written> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", WRITER], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const exit = once(child, "exit").then(() => []);
  const answer = once(child, "message");
  child.send(order);
  await Promise.race([ends, exit]);
  child.send("stop");
  const [written] = (await Promise.race([answer, exit])) as readonly Written[];
  if (written === undefined) throw new Error("the writer has ended before its time");
  return written;
}

function overWith(ends: Promise<unknown>): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  ends.then(stop, stop);
  return controller.signal;
}
