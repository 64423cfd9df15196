import { Command } from "commander";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { CALL_TIMEOUT_MS, withEndpoint, type EndpointOptions } from "../connect.ts";
import { changeEach } from "../tasks.ts";

export function command(): Command {
  return withEndpoint(new Command("unpin"))
    .description("Let pinned tasks be collected and removed again. What else uses them still keeps them.")
    .argument("<task...>", "task ids or beginnings of them, URLs or digests")
    .option("--json", "JSON lines, one per task")
    .action(async (texts: readonly string[], options: EndpointOptions & { readonly json?: boolean }) =>
      changeEach(texts, options, {
        change: ({ channel }, taskId) => channel.unary(DaemonService.unpinTask, { taskId }, { timeoutMs: CALL_TIMEOUT_MS }),
        lineOf: (task) => `${task.taskId} unpinned ${task.url}`,
      }),
    );
}
