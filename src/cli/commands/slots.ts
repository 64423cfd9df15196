import { Command, Option } from "commander";
import { setTimeout as sleep } from "node:timers/promises";
import { rebalanceState } from "../../node/store-rebalance.ts";
import { cancelMoves, isOpen, moveSlots, movesOf, slotsOf, withCluster, type StoreNode } from "../../node/store-slots.ts";
import { collect, countOption } from "../options.ts";
import { printJson, printLine } from "../output.ts";
import { drain, rebalance, type DrainFlags, type RebalanceFlags } from "../slots/rebalance.ts";
import { moveLine } from "../slots/spread.ts";
import { showMoves } from "../slots/status.ts";
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
    .description("Say which node has which slots, how many keys, and what part it is to have.")
    .action(async (options: SlotsOptions) => withCluster(options.url, (nodes) => list(nodes, options)));
  shared(slots.command("move <ranges...>"))
    .description("Move slots, such as 0-99 4711, from whoever has them to a node, and say how it goes.")
    .requiredOption("--to <node>", "the node's id, its beginning, or host:port")
    .option("--no-wait", "only begin it")
    .action(async (ranges: readonly string[], options: MoveOptions) => withCluster(options.url, (nodes) => move(nodes, ranges, options)));
  shared(slots.command("rebalance"))
    .description("Move slots until each node has its share, and say how it goes.")
    .option("--dry-run", "only say what would move")
    .option("--weight <node=number>", "a node's part of the slots beside the others' (default 1; 0: none); kept (repeatable)", collect, [])
    .addOption(new Option("--by <what>", "what is shared out (default: cluster-rebalance-by)").choices(["slots", "bytes"]))
    .option("--threshold <percent>", "how far from its share a node may be (default: cluster-rebalance-threshold)", countOption)
    .option("--moves <count>", "how many moves at once (default: cluster-rebalance-moves)", countOption)
    .action(async (flags: RebalanceFlags & SlotsOptions) => withCluster(flags.url, (nodes) => rebalance(nodes, flags)));
  shared(slots.command("drain <node>"))
    .description("Move all slots of a node to the others, as it is to leave; it gets none again until it has another weight.")
    .option("--forget", "have it leave the cluster then")
    .action(async (node: string, flags: DrainFlags & SlotsOptions) => withCluster(flags.url, (nodes) => drain(nodes, node, flags)));
  shared(slots.command("cancel [jobs...]"))
    .description("End moves that are under way: all, or those named. What the register has decided stays so.")
    .action(async (jobs: readonly string[], options: SlotsOptions) =>
      withCluster(options.url, async (nodes) => showMoves(nodes, await cancelMoves(nodes, jobs), options.json === true)),
    );
  shared(slots.command("status"))
    .description("Say how moves are: phase, keys, bytes, lag, pauses, attempt, deadline, last error.")
    .action(async (options: SlotsOptions) => withCluster(options.url, (nodes) => status(nodes, options)));
  return slots;
}

const shared = (one: Command): Command =>
  one
    .option("--url <url>", "some node of the cluster: redis://user:password@host:port", "redis://127.0.0.1:6379")
    .option("--json", "JSON lines");

async function list(nodes: readonly StoreNode[], { json }: SlotsOptions): Promise<void> {
  const [rows, { weights }] = [await slotsOf(nodes), await rebalanceState(nodes)];
  const weightOf = (id: string): string => weights.get(id) ?? "1";
  if (json === true) return rows.forEach((row) => printJson({ ...row, weight: Number(weightOf(row.id)) }));
  printTable(
    ["NODE", "ADDRESS", "SLOTS", "KEYS", "WEIGHT", "RANGES"],
    rows.map(({ id, address, slots, keys, ranges }) => [
      id.slice(0, 12),
      address,
      String(slots),
      keys === null ? "gone" : String(keys),
      weightOf(id),
      ranges || "-",
    ]),
    [2, 3, 4],
  );
}

async function move(nodes: readonly StoreNode[], ranges: readonly string[], options: MoveOptions): Promise<void> {
  const begun = await moveSlots(nodes, ranges, options.to);
  if (!options.wait) return showMoves(nodes, begun, options.json === true);
  await follow(nodes, new Set(begun.map(({ name }) => name)), options);
}

/** Until all of them have ended: a line for each change. */
async function follow(nodes: readonly StoreNode[], names: ReadonlySet<string>, { json }: SlotsOptions): Promise<void> {
  const shown = new Map<string, string>();
  for (;;) {
    const jobs = (await movesOf(nodes)).filter(({ name, operation }) => names.has(name) && operation === "EXPORT");
    for (const job of jobs) {
      const line = moveLine(job);
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

async function status(nodes: readonly StoreNode[], { json = false }: SlotsOptions): Promise<void> {
  showMoves(nodes, await movesOf(nodes), json);
  const { enabled, runner, state } = await rebalanceState(nodes);
  if (json || !enabled) return;
  const planner = nodes.find(({ id }) => id === runner)?.address ?? runner.slice(0, 12);
  printLine();
  printLine(runner === "" ? "Rebalancing: no node does it yet." : `Rebalancing, by ${planner}: ${state}.`);
}
