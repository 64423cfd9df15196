import { codeCacheDir } from "../node/paths.ts";
import type { QuickName } from "./quick-commands.ts";

/** Roles that read and write content all day; a command lives too shortly, and a scheduler has none. */
const MOVES_CONTENT: ReadonlySet<string | undefined> = new Set(["up", "daemon"]);

/** Names only: to load their table would take some of the time that they save. */
const QUICK: Readonly<Record<QuickName, true>> = {
  get: true,
  ls: true,
  stat: true,
  rm: true,
  pin: true,
  unpin: true,
  gc: true,
  explain: true,
  version: true,
};

/**
 * Readies the runtime, then loads and runs the program; resolves to the exit code.
 * In the package it lies in one file with the look at Node's version (scripts/build.ts), so that here, too, no older Node may miss an import.
 */
export async function start(argv: readonly string[]): Promise<number> {
  if (MOVES_CONTENT.has(argv[0])) {
    (await import("../node/small-heap.ts")).keepHeapSmall();
    (await import("../node/file-threads.ts")).useMoreFileThreads(process.env);
  }
  // Compiling the program takes longer than most commands do, so the result is kept. Where that is not possible nothing is lost but time.
  process.getBuiltinModule("node:module").enableCompileCache(codeCacheDir(process.env));
  if (Object.hasOwn(QUICK, argv[0] ?? "")) return (await import("./quick.ts")).runQuick(argv);
  return (await import("./main.ts")).main(argv);
}
