import { Command } from "commander";
import { formatBytes } from "../../base/units.ts";
import { withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import { printJson, printLine } from "../output.ts";
import { findTask, isoOf, percentOf, pinTextOf, taskJsonOf } from "../tasks.ts";

export function command(): Command {
  return withEndpoint(new Command("stat"))
    .description("Show one task on this machine.")
    .argument("<task>", "task id or the beginning of one, URL or digest")
    .option("--json", "one JSON object")
    .action(async (text: string, options: EndpointOptions & { readonly json?: boolean }) => {
      const task = await withDaemon(options, (daemon) => findTask(daemon, text));
      if (options.json === true) return printJson(taskJsonOf(task));
      const size = task.contentLength === undefined ? "unknown" : `${formatBytes(task.contentLength)} (${task.contentLength} bytes)`;
      const rows: readonly (readonly [string, string])[] = [
        ["task", task.taskId],
        ["url", task.url],
        ["digest", task.digest || "-"],
        ["tag", task.tag || "-"],
        ["application", task.application || "-"],
        ["state", task.errorCode === undefined ? task.state : `${task.state} (${task.errorCode})`],
        ["size", size],
        ["pieces", `${task.finishedPieceCount} of ${task.pieceCount} (${percentOf(task)}), ${formatBytes(task.pieceLength ?? 0)} each`],
        ["from peers", formatBytes(task.bytesFromPeers)],
        ["from source", formatBytes(task.bytesFromSource)],
        ["uploaded", formatBytes(task.bytesUploaded)],
        ["in use", task.inUse.join(", ") || "no: may be collected"],
        ["pin", pinTextOf(task) ?? "-"],
        ["created", isoOf(task.createdAt) ?? "-"],
        ["last used", isoOf(task.accessedAt) ?? "-"],
        ["finished", isoOf(task.finishedAt) ?? "-"],
      ];
      for (const [name, value] of rows) printLine(`${name.padEnd(12)} ${value}`);
    });
}
