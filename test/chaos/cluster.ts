import { temporaryDirectory } from "../kit/temporary-directory.ts";
import { ChaosNode, until } from "./node.ts";

export const NODES = 3;
const SLOTS = 16_384;
const SETTLE_MS = 60_000;
/** A port that was free may be another program's by the time a node wants it. */
const TRIES_MAX = 3;

/** Three nodes that share a register, each with a third of the slots to begin with. */
export interface ChaosCluster extends AsyncDisposable {
  readonly nodes: readonly ChaosNode[];
  /** Names of moves that have been seen to finish. */
  readonly moved: Set<string>;
}

export async function startCluster(server: string): Promise<ChaosCluster> {
  for (let tries = 1; ; tries++)
    try {
      return await makeCluster(server);
    } catch (error) {
      console.error(`no cluster at try ${tries}:`, error instanceof SuppressedError ? error.suppressed : error);
      if (tries === TRIES_MAX) throw error;
    }
}

async function makeCluster(server: string): Promise<ChaosCluster> {
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await temporaryDirectory());
  const nodes: ChaosNode[] = [];
  for (let index = 0; index < NODES; index++) nodes.push(scope.use(await ChaosNode.make({ index, server, directory: directory.path })));
  const starts = await Promise.allSettled(nodes.map((node) => node.start())); // what is given up must not be under way
  for (const start of starts) if (start.status === "rejected") throw start.reason;
  await form(nodes);
  const owned = scope.move();
  return { nodes, moved: new Set(), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function form(nodes: readonly ChaosNode[]): Promise<void> {
  const [first] = nodes;
  for (const node of nodes) {
    node.id = String(await node.call("CLUSTER", "MYID"));
    const [start, end] = [Math.floor((node.index * SLOTS) / NODES), Math.floor(((node.index + 1) * SLOTS) / NODES) - 1];
    if (node !== first) await node.call("CLUSTER", "MEET", "127.0.0.1", String(first!.proxy.port));
    await must("the node belongs to the cluster", async () => String(await first!.call("CLUSTER", "NODES")).includes(node.id));
    const given = await node.call("CLUSTER", "ADDSLOTSRANGE", String(start), String(end));
    if (given !== "OK") throw new Error(`no slots for ${node.index}: ${String(given)}`);
  }
  await must("the cluster is there", async () => (await Promise.all(nodes.map((node) => node.isServing()))).every(Boolean));
}

async function must(what: string, done: () => Promise<boolean>): Promise<void> {
  if (!(await until(SETTLE_MS, done))) throw new Error(`stuck: ${what}`);
}
