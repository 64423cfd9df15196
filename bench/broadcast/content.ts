import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeRandomFile } from "../kit/random-file.ts";
import type { Content } from "./drivers/driver.ts";

/** Random bytes in memory, alone in a directory that an origin may serve. */
export async function createContent(bytes: number, scope: AsyncDisposableStack): Promise<Content> {
  const directory = await mkdtemp("/dev/shm/anax-broadcast-content-");
  scope.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "content");
  return { path, bytes, sha256: await writeRandomFile(path, bytes) };
}
