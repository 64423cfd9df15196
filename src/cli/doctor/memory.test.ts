import assert from "node:assert/strict";
import { test } from "node:test";
import type { MemoryGroup } from "../../node/memory-group.ts";
import type { RunRecord } from "../../node/run-record.ts";
import { groupMend, groupText, killsFinding, swapFinding } from "./memory.ts";
import { unitFindings, unitOf } from "./systemd.ts";

const MIB = 1024 ** 2;

const aGroup = (facts: Partial<MemoryGroup> = {}): MemoryGroup => ({
  version: 2,
  path: "/sys/fs/cgroup/anax",
  limitBytes: 1024 * MIB,
  highBytes: undefined,
  usedBytes: 300 * MIB,
  peakBytes: 400 * MIB,
  swapBytes: 0,
  oomKills: 0,
  ...facts,
});

test("a group says what it allows and what it took; what to change depends on what is short", () => {
  assert.equal(groupText(aGroup()), "limit 1.00 GiB, 300 MiB used, 400 MiB at most, 0 killed for memory (/sys/fs/cgroup/anax)");
  const rows: readonly (readonly [Partial<MemoryGroup>, RegExp | undefined])[] = [
    [{}, undefined],
    [{ limitBytes: undefined, usedBytes: undefined }, undefined],
    [{ limitBytes: 100 * MIB }, /^give the service at least 256/],
    [{ highBytes: 100 * MIB }, /MemoryHigh=/],
    [{ oomKills: 1 }, /^raise the memory limit/],
    [{ usedBytes: 1000 * MIB }, /page cache/],
  ];
  for (const [facts, expected] of rows) {
    const mend = groupMend(aGroup(facts));
    if (expected === undefined) assert.equal(mend, undefined);
    else assert.match(mend ?? "", expected);
  }
});

test("swap is worth a word only where this process lies in it", () => {
  const meminfo = "MemTotal: 1 kB\nSwapTotal:       1048576 kB\nSwapFree:         524288 kB\n";
  assert.deepEqual(swapFinding("", ""), []);
  assert.deepEqual(swapFinding("SwapTotal:  0 kB\n", ""), [{ check: "swap", state: "ok", found: "none" }]);
  assert.equal(swapFinding(meminfo, "VmSwap:\t     100 kB\n")[0]?.state, "ok");
  assert.equal(swapFinding(meminfo, "VmSwap:\t  100000 kB\n")[0]?.state, "warn");
  assert.equal(swapFinding(meminfo, "VmSwap: lots kB\nVmSwap: -1 kB\n")[0]?.state, "ok");
});

test("others' deaths are told, ours is to be mended", () => {
  const run: RunRecord = { pid: 7, startedAt: "", uptimeSeconds: 1, bootId: "" };
  assert.equal(killsFinding([], run).state, "ok");
  assert.equal(killsFinding([{ pid: 9, name: "tail", atSeconds: 2 }], run).state, "ok");
  assert.equal(killsFinding([{ pid: 7, name: "node", atSeconds: 2 }], run).state, "warn");
  assert.match(killsFinding([{ pid: 9, name: "tail", atSeconds: 2 }], undefined).found, /^1 processes .* tail \(pid 9\)$/);
});

test("a unit is named by its group, and judged by what systemd says of it", () => {
  assert.equal(unitOf("0::/system.slice/anax.service\n"), "anax.service");
  assert.equal(unitOf("4:memory:/system.slice/anax@1.service/worker\n"), "anax@1.service");
  assert.equal(unitOf("0::/user.slice/session-1.scope\n"), undefined);
  const shown = "LoadState=loaded\nActiveState=active\nNRestarts=2\nResult=success\n";
  const judged = (facts: string) => unitFindings("anax.service", `${shown}${facts}`, "/run/anax/daemon.sock")[0];
  assert.deepEqual(unitFindings("anax.service", "", "/x"), []);
  assert.deepEqual(unitFindings("anax.service", "LoadState=not-found\n", "/x"), []);
  assert.equal(judged("Restart=always")?.state, "ok");
  assert.match(judged("Result=oom-kill")?.mend ?? "", /MemoryMax=/);
  assert.match(judged("Restart=no")?.mend ?? "", /Restart=always/);
  assert.match(judged("RuntimeDirectory=anax\nRuntimeDirectoryPreserve=no")?.mend ?? "", /RuntimeDirectoryPreserve=yes/);
  assert.equal(judged("RuntimeDirectory=other\nRuntimeDirectoryPreserve=no")?.state, "ok");
});
