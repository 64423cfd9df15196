import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { oomKillsInLog } from "./kernel-log.ts";

const LINES = `6,81388,84231714000,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=tail,pid=28580,uid=0
3,81389,84231714429,-;Memory cgroup out of memory: Killed process 28580 (tail) total-vm:10940kB, anon-rss:8064kB
3,90000,90000000001,c;Out of memory: Killed process 77 (MainThread) total-vm:1kB
 SUBSYSTEM=x; Killed process 1 (no, a field)
6,90001,90000000002,-;usb 1-1: new device
`;

test("the kernel's log tells who was killed for memory, and when", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "kmsg");
  await writeFile(path, LINES);
  assert.deepEqual(oomKillsInLog(path), [
    { pid: 28580, name: "tail", atSeconds: 84231.714429 },
    { pid: 77, name: "MainThread", atSeconds: 90000.000001 },
  ]);
});

test("a log that cannot be read is none, one of rubbish tells nothing, and of a long one the last are kept", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "kmsg");
  assert.equal(oomKillsInLog(path), undefined);
  assert.equal(oomKillsInLog(dir.path), undefined);
  for (const rubbish of ["\0".repeat(100_000), "Killed process 1 (x)\n", "3,1,zz,-;Killed process 1 (x)\n", `3,1,1,-;${"x".repeat(1e6)}`]) {
    await writeFile(path, rubbish);
    assert.deepEqual(oomKillsInLog(path), []);
  }
  await writeFile(path, Array.from({ length: 3000 }, (_, i) => `3,${i},${i},-;Killed process ${i + 1} (x) \n`).join(""));
  const kills = oomKillsInLog(path)!; // it was just written
  assert.deepEqual([kills.length, kills.at(-1)?.pid], [1000, 3000]);
});
