import { Command } from "commander";
import { formatBytes } from "../../base/units.ts";
import { withDaemon, withEndpoint, type EndpointOptions } from "../connect.ts";
import { printJson, printLine } from "../output.ts";
import { cut, printTable } from "../table.ts";
import { listTasks, percentOf, taskJsonOf } from "../tasks.ts";

interface LsOptions extends EndpointOptions {
  readonly json?: boolean;
  readonly wide?: boolean;
}

export function command(): Command {
  return withEndpoint(new Command("ls"))
    .description("List the tasks on this machine.")
    .option("--json", "JSON lines, one per task")
    .option("-w, --wide", "whole task ids and URLs")
    .action(async (options: LsOptions) => withDaemon(options, async (daemon) => show(await listTasks(daemon), options)));
}

function show(tasks: Awaited<ReturnType<typeof listTasks>>, options: LsOptions): void {
  if (options.json === true) return tasks.forEach((task) => printJson(taskJsonOf(task)));
  if (tasks.length === 0) return printLine("No tasks on this machine yet.");
  printTable(
    ["TASK", "STATE", "HELD", "SIZE", "FROM PEERS", "FROM SOURCE", "IN USE", "URL"],
    tasks.map((task) => [
      options.wide === true ? task.taskId : task.taskId.slice(0, 12),
      task.state,
      percentOf(task),
      task.contentLength === undefined ? "?" : formatBytes(task.contentLength),
      formatBytes(task.bytesFromPeers),
      formatBytes(task.bytesFromSource),
      task.inUse.join(",") || "-",
      options.wide === true ? task.url : cut(task.url, 60),
    ]),
    [2, 3, 4, 5],
  );
}
