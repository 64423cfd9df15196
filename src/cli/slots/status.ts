import { formatBytes, formatDuration } from "../../base/units.ts";
import { isOpen, type SlotMove, type StoreNode } from "../../node/store-slots.ts";
import { printJson, printLine } from "../output.ts";
import { printTable } from "../table.ts";

/** A move as both its nodes tell it. */
interface TwoSides {
  readonly source?: SlotMove;
  readonly target?: SlotMove;
}

/** Moves, the latest first, those that are under way before all others; each once, though both of its nodes tell of it. */
export function showMoves(nodes: readonly Pick<StoreNode, "id" | "address">[], moves: readonly SlotMove[], json: boolean): void {
  if (json) return moves.forEach((move) => printJson(move));
  if (moves.length === 0) return printLine("No slots have moved.");
  const nameOf = (id: string): string => nodes.find((node) => node.id === id)?.address ?? id.slice(0, 12);
  const jobs = new Map<string, TwoSides>();
  for (const move of moves) {
    const side = move.operation === "EXPORT" ? { source: move } : { target: move };
    jobs.set(move.name, { ...jobs.get(move.name), ...side });
  }
  const sorted = [...jobs.values()].toSorted((a, b) => Number(goesOn(b)) - Number(goesOn(a)) || lead(b).create_time - lead(a).create_time);
  printTable(
    [
      "JOB",
      "SLOTS",
      "FROM",
      "TO",
      "PHASE",
      "AT TARGET",
      "TRY",
      "KEYS",
      "BYTES",
      "LAG",
      "PAUSED",
      "LONGEST",
      "WAITS FOR",
      "AT MOST",
      "LAST ERROR",
    ],
    sorted.map((job) => rowOf(job, nameOf)),
    [6, 7, 8, 9, 10, 11, 13],
  );
}

/** The source knows more. */
const lead = ({ source, target }: TwoSides): SlotMove => (source ?? target)!; // there is one
const goesOn = ({ source, target }: TwoSides): boolean => [source, target].some((side) => side !== undefined && isOpen(side));

function rowOf(job: TwoSides, nameOf: (id: string) => string): readonly string[] {
  const { source, target } = job;
  const one = lead(job);
  const left = Math.max(source?.deadline_in_ms ?? -1, target?.deadline_in_ms ?? -1);
  const of = one.phase === "finished" || one.keys_total === 0 ? "" : `/${one.keys_total}`;
  return [
    one.name.slice(0, 12),
    one.slot_ranges,
    nameOf(one.source_node),
    nameOf(one.target_node),
    source?.phase ?? "-",
    target?.phase ?? "-",
    String(one.attempt),
    `${one.keys}${source === undefined ? "" : of}`,
    formatBytes(one.bytes),
    formatBytes(one.remaining_repl_size),
    formatDuration(one.paused_ms),
    formatDuration(one.pause_max_ms),
    source?.waiting_for || target?.waiting_for || "-",
    left === -1 ? "-" : formatDuration(left),
    source?.message || target?.message || "-",
  ];
}
