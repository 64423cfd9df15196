import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { REGISTER_ENGINES } from "./register-engines.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** What a volume with its metadata in Anax's own store needs: places for its data and its mount, and the engine, which is to be run. */
export async function ownStorePlaces(scope: AsyncDisposableStack) {
  const root = scope.use(await temporaryDirectory()).path;
  const [dataDir, dir, engineDir] = [join(root, "data"), join(root, "mnt"), join(root, "engine")];
  await chmod(root, 0o755); // another user reads through the mount
  for (const each of [dataDir, dir, engineDir]) await mkdir(each);
  const engine = await REGISTER_ENGINES.find(({ name }) => name === "Anax's own store")!.prepare(engineDir); // it is among them
  return { dataDir, dir, engine };
}
