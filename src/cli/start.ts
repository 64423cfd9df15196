import { enableCompileCache } from "node:module";
import { codeCacheDir } from "../node/paths.ts";

/** Roles whose memory is looked after; a command lives too shortly. A scheduler alone keeps many small objects and no content: the default suits it. */
const MOVES_BUFFERS: ReadonlySet<string | undefined> = new Set(["up", "daemon"]);

/** Readies the runtime, then loads and runs the program; resolves to the exit code. */
export async function start(argv: readonly string[]): Promise<number> {
  if (MOVES_BUFFERS.has(argv[0])) (await import("../node/young-generation.ts")).keepYoungGenerationSmall();
  // Compiling the program takes longer than most commands do, so the result is kept. Where that is not possible nothing is lost but time.
  enableCompileCache(codeCacheDir(process.env));
  const { main } = await import("./main.ts");
  return main(argv);
}
