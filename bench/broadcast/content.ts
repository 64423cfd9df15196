import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeRandomFile } from "../kit/random-file.ts";
import type { Content } from "./drivers/driver.ts";

interface Sizes {
  readonly bytes: number;
  readonly warmBytes: number;
}

/** Random bytes in memory, in a directory that an origin may serve; beside them what services that run all the time bring first. */
export async function createContent({ bytes, warmBytes }: Sizes, scope: AsyncDisposableStack): Promise<Content> {
  const directory = await mkdtemp("/dev/shm/anax-broadcast-content-");
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "content");
  const warmPath = warmBytes > 0 ? join(directory, "earlier") : undefined;
  if (warmPath !== undefined) await writeRandomFile(warmPath, warmBytes);
  return { path, bytes, warmPath, sha256: await writeRandomFile(path, bytes) };
}
