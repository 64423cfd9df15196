import { must } from "../../test/kit/process.ts";
import type { Server } from "./servers.ts";

export interface MemoryOf {
  readonly bytesPerKey: { readonly redis: number; readonly anax: number };
}

const KEY_BYTES = 16;
const VALUE_BYTES = 32;

/** Resident bytes that each of so many keys takes, of 16 bytes with a value of 32. */
export async function measureMemory(server: Server, count: number): Promise<number> {
  const before = server.memory();
  const key = `k:${"0".repeat(KEY_BYTES - 2 - 12)}__rand_int__`; // redis-benchmark puts twelve digits there
  const args = ["-p", server.port, "-P", 64, "-n", 8 * count, "-r", count].map(String);
  // With eight times as many requests as keys nearly every one is met: 0.03 % are not.
  await must("redis-benchmark", [...args, "--csv", "SET", key, "v".repeat(VALUE_BYTES)], { timeoutMs: 300_000 });
  const keys = Number(/^:(\d+)/.exec(await server.call("DBSIZE"))?.[1]);
  return (server.memory() - before) / keys;
}
