import { leave } from "./output.ts";
import { runProgram } from "./program.ts";
import { QUICK_COMMANDS } from "./quick-commands.ts";

/**
 * Runs one of the quick commands; resolves to the exit code. In the package, this file is a bundle of all that they need: to find and read
 * dozens of small files would take longer than they do. So nothing that they load may lead to the code of a daemon (scripts/build.ts looks).
 */
export const runQuick = async (argv: readonly string[]): Promise<number> => leave(await runProgram(argv, QUICK_COMMANDS));
