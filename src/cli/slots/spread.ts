import { setTimeout as sleep } from "node:timers/promises";
import { AnaxError } from "../../base/errors.ts";
import { formatBytes, formatDuration } from "../../base/units.ts";
import { beginMoves, planOf, type RebalanceOptions, type ShownPlan } from "../../node/store-rebalance.ts";
import { isOpen, movesOf, type SlotMove, type StoreNode } from "../../node/store-slots.ts";
import { printJson, printLine } from "../output.ts";
import { openBar, type Bar } from "../progress.ts";
import { printTable } from "../table.ts";

const LOOK_MS = 200;
/** What a node refuses somebody else has begun, or the map was old: it is looked again. */
const REFUSED_MAX = 50;
/** Until replicas have got everything. */
const HELD_MS_MAX = 600_000;

export interface SpreadOptions extends RebalanceOptions {
  readonly json: boolean;
}

export function showPlan({ by, nodes, moves }: ShownPlan, json: boolean): void {
  if (json) {
    for (const { node, address, weight, have, want, after } of nodes)
      printJson({ event: "node", by, node, address, weight, have, want, after });
    return moves.forEach((move) => printJson({ event: "move", ...move }));
  }
  const shown = (load: number): string => (by === "slots" ? String(load) : formatBytes(Math.round(load)));
  const unit = by === "slots" ? "SLOTS" : "BYTES";
  printTable(
    ["NODE", "ADDRESS", "WEIGHT", unit, "SHARE", "AFTER"],
    nodes.map(({ node, address, weight, have, want, after }) => [
      node.slice(0, 12),
      address,
      String(weight),
      shown(have),
      shown(want),
      shown(after),
    ]),
    [2, 3, 4, 5],
  );
  if (moves.length === 0) return;
  printLine();
  printTable(
    ["FROM", "TO", "SLOTS", "KEYS", "BYTES", "RANGES"],
    moves.map(({ from, to, slots, keys, bytes, ranges }) => [
      from.slice(0, 12),
      to.slice(0, 12),
      String(slots),
      String(keys),
      formatBytes(bytes),
      ranges,
    ]),
    [2, 3, 4],
  );
}

/** Moves what has to, and says how it goes; how many slots have moved. Throws `input.invalid`, `socket.closed`; `migration.failed` for a move that has come to nothing. */
export async function spread(nodes: readonly StoreNode[], options: SpreadOptions): Promise<number> {
  const { only } = options;
  const { moves } = await planOf(nodes, options);
  const total = moves.reduce((sum, { slots }) => sum + slots, 0);
  const progress = await startProgress(total, options.json);
  const mine = new Map<string, SlotMove>();
  let before: readonly string[] | undefined;
  let heldMs = 0;
  try {
    for (let [goesOn, refusals] = [false, 0]; refusals < REFUSED_MAX; goesOn = true) {
      const { begun, refused, moving, held, owners } = await beginMoves(nodes, options, goesOn);
      before ??= owners;
      const moved = owners.filter((owner, slot) => owner !== before![slot]).length; // just set; others move slots, too
      const exports = (await movesOf(nodes)).filter(({ operation }) => operation === "EXPORT");
      for (const { from, to } of begun) {
        const job = exports.find((one) => one.source_node === from && one.target_node === to); // the latest is the first
        if (job !== undefined) mine.set(job.name, job);
      }
      for (const job of exports) if (mine.has(job.name)) mine.set(job.name, job);
      progress.update([...mine.values()], moved);
      const failed = [...mine.values()].find((one) => !isOpen(one) && one.phase !== "finished");
      if (failed !== undefined) throw failure(failed);
      const isIdle = moving === 0 && refused === 0;
      const isDone = only === undefined ? isIdle && !held : !owners.includes(only);
      if (isDone) return moved;
      heldMs = isIdle ? heldMs + LOOK_MS : 0;
      if (heldMs > HELD_MS_MAX)
        throw new AnaxError("limit.exceeded", { heldMs, reason: "replicas of a node do not get everything, so no slots go there" });
      refusals = refused > 0 && begun.length === 0 ? refusals + 1 : 0;
      await sleep(LOOK_MS);
    }
    throw new AnaxError("limit.exceeded", { refused: REFUSED_MAX, reason: "nodes refuse to move their slots: see anax slots status" });
  } finally {
    progress.stop();
  }
}

const failure = ({ name, phase, message, source_node: from, target_node: to, slot_ranges: slots }: SlotMove): AnaxError =>
  new AnaxError("migration.failed", { move: name, phase, from, to, slots, reason: message || "somebody has ended it" });

interface SpreadProgress {
  update(jobs: readonly SlotMove[], slots: number): void;
  stop(): void;
}

/** A bar on a terminal, else a line for each move that has another phase. */
async function startProgress(total: number, json: boolean): Promise<SpreadProgress> {
  if (!json && process.stderr.isTTY && process.stdout.isTTY && total > 0) return barOf(await openBar("moving slots"), total);
  const shown = new Map<string, string>();
  return {
    update(jobs, slots) {
      for (const job of jobs) {
        const { name, phase } = job;
        if (shown.get(name) === phase) continue;
        shown.set(name, phase);
        if (json) printJson({ event: "progress", slots, slotsTotal: total, ...job });
        else printLine(`${moveLine(job)}; ${slots} of ${total} slots`);
      }
    },
    stop: () => undefined,
  };
}

/** How one move is, in a line. */
export const moveLine = ({ name, slot_ranges: slots, phase, keys, bytes, message }: SlotMove): string =>
  `${name.slice(0, 12)} ${slots}: ${phase}, ${keys} keys, ${formatBytes(bytes)}${message === "" ? "" : ` (${message})`}`;

function barOf(bar: Bar, total: number): SpreadProgress {
  const startedMs = performance.now();
  return {
    update(jobs, slots) {
      const [keys, bytes] = [jobs.reduce((sum, job) => sum + job.keys, 0), jobs.reduce((sum, job) => sum + job.bytes, 0)];
      const elapsedMs = performance.now() - startedMs;
      const left = slots === 0 ? "" : ` | ${formatDuration((elapsedMs / slots) * Math.max(0, total - slots))} left`;
      const lagging = jobs.find((job) => isOpen(job) && job.message !== "");
      const rate = `${formatBytes(Math.round((bytes / Math.max(1, elapsedMs)) * 1000))}/s`;
      bar.update(
        slots,
        Math.max(total, slots),
        `${slots}/${total} slots | ${keys} keys, ${formatBytes(bytes)} | ${rate}${left}${lagging === undefined ? "" : ` | ${lagging.message}`}`,
      );
    },
    stop: () => bar.stop(),
  };
}
