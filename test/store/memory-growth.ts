import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { aStore } from "../../src/kv/store-fixture.ts";

// For a test: `memory-growth.ts KIND` puts keys of a kind into a store and prints the bytes that this has counted, and those that the process holds more.

interface Kind {
  readonly count: number;
  readonly command: (index: number) => string[];
}

/** So many commands that the process grows by some tens of megabytes. */
export const KINDS: Readonly<Record<string, Kind>> = {
  lists: { count: 2000, command: (index) => ["RPUSH", `list:${index}`, ...many(100, (i) => `element:${index}:${i}:of a list`)] },
  hashes: {
    count: 2000,
    command: (index) => [
      "HSET",
      `hash:${index}`,
      ...many(
        100,
        (i) => `field:${i}`,
        (i) => `value:${index}:${i}:of a hash`,
      ),
    ],
  },
  "one hash": {
    count: 200,
    command: (index) => [
      "HSET",
      "hash",
      ...many(
        1000,
        (i) => `field:${index}:${i}`,
        (i) => `value:${i}:of a hash`,
      ),
    ],
  },
  sets: { count: 2000, command: (index) => ["SADD", `set:${index}`, ...many(100, (i) => `member:${index}:${i}`)] },
  "one set": { count: 200, command: (index) => ["SADD", "set", ...many(1000, (i) => `member:${index}:${i}`)] },
  "sets of integers": { count: 3000, command: (index) => ["SADD", `integers:${index}`, ...many(400, (i) => String(index * 1000 + i))] },
  "sorted sets": {
    count: 1500,
    command: (index) => [
      "ZADD",
      `zset:${index}`,
      ...many(
        100,
        (i) => String(i * 1.5),
        (i) => `member:${index}:${i}`,
      ),
    ],
  },
  "one sorted set": {
    count: 200,
    command: (index) => [
      "ZADD",
      "zset",
      ...many(
        1000,
        (i) => String(index + i * 1.5),
        (i) => `member:${index}:${i}`,
      ),
    ],
  },
};

const many = (count: number, ...parts: readonly ((index: number) => string)[]): string[] =>
  Array.from({ length: count }, (_, index) => parts.map((part) => part(index))).flat();

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as (options: object) => void;

/** Bytes that the process holds, without what is only waiting to be collected, of young objects or of the allocator. */
async function heldBytes(): Promise<number> {
  for (let i = 0; i < 3; i++) {
    collect({ type: "major", execution: "sync", flavor: "last-resort" });
    await new Promise((resolve) => setTimeout(resolve, 20)); // buffers are let go of by another thread
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const kind = KINDS[process.argv[2] ?? ""];
if (kind !== undefined) {
  const { store, call, effects } = aStore();
  const run = (from: number, count: number): void => {
    for (let index = from; index < from + count; index++) {
      call(...kind.command(index));
      effects();
    }
  };
  run(1_000_000, kind.count / 20); // what the program itself needs for them is there before
  const before = { counted: store.usedBytes, held: await heldBytes() };
  run(0, kind.count);
  console.log(JSON.stringify({ counted: store.usedBytes - before.counted, held: (await heldBytes()) - before.held }));
}
