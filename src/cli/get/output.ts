import { dirname, join, relative, resolve } from "node:path";
import { AnaxError } from "../../base/errors.ts";

// An `import` of it would load its streams, too, which takes longer than all that is done with it here.
const { accessSync, constants, statSync } = process.getBuiltinModule("node:fs");

/** Refuses an output that this user cannot have before anything is downloaded for it. Throws `output.exists`, `output.unwritable`. */
export async function checkOutput(output: string, overwrite: boolean): Promise<void> {
  const target = resolve(output);
  try {
    accessSync(dirname(target), constants.W_OK | constants.X_OK);
    const found = statSync(target, { throwIfNoEntry: false });
    if (found?.isDirectory() === true) throw new AnaxError("output.unwritable", { output, reason: "it is a directory" });
    if (found !== undefined && !overwrite) throw new AnaxError("output.exists", { output, hint: "--overwrite replaces it" });
  } catch (thrown) {
    const { outputErrorOf } = await import("../../disk/disk-error.ts");
    throw outputErrorOf(thrown, { output });
  }
}

/** Where a file of the source goes; a name such as `../x` must not leave the output directory. Throws `input.invalid`. */
export function outputBelow(outputRoot: string, path: string): string {
  const root = resolve(outputRoot);
  const target = join(root, path);
  const inside = relative(root, target);
  if (inside === "" || inside.startsWith("..") || path.includes("\0"))
    throw new AnaxError("input.invalid", { path, reason: "it leaves the output directory" });
  return target;
}
