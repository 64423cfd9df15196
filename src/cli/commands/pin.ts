import { Command } from "commander";
import { AnaxError } from "../../base/errors.ts";
import { DaemonService } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { timestampOf } from "../../wire/grpc/time.ts";
import { CALL_TIMEOUT_MS, withEndpoint, type EndpointOptions } from "../connect.ts";
import { durationOption } from "../options.ts";
import { changeEach, pinTextOf } from "../tasks.ts";

interface PinOptions extends EndpointOptions {
  readonly for?: number;
  readonly json?: boolean;
}

export function command(): Command {
  return withEndpoint(new Command("pin"))
    .description(
      "Keep tasks on this machine: they are neither collected nor removed. A pin survives restarts, and a later one replaces it.",
    )
    .argument("<task...>", "task ids or beginnings of them, URLs or digests")
    .option("--for <duration>", "not for good, but for so long, such as 30m, 12h or 7d", durationOption)
    .option("--json", "JSON lines, one per task")
    .action(async (texts: readonly string[], options: PinOptions) => {
      if (options.for === 0) throw new AnaxError("input.invalid", { option: "--for", reason: "it would be over at once" });
      const until = options.for === undefined ? undefined : timestampOf(Date.now() + options.for);
      await changeEach(texts, options, {
        change: ({ channel }, taskId) => channel.unary(DaemonService.pinTask, { taskId, until }, { timeoutMs: CALL_TIMEOUT_MS }),
        lineOf: (task) => `${task.taskId} ${pinTextOf(task)} ${task.url}`,
      });
    });
}
