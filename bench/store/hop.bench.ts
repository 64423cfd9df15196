// What it costs to hand commands to another thread and to get the replies, at best: bytes through shared memory, all of one turn of the loop at once, and nothing
// done with them. Beside it what redis-benchmark's GETs cost the store as a whole. docs/decisions/store-workers.md draws the conclusion.
// Flags: --commands 1000000. Prints a table for people on standard error and one line of JSON.
import { setImmediate as nextTurn } from "node:timers/promises";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { installStoreBenchPackages } from "../../scripts/setup.ts";
import { ByteRing, RING_BYTES, ringMemory } from "./byte-ring.ts";
import type { HopThread } from "./hop-thread.ts";
import { runLoad } from "./load.ts";
import { startServer } from "./servers.ts";

const { values: flags } = parseArgs({ options: { commands: { type: "string", default: "1000000" } } });
const commands = Number(flags.commands);
/** Commands that one turn of the loop finds: one client's, one of each of 50 clients', and pipelines of 16 and 64 from each. */
const BATCHES = [1, 50, 800, 3200] as const;
const CLIENTS = 50;
/** A GET with a key of 16 bytes, and a short reply. */
const [COMMAND_BYTES, REPLY_BYTES] = [36, 9];
/** Microseconds of CPU that this process has used. */
const cpuUs = (): number => process.cpuUsage().user + process.cpuUsage().system;

await using scope = new AsyncDisposableStack();
const memory = { commands: ringMemory(), replies: ringMemory() };
const workerData: HopThread = { ...memory, commandBytes: COMMAND_BYTES, replyBytes: REPLY_BYTES };
const worker = new Worker(new URL("hop-thread.ts", import.meta.url), { workerData });
scope.defer(async () => void (await worker.terminate()));
const [outgoing, incoming] = [new ByteRing(memory.commands), new ByteRing(memory.replies)];
const [command, taken] = [new Uint8Array(COMMAND_BYTES), new Uint8Array(RING_BYTES)];

async function hops(turns: number, batch: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < batch; i++) outgoing.write(command);
    outgoing.publish();
    for (let left = batch * REPLY_BYTES; left > 0;) left -= await incoming.take(taken);
    await nextTurn();
  }
}

const rows = [];
for (const batch of BATCHES) {
  const turns = Math.ceil(Math.min(commands / batch, commands / 50));
  await hops(Math.ceil(turns / 10), batch); // until it is compiled
  const before = { cpu: cpuUs(), at: performance.now() };
  await hops(turns, batch);
  const row = {
    batch,
    hopCpuUs: (cpuUs() - before.cpu) / (turns * batch),
    roundTripUs: ((performance.now() - before.at) * 1000) / turns,
  };
  rows.push(row);
  console.error(
    `${batch} at once: ${row.hopCpuUs.toFixed(2)} us of CPU for each, there and back; round trip ${row.roundTripUs.toFixed(0)} us`,
  );
}

if (!installStoreBenchPackages()) process.exit(1);
const directory = mkdtempSync(join(tmpdir(), "anax-bench-store-"));
scope.defer(() => rmSync(directory, { recursive: true }));
const store = scope.use(await startServer("anax", directory));
const gets = [];
for (const pipeline of [1, 16, 64]) {
  const ran = await runLoad(store, {
    command: "GET",
    pipeline,
    valueBytes: 3,
    clients: CLIENTS,
    requests: pipeline === 1 ? 100_000 : 1_000_000,
    keys: 100_000,
  });
  gets.push({ pipeline, cpuUs: ran.cpuUsPerRequest });
  console.error(`GET, pipeline ${pipeline}, ${CLIENTS} clients: ${ran.cpuUsPerRequest.toFixed(2)} us of CPU`);
}
console.log(JSON.stringify({ bench: "store/hop", hops: rows, gets }));
