import { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { DfdaemonDownloadService } from "../../wire/grpc/gen/dfdaemon/v2/dfdaemon.ts";
import { CALL_TIMEOUT_MS, withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import { printJson, printLine } from "../output.ts";
import { findTask, listTasks } from "../tasks.ts";

interface RmOptions extends EndpointOptions {
  readonly all?: boolean;
  readonly json?: boolean;
}

export function command(): Command {
  return withEndpoint(new Command("rm"))
    .description("Remove tasks from this machine. What is in use is refused, with the reason.")
    .argument("[task...]", "task ids or beginnings of them, URLs or digests")
    .option("--all", "every task that is not in use")
    .option("--json", "JSON lines, one per task removed")
    .action(async (texts: readonly string[], options: RmOptions) => {
      if ((texts.length === 0) === (options.all !== true)) throw new AnaxError("input.invalid", { expected: "tasks, or --all" });
      await withDaemon(options, async (daemon) => {
        const all =
          options.all === true ? (await listTasks(daemon)).filter((task) => task.inUse.every((reason) => reason === "hard-link")) : [];
        const tasks = [...all, ...(await Promise.all(texts.map((text) => findTask(daemon, text))))];
        for (const { taskId, url } of tasks) {
          await daemon.channel.unary(DfdaemonDownloadService.deleteLocalTask, { taskId }, { timeoutMs: CALL_TIMEOUT_MS });
          if (options.json === true) printJson({ removed: taskId, url });
          else printLine(`removed ${taskId} ${url}`);
        }
      });
    });
}
