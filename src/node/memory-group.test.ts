import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { aKernel, version2 } from "./kernel-fixture.ts";
import { memoryGroupOf } from "./memory-group.ts";

const V1_MOUNT = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
const v1 = (dir: string): Record<string, string> => ({
  [`sys/fs/cgroup/memory/${dir}memory.limit_in_bytes`]: "9223372036854771712\n",
  [`sys/fs/cgroup/memory/${dir}memory.usage_in_bytes`]: "5000\n",
  [`sys/fs/cgroup/memory/${dir}memory.max_usage_in_bytes`]: "6000\n",
  [`sys/fs/cgroup/memory/${dir}memory.oom_control`]: "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
});

test("of version 2 the tightest limit around it counts, and its own counters", async () => {
  await using dir = await temporaryDirectory();
  assert.deepEqual(memoryGroupOf("self", await aKernel(dir.path, version2(4))), {
    version: 2,
    path: "/sys/fs/cgroup/pod/anax",
    limitBytes: 512 * 1024 ** 2,
    highBytes: 400 * 1024 ** 2,
    usedBytes: 1000,
    peakBytes: 2000,
    swapBytes: 0,
    oomKills: 4,
  });
});

test("of version 1 its own, also beside an empty version 2, and in a container that sees only its part", async () => {
  const expected = {
    version: 1,
    limitBytes: undefined,
    highBytes: undefined,
    usedBytes: 5000,
    peakBytes: 6000,
    swapBytes: undefined,
    oomKills: 2,
  };
  const rows = [
    { group: "/a b", mounts: V1_MOUNT, files: v1("a b/"), path: "/sys/fs/cgroup/memory/a b" },
    { group: "/docker/42", mounts: V1_MOUNT.replace(" / /sys", " /docker/42 /sys"), files: v1(""), path: "/sys/fs/cgroup/memory" },
    { group: "/../../other", mounts: V1_MOUNT, files: v1(""), path: "/sys/fs/cgroup/memory" },
  ];
  for (const { group, mounts, files, path } of rows) {
    await using dir = await temporaryDirectory();
    const root = await aKernel(dir.path, {
      "proc/self/cgroup": `5:cpu:/x\n4:memory,hugetlb:${group}\n0::/\n`,
      "proc/self/mountinfo": `${mounts}41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n`,
      "sys/fs/cgroup/unified/cgroup.procs": "1\n",
      ...files,
    });
    assert.deepEqual(memoryGroupOf("self", root), { ...expected, path });
  }
});

test("of files that no kernel writes nothing is believed", async () => {
  const hostile = [
    {},
    { "proc/self/cgroup": "", "proc/self/mountinfo": "" },
    { "proc/self/cgroup": "0::/pod/anax\n", "proc/self/mountinfo": "41 - \n - cgroup2\n\0\0\0" },
    { ...version2(0), "proc/self/cgroup": `0::${"/a".repeat(100_000)}\n` },
    { ...version2(0), "proc/self/cgroup": "0::/pod/../../../etc\n" },
    { ...version2(0), "sys/fs/cgroup/pod/anax/memory.current": "-5", "sys/fs/cgroup/pod/anax/memory.events": "" },
  ];
  for (const files of hostile) {
    await using dir = await temporaryDirectory();
    assert.equal(memoryGroupOf("self", await aKernel(dir.path, files)), undefined, JSON.stringify(files).slice(0, 200));
  }
  await using dir = await temporaryDirectory();
  const odd = {
    "memory.current": "12e3",
    "memory.peak": "0x10",
    "memory.high": "NaN",
    "memory.events": "oom_kill 3\noom_kill\noom_kill -1\n",
  };
  const files = Object.fromEntries(Object.entries(odd).map(([name, text]) => [`sys/fs/cgroup/pod/anax/${name}`, text]));
  const root = await aKernel(dir.path, { ...version2(0), ...files });
  await mkdir(join(root, "sys/fs/cgroup/memory.max")); // a directory where a file should be
  const { highBytes, usedBytes, peakBytes, oomKills } = memoryGroupOf("self", root)!; // its events tell of it
  assert.deepEqual([highBytes, usedBytes, peakBytes, oomKills], [undefined, undefined, undefined, 3]);
});

test("a pipe that nobody writes to does not hold it up", async () => {
  await using dir = await temporaryDirectory();
  const { "sys/fs/cgroup/pod/anax/memory.events": events, ...others } = version2(1);
  const root = await aKernel(dir.path, others);
  assert.ok(events);
  execFileSync("mkfifo", [join(root, "sys/fs/cgroup/pod/anax/memory.events")]);
  assert.equal(memoryGroupOf("self", root)?.oomKills, 0);
});

test("what this machine says of this process makes sense", () => {
  const group = memoryGroupOf("self");
  if (group === undefined) return; // it has no memory groups
  assert.ok(group.usedBytes === undefined || group.usedBytes >= 0);
  assert.ok(group.oomKills >= 0);
});
