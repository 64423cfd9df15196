import { Command } from "commander";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { CALL_TIMEOUT_MS, withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import { printJson, printLine } from "../output.ts";
import { findTask, taskJsonOf } from "../tasks.ts";

export function command(): Command {
  return withEndpoint(new Command("unpin"))
    .description("Let pinned tasks be collected and removed again. What else uses them still keeps them.")
    .argument("<task...>", "task ids or beginnings of them, URLs or digests")
    .option("--json", "JSON lines, one per task")
    .action(async (texts: readonly string[], options: EndpointOptions & { readonly json?: boolean }) =>
      withDaemon(options, async (daemon) => {
        for (const { taskId } of await Promise.all(texts.map((text) => findTask(daemon, text)))) {
          const task = await daemon.channel.unary(DaemonService.unpinTask, { taskId }, { timeoutMs: CALL_TIMEOUT_MS });
          if (options.json === true) printJson(taskJsonOf(task));
          else printLine(`${task.taskId} unpinned ${task.url}`);
        }
      }),
    );
}
