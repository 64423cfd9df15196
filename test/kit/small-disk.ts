import { execFile } from "node:child_process";
import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface SmallDisk extends AsyncDisposable {
  readonly dir: string;
}

/**
 * A real file system of this size in memory, that really gets full. Mounting is the superuser's: for others the test is skipped with a
 * reason that begins with `needs root:`, and this is undefined.
 */
export async function aSmallDisk(test: TestContext, options: { readonly bytes: number }): Promise<SmallDisk | undefined> {
  const disk = await mountSmallDisk(options.bytes);
  if (typeof disk !== "string") return disk;
  test.skip(`needs root: ${disk}`);
  return undefined;
}

/** As above, or the reason why it cannot be mounted. */
export async function mountSmallDisk(bytes: number): Promise<SmallDisk | string> {
  const dir = await mkdtemp(join(tmpdir(), "anax-small-disk-"));
  try {
    await run("mount", ["-t", "tmpfs", "-o", `size=${bytes}`, "tmpfs", dir], { timeout: 10_000 });
  } catch (error) {
    await rmdir(dir);
    return `a tmpfs cannot be mounted (${error instanceof Error ? error.message.trim() : String(error)})`;
  }
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await run("umount", [dir], { timeout: 10_000 });
      await rmdir(dir);
    },
  };
}
