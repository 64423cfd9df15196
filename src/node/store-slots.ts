import { AnaxError } from "../base/errors.ts";
import { connectNode } from "../kv/cluster/node-client.ts";
import { parseRange, rangesOf, rangesText, slotsIn } from "../kv/slots/slot-text.ts";

/** A primary of a cluster of stores. */
export interface StoreNode {
  readonly id: string;
  readonly address: string;
  readonly slots: readonly number[];
  /** Its lease has run out: it is not asked. */
  readonly failed: boolean;
  readonly call: (...parts: readonly string[]) => Promise<unknown>;
}

/** All primaries, by what one node says of them. Throws `socket.closed` where one that is not known to have failed cannot be reached. */
export async function withCluster(url: string, work: (nodes: readonly StoreNode[]) => Promise<void>): Promise<void> {
  await using scope = new AsyncDisposableStack();
  const { call: first } = scope.use(await connectNode({ url }));
  const nodes: StoreNode[] = [];
  for (const { isAsked, ...node } of await primariesBy(first)) {
    const { address, failed } = node;
    const call = async (): Promise<StoreNode["call"]> =>
      scope.use(await connectNode({ url: Object.assign(new URL(url), { host: address }).href })).call;
    const refuse: StoreNode["call"] = () => Promise.reject(new AnaxError("socket.closed", { address, reason: "its lease has run out" }));
    nodes.push({ ...node, call: isAsked ? first : failed ? refuse : await call() });
  }
  await work(nodes);
}

/** Who has which slots now. */
export async function slotsNow(nodes: readonly StoreNode[]): Promise<readonly Omit<StoreNode, "call">[]> {
  const asked = nodes.find(({ failed }) => !failed);
  return asked === undefined ? [] : primariesBy(asked.call);
}

async function primariesBy(call: StoreNode["call"]): Promise<readonly (Omit<StoreNode, "call"> & { readonly isAsked: boolean })[]> {
  const lines = String(await call("CLUSTER", "NODES"))
    .trim()
    .split("\n");
  return lines.flatMap((line) => {
    const [id = "", at = "", flags = "", ...rest] = line.split(" ");
    const words = flags.split(",");
    if (!words.includes("master")) return [];
    const slots = slotsIn(rest.slice(5).flatMap((text) => parseRange(text) ?? []));
    return [{ id, address: at.split("@")[0]!, slots, failed: words.includes("fail"), isAsked: words.includes("myself") }]; // a split has a first part
  });
}

/** By its id, the beginning of it, or host:port. Throws `input.invalid`. */
export function nodeAt(nodes: readonly StoreNode[], text: string): StoreNode {
  const found = nodes.filter(({ id, address }) => id.startsWith(text) || address === text);
  if (text === "" || found.length !== 1) throw new AnaxError("input.invalid", { node: text, reason: "it names no node, or several" });
  return found[0]!; // just counted
}

/** As CLUSTER GETSLOTMIGRATIONS names its fields. */
export interface SlotMove {
  readonly [field: string]: string | number;
  readonly name: string;
  readonly operation: string;
  readonly slot_ranges: string;
  readonly source_node: string;
  readonly target_node: string;
  /** Seconds since 1970. */
  readonly create_time: number;
  readonly phase: string;
  readonly message: string;
  readonly waiting_for: string;
  readonly keys: number;
  readonly keys_total: number;
  readonly bytes: number;
  readonly remaining_repl_size: number;
  readonly paused_ms: number;
  readonly pause_max_ms: number;
  readonly attempt: number;
  readonly deadline_in_ms: number;
}

export const isOpen = ({ deadline_in_ms: left, phase }: SlotMove): boolean =>
  left !== -1 || !["finished", "cancelled", "failed", "dropped"].includes(phase);

export async function movesOf(nodes: readonly StoreNode[]): Promise<readonly SlotMove[]> {
  const lists = await Promise.all(nodes.filter(({ failed }) => !failed).map(({ call }) => call("CLUSTER", "GETSLOTMIGRATIONS")));
  return lists.flatMap((reply) =>
    (reply as readonly (readonly (string | number)[])[]).map((fields) => {
      const pairs: [string, string | number][] = [];
      for (let at = 0; at + 1 < fields.length; at += 2) pairs.push([String(fields[at]), fields[at + 1]!]); // just checked
      return Object.fromEntries(pairs) as SlotMove; // of a node of ours
    }),
  );
}

/** What a node has. */
export interface SlotsOfNode {
  readonly id: string;
  readonly address: string;
  readonly slots: number;
  readonly ranges: string;
  /** Null: it cannot be asked. */
  readonly keys: number | null;
}

/** Who has which slots, and how many keys. */
export const slotsOf = (nodes: readonly StoreNode[]): Promise<readonly SlotsOfNode[]> =>
  Promise.all(
    nodes.map(async ({ id, address, slots, failed, call }) => ({
      id,
      address,
      slots: slots.length,
      ranges: rangesText(rangesOf(slots)),
      keys: failed ? null : Number(await call("DBSIZE")),
    })),
  );

/** Begins to move slots, `0-99` or `4711`, from whoever has them; the moves. `to`: the id of a node, its beginning, or host:port. Throws `input.invalid`, `socket.closed`. */
export async function moveSlots(nodes: readonly StoreNode[], texts: readonly string[], to: string): Promise<readonly SlotMove[]> {
  const target = nodeAt(nodes, to);
  const wanted = new Set(slotsIn(texts.map(rangeIn)));
  const begun: StoreNode[] = [];
  for (const source of nodes) {
    const ranges = rangesOf(source.slots.filter((slot) => wanted.has(slot)));
    if (source === target || ranges.length === 0) continue;
    const words = ranges.flatMap(({ start, end }) => [String(start), String(end)]);
    await source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", ...words, "NODE", target.id);
    begun.push(source);
  }
  if (begun.length === 0) throw new AnaxError("input.invalid", { slots: texts, reason: "no other node has any of them" });
  const all = await movesOf(begun);
  return all.filter((one) => one.target_node === target.id && one.operation === "EXPORT" && newest(all, one));
}

function rangeIn(text: string): { readonly start: number; readonly end: number } {
  const range = parseRange(text);
  if (range === undefined) throw new AnaxError("input.invalid", { slots: text, expected: "0-99 or 4711" });
  return range;
}

/** Of the moves of one node to another the one that was begun last. */
const newest = (all: readonly SlotMove[], { name, source_node: source, target_node: target }: SlotMove): boolean =>
  all.find((other) => other.operation === "EXPORT" && other.source_node === source && other.target_node === target)?.name === name;

/** Ends moves that are under way: all, or those whose names begin so; how they are then. Throws `input.invalid`, `socket.closed`. */
export async function cancelMoves(nodes: readonly StoreNode[], names: readonly string[]): Promise<readonly SlotMove[]> {
  const isMeant = ({ name }: SlotMove): boolean => names.length === 0 || names.some((begin) => name.startsWith(begin));
  const open = (await movesOf(nodes)).filter((one) => isOpen(one) && isMeant(one));
  if (open.length === 0) throw new AnaxError("input.invalid", { jobs: names, reason: "no such move is under way" });
  const asked = new Set(open.map(({ name }) => name));
  for (const node of nodes)
    for (const name of asked)
      if (open.some((one) => one.name === name && one.source_node === node.id)) await node.call("CLUSTER", "CANCELSLOTMIGRATIONS", name);
  return (await movesOf(nodes)).filter(({ name }) => asked.has(name));
}
