import { setTimeout as sleep } from "node:timers/promises";
import { slotOfKey } from "../../../src/kv/keyspace/key-slot.ts";
import { RespClient, type Reply } from "../../../test/store/resp-client.ts";
import type { Pair } from "./pair.ts";

const TURN_MS = 10;
const FILL_BATCH = 500;
const REDIRECTIONS_MAX = 100;

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

/** What a writer has seen. */
export interface Written {
  readonly perSecond: number;
  readonly redirected: number;
  /** Anything else than OK, MOVED and ASK. */
  readonly errors: number;
}

/** Writes keys that move, so many a second as long as the servers keep up, wherever they are, until `ends`. */
export async function write(
  pair: Pair,
  keys: readonly string[],
  options: { readonly perSecond: number; readonly valueBytes: number; readonly ends: Promise<unknown> },
): Promise<Written> {
  using scope = new DisposableStack();
  const clients = new Map<number, RespClient>();
  for (const port of pair.ports) clients.set(port, scope.use(await RespClient.connect(port)));
  const owners = new Map<string, number>();
  const value = "y".repeat(options.valueBytes);
  const over = overWith(options.ends);
  let [count, redirected, errors] = [0, 0, 0];
  const one = async (key: string): Promise<void> => {
    let port = owners.get(key) ?? pair.ports[0];
    for (let tries = 0; tries < REDIRECTIONS_MAX; tries++) {
      const client = clients.get(port)!; // there are two
      const reply: Reply = await client.call("SET", key, value);
      if (!(reply instanceof Error)) return void count++;
      const to = /^(?<kind>MOVED|ASK) \d+ \S*:(?<port>\d+)$/.exec(reply.message)?.groups;
      if (to === undefined) {
        errors++;
        continue;
      }
      redirected++;
      port = Number(to["port"]);
      if (to["kind"] === "MOVED") owners.set(key, port);
      else {
        const other = clients.get(port)!;
        const [, asked] = await Promise.all([other.call("ASKING"), other.call("SET", key, value)]);
        if (!(asked instanceof Error)) return void count++;
        errors++;
      }
    }
  };
  const beganMs = performance.now();
  for (let sent = 0; !over.aborted;) {
    const due = Math.min(((performance.now() - beganMs) / 1000) * options.perSecond - sent, options.perSecond / 10);
    const batch = Array.from({ length: Math.max(0, Math.floor(due)) }, (_, n) => one(keys[(sent + n) % keys.length]!));
    sent += batch.length;
    await Promise.all([...batch, sleep(TURN_MS)]);
  }
  return { perSecond: Math.round((count * 1000) / (performance.now() - beganMs)), redirected, errors };
}

function overWith(ends: Promise<unknown>): AbortSignal {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  ends.then(stop, stop);
  return controller.signal;
}
