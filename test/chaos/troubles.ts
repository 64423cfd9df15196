import type { Random } from "../../src/base/random.ts";
import { pause } from "./cluster-caller.ts";
import { until, type ChaosNode } from "./node.ts";
import { cancel } from "./operator.ts";
import { LINK_FAULTS } from "./proxy.ts";
import type { Round } from "./round.ts";

const EDGES = [
  ...["preparing", "recording", "connecting", "copying", "following", "fencing", "confirming", "deciding", "finished"].map(
    (state) => `source.${state}`,
  ),
  ...["accepting", "staging", "syncing", "confirmed", "promoting", "finished"].map((state) => `target.${state}`),
].flatMap((edge) => [`${edge}.before`, `${edge}.after`]);
const EDGE_MS = 700;
const HEAL_MS = 60_000;
const HOUR_MS = 3_600_000;

type Trouble = (round: Round, node: ChaosNode, random: Random) => Promise<void>;

/** What happens to a process and its disk: one after the other. */
const PROCESS: Readonly<Record<string, Trouble>> = {
  async kill(round, node, random) {
    await node.kill();
    await pause(random.below(300));
    await startAgain(round, node);
  },

  async killAtEdge(round, node, random) {
    const edge = oneOf(EDGES, random);
    if ((await node.call("DEBUG", "MIGRATION-FAILPOINT", edge, "KILL", "1")) !== "OK") return;
    const isGone = await until(EDGE_MS, () => round.isOver || !node.isRunning, 20);
    if (!isGone || node.isRunning) return void (await node.call("DEBUG", "MIGRATION-FAILPOINT", "NONE"));
    round.say(`killed ${node.index} at ${edge}`);
    round.counts.kills++;
    await node.kill();
    await startAgain(round, node);
  },

  async stop(_round, node, random) {
    node.signal("SIGSTOP");
    await pause(50 + random.below(900));
    node.signal("SIGCONT");
  },

  async cancelAtEdge(round, node, random) {
    const edge = oneOf(EDGES, random);
    if ((await node.call("DEBUG", "MIGRATION-FAILPOINT", edge, "STOP", "1")) !== "OK") return;
    await until(EDGE_MS, () => round.isOver || node.isStopped, 10);
    if (!node.isStopped) await node.call("DEBUG", "MIGRATION-FAILPOINT", "NONE");
    if (!node.isStopped) return;
    round.say(`cancel ${node.index} at ${edge}`);
    await cancel(round, node, true);
    node.signal("SIGCONT"); // if it could not be told
  },

  async fillDisk(round, node, random) {
    await node.disk.fill();
    await pause(50 + random.below(600));
    if (random.below(4) === 0) {
      await node.kill();
      await node.start().catch((error: unknown) => round.say(`${node.index} does not start on a full disk: ${String(error)}`));
    }
    await node.disk.empty();
    if (!node.isRunning) await startAgain(round, node);
  },

  async failSyncs(round, node, random) {
    node.tell({ do: "syncs", mode: random.below(2) === 0 ? "failed" : "lost" });
    await pause(20 + random.below(500));
    if (random.below(4) === 0) {
      await node.kill();
      await startAgain(round, node);
    }
    node.tell({ do: "syncs", mode: "good" });
  },
};

/** What happens around it, at the same time. */
const AROUND: Readonly<Record<string, Trouble>> = {
  spoilLink,
  spoilLinkToo: spoilLink,

  /** Until the end of the round, or its process. */
  async stepClock(round, node, random) {
    round.workload.clocksAgree = false;
    node.tell({ do: "clock", offsetMs: oneOf([-HOUR_MS, -5000, -500, 500, 5000, HOUR_MS], random) });
  },

  async delayRegister(_round, node, random) {
    node.tell({ do: "register", maxMs: 1 + random.below(1500), seed: random.below(2 ** 31) });
    await pause(100 + random.below(900));
    node.tell({ do: "register", maxMs: 0, seed: 0 });
  },
};

export const troubleProcesses = (round: Round, random: Random): Promise<void> => trouble(round, random, PROCESS);
export const troubleSurroundings = (round: Round, random: Random): Promise<void> => trouble(round, random, AROUND);

async function trouble(round: Round, random: Random, kinds: Readonly<Record<string, Trouble>>): Promise<void> {
  const { only } = round;
  const names = Object.keys(kinds).filter((name) => only.length === 0 || only.includes(name));
  while (!round.isOver && names.length > 0) {
    await pause(random.below(300));
    const [name, node] = [oneOf(names, random), oneOf(round.nodes, random)];
    round.say(`${name} ${node.index}`);
    round.counts.faults++;
    if (name === "kill") round.counts.kills++;
    await kinds[name]!(round, node, random);
  }
}

async function spoilLink(round: Round, node: ChaosNode, random: Random): Promise<void> {
  const kind = oneOf(LINK_FAULTS, random);
  round.say(`${kind} before ${node.index}`);
  node.proxy.fault(kind, random.below(3) === 0 ? 0 : random.below(20_000));
  await pause(100 + random.below(1200));
  node.proxy.heal();
}

async function startAgain(round: Round, node: ChaosNode): Promise<void> {
  await node.start().catch((error: unknown) => round.violation(`node ${node.index} does not start: ${(error as Error).message}`));
}

/** All is as it should be again: also where an order to stop at an edge was not taken back in time. False: a node is not. */
export async function heal(round: Round): Promise<boolean> {
  round.say("heal");
  let areWell = true;
  for (const node of round.nodes) {
    node.proxy.heal();
    await node.disk.empty();
    const isWell = await until(HEAL_MS, async () => {
      if (!node.isRunning) await startAgain(round, node);
      node.signal("SIGCONT");
      return (await node.call("DEBUG", "MIGRATION-FAILPOINT", "NONE")) === "OK";
    });
    if (!isWell) round.violation(`stuck: node ${node.index} does not answer`);
    areWell &&= isWell;
    node.tell({ do: "clock", offsetMs: 0 });
    node.tell({ do: "syncs", mode: "good" });
    node.tell({ do: "register", maxMs: 0, seed: 0 });
  }
  return areWell;
}

const oneOf = <T>(items: readonly T[], random: Random): T => items[random.below(items.length)]!;
