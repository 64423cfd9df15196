import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Files of a kernel below another root than `/`. */
export async function aKernel(root: string, files: Readonly<Record<string, string>>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

/** A group of version 2 with these counters, in `/sys/fs/cgroup/pod/anax`, of the process that asks. */
export const version2 = (oomKills: number): Record<string, string> => ({
  "proc/self/cgroup": "0::/pod/anax\n",
  "proc/self/mountinfo": "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n",
  "proc/sys/kernel/random/boot_id": "boot-1\n",
  "proc/uptime": "1000.50 900.00\n",
  "sys/fs/cgroup/pod/memory.max": `${512 * 1024 ** 2}\n`,
  "sys/fs/cgroup/pod/anax/memory.max": "max\n",
  "sys/fs/cgroup/pod/anax/memory.high": `${400 * 1024 ** 2}\n`,
  "sys/fs/cgroup/pod/anax/memory.current": "1000\n",
  "sys/fs/cgroup/pod/anax/memory.peak": "2000\n",
  "sys/fs/cgroup/pod/anax/memory.swap.current": "0\n",
  "sys/fs/cgroup/pod/anax/memory.events": `low 0\nhigh 0\nmax 7\noom 3\noom_kill ${oomKills}\noom_group_kill 0\n`,
});
