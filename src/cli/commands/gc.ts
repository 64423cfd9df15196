import { Command } from "commander";
import { formatBytes } from "../../base/units.ts";
import { DaemonService, type CollectTasksResponse, type TaskVerdict } from "../../wire/grpc/gen/anax/v1/daemon.ts";
import { withDaemon, withEndpoint, type EndpointOptions, type LocalDaemon } from "../connect.ts";
import { bytesOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { cut, printTable } from "../table.ts";
import { isoOf } from "../tasks.ts";

interface GcOptions extends EndpointOptions {
  readonly dryRun?: boolean;
  readonly free?: number;
  readonly json?: boolean;
  readonly wide?: boolean;
}

/** Deleting many large files takes its time. */
const COLLECT_TIMEOUT_MS = 300_000;

export function command(): Command {
  return withEndpoint(new Command("gc"))
    .description(
      "Collect now what the daemon collects now and then: what nobody used for long, and what is over the limits. Says what becomes of each task.",
    )
    .option("--dry-run", "delete nothing, say only what would go")
    .option("--free <size>", "free at least so much, such as 500MiB, the least recently used first", bytesOption)
    .option("--json", "JSON lines, one per task, and then the sums")
    .option("-w, --wide", "whole task ids and URLs")
    .action(async (options: GcOptions) => show(await withDaemon(options, (daemon) => collect(daemon, options)), options));
}

async function collect({ channel }: LocalDaemon, { dryRun = false, free = 0 }: GcOptions): Promise<CollectTasksResponse> {
  const verdicts: TaskVerdict[] = [];
  let sums = { neededBytes: 0, freedBytes: 0 };
  const call = { signal: new AbortController().signal, timeoutMs: COLLECT_TIMEOUT_MS };
  for await (const { neededBytes, freedBytes, verdicts: some } of channel.serverStream(
    DaemonService.collectTasks,
    { dryRun, freeBytes: free },
    call,
  )) {
    sums = { neededBytes, freedBytes };
    verdicts.push(...some);
  }
  return { ...sums, verdicts };
}

const goes = ({ verdict }: TaskVerdict): boolean => verdict === "expired" || verdict === "space";

function show({ neededBytes, freedBytes, verdicts }: CollectTasksResponse, options: GcOptions): void {
  const gone = verdicts.filter(goes).length;
  if (options.json === true) {
    for (const { accessedAt, ...verdict } of verdicts) printJson({ ...verdict, accessedAt: isoOf(accessedAt) });
    return printJson({ dryRun: options.dryRun === true, neededBytes, freedBytes, collected: gone, kept: verdicts.length - gone });
  }
  if (verdicts.length > 0)
    printTable(
      ["TASK", "HELD", "LAST USED", "WHAT", "WHY", "URL"],
      verdicts.map((each) => [
        options.wide === true ? each.taskId : each.taskId.slice(0, 12),
        formatBytes(each.heldBytes),
        isoOf(each.accessedAt) ?? "-",
        goes(each) ? (options.dryRun === true ? "would go" : "collected") : "kept",
        whyOf(each),
        options.wide === true ? each.url : cut(each.url, 60),
      ]),
      [1],
    );
  const done = options.dryRun === true ? "Would free" : "Freed";
  printLine(`${done} ${formatBytes(freedBytes)}: ${gone} of ${tasksText(verdicts.length)}. Needed: ${formatBytes(neededBytes)}.`);
  const shortBytes = neededBytes - freedBytes;
  if (shortBytes > 0) printLine(`${formatBytes(shortBytes)} too little: all that is left is in use.`);
}

const tasksText = (count: number): string => `${count} ${count === 1 ? "task" : "tasks"}`;

function whyOf({ verdict, inUse, usedBy }: TaskVerdict): string {
  if (verdict === "expired") return "nobody used it for long";
  if (verdict === "space") return "room is needed";
  if (verdict !== "in-use") return "there is room";
  const [first, ...others] = usedBy;
  const by = first === undefined ? "" : `: ${cut(first, 60)}${others.length === 0 ? "" : ` and ${others.length} more`}`;
  return `in use: ${inUse.join(", ")}${by}`;
}
