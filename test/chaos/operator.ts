import type { Random } from "../../src/base/random.ts";
import { slotOfKey } from "../../src/kv/keyspace/key-slot.ts";
import { pause, within } from "./cluster-caller.ts";
import { isOpen, migrationsOf, processorWaitMsOf, shownIn, slotsOf, type ChaosNode } from "./node.ts";
import { RespClient } from "../store/resp-client.ts";
import type { Round } from "./round.ts";
import { STOP_MS_MAX } from "./stop-times.ts";

const WIDTH_MAX = 600;
const ANSWER_MS = 5000;
const WATCH_MS = 200;
/** Phases in which it is the register's to say what comes of it, cancelled or not. */
const DECIDED = ["deciding", "confirmed", "refusing", "promoting"];

/** Moves slots with keys, mostly from A to B and from B to C at once; cancels some. */
export async function operate(round: Round, random: Random): Promise<void> {
  const { nodes } = round;
  while (!round.isOver) {
    await pause(random.below(300));
    const from = random.below(nodes.length);
    const at = (place: number): ChaosNode => nodes[(from + place) % nodes.length]!;
    await Promise.all([move(round, random, at(0), at(1)), move(round, random, at(1), at(2))]);
    if (random.below(2) > 0) continue;
    await pause(random.below(60));
    await cancel(round, nodes[random.below(nodes.length)]!);
  }
}

async function move(round: Round, random: Random, source: ChaosNode, target: ChaosNode): Promise<void> {
  const [place, width] = [random.next(), random.below(WIDTH_MAX)];
  const owned = await slotsOf(source);
  const slots = round.workload.groups.map(({ tag }) => slotOfKey(tag)).filter((slot) => owned.has(slot));
  if (slots.length === 0) return;
  const first = slots[Math.floor(place * slots.length)]!;
  let [start, end] = [first, first];
  while (end - start < width && owned.has(end + 1)) end++;
  while (end - start < width && owned.has(start - 1)) start--;
  const reply = await source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", String(start), String(end), "NODE", target.id);
  round.say(`move ${start}-${end} ${source.index} -> ${target.index}: ${String(reply)}`);
}

/**
 * I1: when it is answered, what was not decided is over. What is under way is asked for before and after in one turn of the node. `atStop`: it stands still by now, and goes on once the order
 * is there.
 */
export async function cancel(round: Round, node: ChaosNode, atStop = false): Promise<void> {
  const client = await within(ANSWER_MS, RespClient.connect(node.port)).catch(() => undefined);
  if (client === undefined) return;
  using connection = client;
  const answers = Promise.all(
    ["GETSLOTMIGRATIONS", "CANCELSLOTMIGRATIONS", "GETSLOTMIGRATIONS"].map((word) => connection.call("CLUSTER", word)),
  );
  answers.catch(() => undefined);
  if (atStop) {
    await pause();
    node.signal("SIGCONT");
  }
  const { resumed } = node;
  const waitedMs = (): readonly number[] => [node.processorWaitMs, processorWaitMsOf("self")];
  const [startedMs, waitedBefore] = [performance.now(), waitedMs()];
  const [before, reply, after] = await within(ANSWER_MS, answers).catch(() => []);
  // What it waits for a processor is the machine's, which may have much else to do.
  const waited = waitedMs().map((ms, at) => ms - waitedBefore[at]!);
  const stopMs = Math.max(0, performance.now() - startedMs - Math.max(0, ...waited));
  if (reply !== "OK" || node.resumed !== resumed) return; // somebody has stopped it meanwhile
  const open = shownIn(before)?.filter(isOpen) ?? [];
  round.say(`cancelled ${open.length} at ${node.index} in ${stopMs.toFixed(1)} ms`);
  round.counts.cancelled += open.length;
  round.stopTimes.add(stopMs);
  if (stopMs > STOP_MS_MAX) round.violation(`I1: a stop took ${Math.round(stopMs)} ms`);
  for (const one of shownIn(after) ?? [])
    if (open.some(({ name }) => name === one.name) && isOpen(one) && !DECIDED.includes(one.phase))
      round.violation(`I1: ${one.operation} ${one.name} is ${one.phase} after it was cancelled`);
}

/** Notes what there is to see of moves. */
export async function watch(round: Round): Promise<void> {
  while (!round.isOver) {
    await see(round);
    await pause(WATCH_MS);
  }
}

export async function see(round: Round): Promise<void> {
  const shown = await Promise.all(round.nodes.filter((node) => !node.isStopped).map(migrationsOf));
  for (const one of shown.flatMap((list) => list ?? []))
    if (one.operation === "EXPORT" && !round.moved.has(one.name)) {
      if (one.phase === "finished") {
        round.moved.add(one.name);
        round.counts.migrations++;
      }
      round.counts.pauseMsMax = Math.max(round.counts.pauseMsMax, one.pauseMaxMs);
    }
}
