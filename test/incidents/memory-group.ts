import { mkdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "../kit/process.ts";
import { CannotHost } from "./incident.ts";

/** A memory cgroup, of either version's making that this kernel has; gone with the scope. */
export async function aMemoryGroup(scope: AsyncDisposableStack): Promise<string> {
  const group = `/sys/fs/cgroup/memory/anax-incident-${process.pid}`;
  try {
    await mkdir(group);
    await readFile(join(group, "memory.limit_in_bytes"), "utf8");
  } catch (thrown) {
    throw new CannotHost(`no memory cgroup can be made: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
  const isRemoved = (): Promise<boolean> =>
    rmdir(group).then(
      () => true,
      () => false, // somebody is still leaving it
    );
  scope.defer(() => waitFor(isRemoved));
  return group;
}
