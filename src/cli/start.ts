import { enableCompileCache } from "node:module";
import { codeCacheDir } from "../node/paths.ts";
import { keepYoungGenerationSmall } from "../node/young-generation.ts";

/** Readies the runtime, then loads and runs the program; resolves to the exit code. */
export async function start(argv: readonly string[]): Promise<number> {
  // A scheduler alone keeps many small objects and no content: the default suits it.
  if (argv[0] !== "scheduler") keepYoungGenerationSmall();
  // Compiling the program takes longer than most commands do, so the result is kept. Where that is not possible nothing is lost but time.
  enableCompileCache(codeCacheDir(process.env));
  const { main } = await import("./main.ts");
  return main(argv);
}
