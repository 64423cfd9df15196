import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { RespClient } from "../../../test/store/resp-client.ts";
import { cpuSecondsOf, pidOf } from "../../kit/process.ts";
import { feed, type Command } from "../feed.ts";
import { keyAt, type Keys } from "./keys.ts";
import type { WriterOrder, Written } from "./writer-process.ts";

const WRITER = fileURLToPath(new URL("writer-process.ts", import.meta.url));

export async function fill(port: number, keys: Keys, valueBytes: number): Promise<void> {
  const value = "x".repeat(valueBytes);
  function* commands(): Iterable<Command> {
    for (let index = 0; index < keys.count; index++) yield ["SET", keyAt(keys, index), value];
  }
  await feed(port, commands());
}

/** Milliseconds of GETs of keys that stay, one after the other, until `ends`; of the slowest hundredth the quickest. */
export async function probe(port: number, keys: Keys, ends: Promise<unknown>): Promise<number> {
  using client = await RespClient.connect(port);
  const took: number[] = [];
  const over = overWith(ends);
  for (let n = 0; !over.aborted; n++) {
    const atMs = performance.now();
    const reply = await client.call("GET", keyAt(keys, n % keys.count));
    if (reply instanceof Error) throw reply;
    took.push(performance.now() - atMs);
    await sleep(1);
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? 0;
}

/** Has a process of its own write, so much a second as long as the servers keep up, until `ends`. */
export async function write(order: WriterOrder, ends: Promise<unknown>): Promise<Written & { readonly cpuSeconds: number }> {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", WRITER], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const exit = once(child, "exit").then(() => []);
  const answer = once(child, "message");
  child.send(order);
  await Promise.race([ends, exit]);
  const cpuSeconds = child.exitCode === null ? cpuSecondsOf(pidOf(child)) : 0;
  child.send("stop");
  const [written] = (await Promise.race([answer, exit])) as readonly Written[];
  if (written === undefined) throw new Error("the writer has ended before its time");
  return { ...written, cpuSeconds };
}

function overWith(ends: Promise<unknown>): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  ends.then(stop, stop);
  return controller.signal;
}
