import { randomBytes } from "node:crypto";
import type { Command } from "./feed.ts";

export const KINDS = ["list", "hash", "set", "sorted set"] as const;
export const SIZES = ["small", "large"] as const;

/** Elements of one kind, in values of one size. */
export interface Shape {
  readonly kind: (typeof KINDS)[number];
  readonly size: (typeof SIZES)[number];
}

export const SHAPES: readonly Shape[] = KINDS.flatMap((kind) => SIZES.map((size) => ({ kind, size })));

/** Elements of one value: Redis packs small ones, but for sets of strings, and makes tables of large ones. */
const PER_VALUE = { small: 16, large: 100_000 } as const;
/** What one command adds: values grow, and do not come as a whole. */
const PER_COMMAND = 4;
/** Elements come in no order: this has no divisor with a power of ten. */
const STEP = 48_271;
const NAMES: Readonly<Record<Shape["kind"], string>> = { list: "RPUSH", hash: "HSET", set: "SADD", "sorted set": "ZADD" };

/** As keys have, so elements, fields and values of hashes have 16 bytes; a score is an integer. */
const sixteen = (letter: string, n: number): string => `${letter}:${String(n).padStart(14, "0")}`;

export function* shapeCommands({ kind, size }: Shape, elements: number): Iterable<Command> {
  const perValue = Math.min(PER_VALUE[size], elements);
  for (let at = 0; at < elements; at += PER_COMMAND) {
    const command = [NAMES[kind], `${kind[0]}${kind.length}${size[0]}:${String(Math.floor(at / perValue)).padStart(12, "0")}`];
    for (let i = at; i < Math.min(at + PER_COMMAND, elements); i++) {
      const n = (i * STEP) % elements;
      if (kind === "sorted set") command.push(String((n * STEP) % elements));
      command.push(sixteen("m", n));
      if (kind === "hash") command.push(sixteen("v", n));
    }
    yield command;
  }
}

const POOL = randomBytes(1 << 16).toString("base64");

/** The keys that `redis-benchmark -r COUNT` asks for as key:__rand_int__, of 16 bytes. Values are of what does not compress. */
export function* stringCommands(count: number, valueBytes: number): Iterable<Command> {
  for (let n = 0; n < count; n++) {
    const at = (n * STEP) % (POOL.length - valueBytes);
    yield ["SET", stringKey(n), POOL.slice(at, at + valueBytes)];
  }
}

export const stringKey = (n: number): string => `key:${String(n).padStart(12, "0")}`;
