import assert from "node:assert/strict";
import { test } from "node:test";
import { createRegistry } from "../../base/metrics.ts";
import { ERRNO } from "../../wire/fuse/errno.ts";
import { OPCODE } from "../../wire/fuse/protocol.ts";
import { NO_READS } from "../data/peers/read-counts.ts";
import { serveMountMetrics } from "./metrics.ts";
import { MountCounts } from "./mount-counts.ts";
import { MountMeter, NO_FIGURES } from "./mount-meter.ts";

test("requests are counted by operation, range of time and code, and read by another thread's view of the same memory", () => {
  const counts = new MountCounts();
  counts.count(OPCODE.lookup, 0, 0.05);
  counts.count(OPCODE.lookup, ERRNO.ENOENT, 0.2);
  counts.count(OPCODE.lookup, ERRNO.ENOENT, 60_000);
  counts.count(OPCODE.read, 9999, 2);
  counts.count(12_345, 0, 1); // an operation of a later kernel
  counts.add("readBytes", 100);
  counts.set("dirtyBytes", 7);
  const { operations, ...numbers } = new MountCounts(counts.shared).values;
  assert.deepEqual(numbers, { readBytes: 100, writtenBytes: 0, dirtyBytes: 7, backlogBytes: 0 });
  const [lookup, read] = operations;
  assert.deepEqual([lookup?.operation, lookup?.ranges], ["lookup", [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]);
  assert.deepEqual([lookup?.errors, read?.errors], [[{ code: "ENOENT", count: 2 }], [{ code: "other", count: 1 }]]);
});

test("what a mount has counted goes on across its processes, and is served as Prometheus reads it", async () => {
  const meter = new MountMeter();
  const registry = createRegistry({ runtime: false });
  serveMountMetrics(registry, () => meter.figures);
  assert.match(await registry.metrics(), /^anax_mount_restarts_total 0$/m);
  meter.follow(aProcess(2));
  meter.follow(aProcess(3));
  for (const [attempt, text] of [await registry.metrics(), await registry.metrics()].entries())
    for (const line of [
      'anax_mount_request_seconds_bucket{operation="read",le="0.001"} 0',
      'anax_mount_request_seconds_bucket{operation="read",le="0.003"} 5',
      'anax_mount_request_seconds_bucket{operation="read",le="+Inf"} 5',
      'anax_mount_request_seconds_count{operation="read"} 5',
      'anax_mount_errors_total{operation="write",code="ENOSPC"} 2',
      "anax_mount_written_bytes_total 20",
      "anax_mount_dirty_bytes 3",
      "anax_mount_restarts_total 1",
      'anax_mount_cache_reads_total{outcome="hit"} 5',
      'anax_mount_fetched_bytes_total{from="store"} 10',
    ])
      assert.ok(text.split("\n").includes(line), `${attempt}: ${line}\n${text}`);
});

/** What is heard of a mount process that has read so often. */
const aProcess = (reads: number) => {
  const counts = new MountCounts();
  for (let index = 0; index < reads; index++) counts.count(OPCODE.read, 0, 2);
  counts.count(OPCODE.write, ERRNO.ENOSPC, 2);
  counts.add("writtenBytes", 10);
  counts.set("dirtyBytes", reads);
  return {
    pid: 1,
    aliveMs: 0,
    figures: { ...NO_FIGURES, counted: counts.values, reads: { ...NO_READS, cacheHits: reads, storeBytes: 5 } },
  };
};
