import { Command } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { formatBytes } from "../../base/units.ts";
import { cancelMoves, isOpen, moveSlots, movesOf, slotsOf, withCluster, type SlotMove, type StoreNode } from "../../node/store-slots.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";

interface SlotsOptions {
  readonly url: string;
  readonly json?: boolean;
}

interface MoveOptions extends SlotsOptions {
  readonly to: string;
  readonly wait: boolean;
}

const LOOK_MS = 200;

export function command(): Command {
  const slots = new Command("slots").description("Slots of a cluster of stores: who has them, and moving them while clients write.");
  shared(slots.command("list"))
    .description("Say which node has which slots, and how many keys.")
    .action(async (options: SlotsOptions) => withCluster(options.url, (nodes) => list(nodes, options)));
  shared(slots.command("move <ranges...>"))
    .description("Move slots, such as 0-99 4711, from whoever has them to a node, and say how it goes.")
    .requiredOption("--to <node>", "the node's id, its beginning, or host:port")
    .option("--no-wait", "only begin it")
    .action(async (ranges: readonly string[], options: MoveOptions) => withCluster(options.url, (nodes) => move(nodes, ranges, options)));
  shared(slots.command("cancel [jobs...]"))
    .description("End moves that are under way: all, or those named. What the register has decided stays so.")
    .action(async (jobs: readonly string[], options: SlotsOptions) =>
      withCluster(options.url, async (nodes) => showAll(await cancelMoves(nodes, jobs), options)),
    );
  shared(slots.command("status"))
    .description("Say how moves are: phase, keys, bytes, lag, pauses, attempt, deadline, last error.")
    .action(async (options: SlotsOptions) => withCluster(options.url, async (nodes) => showAll(await movesOf(nodes), options)));
  return slots;
}

const shared = (one: Command): Command =>
  one
    .option("--url <url>", "some node of the cluster: redis://user:password@host:port", "redis://127.0.0.1:6379")
    .option("--json", "JSON lines");

async function list(nodes: readonly StoreNode[], { json }: SlotsOptions): Promise<void> {
  const rows = await slotsOf(nodes);
  if (json === true) return rows.forEach((row) => printJson(row));
  printTable(
    ["NODE", "ADDRESS", "SLOTS", "KEYS", "RANGES"],
    rows.map(({ id, address, slots, keys, ranges }) => [id.slice(0, 12), address, String(slots), String(keys), ranges]),
    [2, 3],
  );
}

async function move(nodes: readonly StoreNode[], ranges: readonly string[], options: MoveOptions): Promise<void> {
  const begun = await moveSlots(nodes, ranges, options.to);
  if (!options.wait) return showAll(begun, options);
  await follow(nodes, new Set(begun.map(({ name }) => name)), options);
}

/** Until all of them have ended: a line for each change. */
async function follow(nodes: readonly StoreNode[], names: ReadonlySet<string>, { json }: SlotsOptions): Promise<void> {
  const shown = new Map<string, string>();
  for (;;) {
    const jobs = (await movesOf(nodes)).filter(({ name, operation }) => names.has(name) && operation === "EXPORT");
    for (const job of jobs) {
      const line = `${job.name.slice(0, 12)} ${job.slot_ranges}: ${job.phase}, ${job.keys} keys, ${formatBytes(job.bytes)}${job.message === "" ? "" : ` (${job.message})`}`;
      if (shown.get(job.name) === line) continue;
      shown.set(job.name, line);
      if (json === true) printJson(job);
      else printLine(line);
    }
    if (jobs.every((job) => !isOpen(job))) {
      if (jobs.some(({ phase }) => phase !== "finished")) process.exitCode = 1;
      return;
    }
    await sleep(LOOK_MS);
  }
}

function showAll(jobs: readonly SlotMove[], { json }: SlotsOptions): void {
  if (json === true) return jobs.forEach((job) => printJson(job));
  if (jobs.length === 0) return printLine("No slots have moved.");
  printTable(
    ["JOB", "SIDE", "SLOTS", "PEER", "PHASE", "TRY", "KEYS", "BYTES", "LAG", "PAUSED", "LONGEST", "LEFT", "WAITS FOR", "LAST ERROR"],
    jobs.map((job) => [
      job.name.slice(0, 12),
      job.operation === "EXPORT" ? "from here" : "to here",
      job.slot_ranges,
      (job.operation === "EXPORT" ? job.target_node : job.source_node).slice(0, 12),
      job.phase,
      String(job.attempt),
      String(job.keys),
      formatBytes(job.bytes),
      formatBytes(job.remaining_repl_size),
      `${job.paused_ms} ms`,
      `${job.pause_max_ms} ms`,
      job.deadline_in_ms === -1 ? "-" : `${job.deadline_in_ms} ms`,
      job.waiting_for || "-",
      job.message || "-",
    ]),
    [5, 6, 7, 8, 9, 10, 11],
  );
}
