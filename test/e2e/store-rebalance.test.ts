import assert from "node:assert/strict";
import { test } from "node:test";
import { slotOfKey } from "../../src/kv/keyspace/key-slot.ts";
import { ClusterCaller } from "../chaos/cluster-caller.ts";
import { runAnax } from "../kit/anax.ts";
import { jsonLines } from "../kit/cli.ts";
import { missingPrograms, waitFor } from "../kit/process.ts";
import { startStoreCluster, startStoreNodes, type StoreCluster, type TestNode } from "../kit/store-cluster.ts";

const [missing] = missingPrograms(["redis-cli"]);
const KEYS = 3000;
const COUNTERS = 60;
const ALL_SLOTS = 16_384;

const idOf = async (node: TestNode): Promise<string> => String(await node.call("CLUSTER", "MYID"));

/** By id, as a node sees it. */
async function slotsBy(node: TestNode): Promise<ReadonlyMap<string, number>> {
  const lines = String(await node.call("CLUSTER", "NODES"))
    .trim()
    .split("\n");
  return new Map(
    lines.map((line) => {
      const [id = "", , , , , , , , ...ranges] = line.split(" ");
      const lengths = ranges.map((range) => range.split("-").map(Number)).map(([start = 0, end = start]) => end - start + 1);
      return [id, lengths.reduce((sum, length) => sum + length, 0)];
    }),
  );
}

const clusterState = async (node: TestNode): Promise<Readonly<Record<string, unknown>>> => {
  const reply = (await node.call("CLUSTER", "REBALANCE")) as readonly unknown[];
  return Object.fromEntries(reply.flatMap((item, at) => (at % 2 === 0 ? [[String(item), reply[at + 1]]] : [])));
};

/** Clients that count up while slots move. */
class Writers implements Disposable {
  readonly #caller: ClusterCaller;
  readonly #acknowledged = new Map<string, number>();
  readonly #unknown = new Map<string, number>();
  #stops = false;
  readonly #done: Promise<void>;

  constructor(ports: readonly number[]) {
    this.#caller = new ClusterCaller(ports, () => this.#stops);
    this.#done = this.#run();
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#stops; n++) {
      const key = `counter:${n % COUNTERS}`;
      const { kind } = await this.#caller.call(key, ["INCR", key]);
      if (kind === "not-made") continue;
      const counts = kind === "answer" ? this.#acknowledged : this.#unknown;
      counts.set(key, 1 + (counts.get(key) ?? 0));
    }
  }

  /** Resolves once nothing is written any more. */
  async end(): Promise<void> {
    this.#stops = true;
    await this.#done;
    this.#caller[Symbol.dispose]();
    assert.deepEqual(this.#caller.errors, []);
  }

  [Symbol.dispose](): void {
    this.#stops = true;
  }

  /** Every write that was acknowledged is there, and every key that was there before. */
  async check(ports: readonly number[]): Promise<void> {
    using caller = new ClusterCaller(ports, () => false);
    for (const [key, least] of this.#acknowledged) {
      const read = await caller.call(key, ["GET", key]);
      const value = Number(read.kind === "answer" ? read.reply : NaN);
      assert.ok(value >= least && value <= least + (this.#unknown.get(key) ?? 0), `${key} is ${value} after ${least}`);
    }
    assert.ok(this.#acknowledged.size === COUNTERS);
    for (let n = 0; n < KEYS; n++) {
      const read = await caller.call(`key:${n}`, ["GET", `key:${n}`]);
      assert.equal(read.kind === "answer" ? read.reply : undefined, String(n));
    }
  }
}

async function fill({ nodes }: StoreCluster): Promise<void> {
  using caller = new ClusterCaller(nodes.map(({ port }) => port), () => false); // prettier-ignore
  const set = async (key: string, value: string): Promise<boolean> => (await caller.call(key, ["SET", key, value])).kind === "answer";
  for (let n = 0; n < KEYS; n++) await waitFor(() => set(`key:${n}`, String(n))); // a busy machine may answer late
}

async function join(cluster: StoreCluster): Promise<TestNode> {
  const [first] = cluster.nodes as [TestNode];
  const node = await cluster.add();
  assert.equal(await node.call("CLUSTER", "MEET", "127.0.0.1", String(first.port)), "OK");
  return node;
}

test("anax slots rebalance gives a new node its share while clients write, and drain takes it away", { skip: missing }, async () => {
  await using cluster = await startStoreCluster({ primaries: 3, replicas: 0 });
  const [first] = cluster.nodes as [TestNode];
  await fill(cluster);
  const url = ["--url", `redis://${first.address}`];
  const slots = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runAnax(["slots", ...args, ...url]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.match(await slots("rebalance"), /Nothing to move: no node is further from its share than 5 %/);
  const fourth = await join(cluster);
  const id = await idOf(fourth);
  const planned = jsonLines(await slots("rebalance", "--dry-run", "--json"));
  const shares = planned.filter(({ event }) => event === "node").map(({ have, after }) => `${String(have)} ${String(after)}`);
  assert.deepEqual(shares.toSorted(), ["0 4096", "5461 4096", "5461 4096", "5462 4096"]);
  assert.equal(
    planned.filter(({ event }) => event === "move").reduce((sum, { slots: count }) => sum + Number(count), 0),
    4096,
  );
  assert.equal((await slotsBy(first)).get(id), 0);

  using writers = new Writers(cluster.nodes.map(({ port }) => port));
  const lines = jsonLines(await slots("rebalance", "--moves", "3", "--json"));
  assert.deepEqual(lines.at(-1), { event: "done", slots: 4096 });
  assert.deepEqual([...(await slotsBy(first)).values()], [4096, 4096, 4096, 4096]);
  assert.match(await slots("rebalance"), /Nothing to move/);
  const weighted = await slots("rebalance", "--weight", `${fourth.address}=0.5`);
  assert.match(weighted, /Moved 1755 slots/);
  assert.match(await slots("drain", id.slice(0, 8)), /has no slots \(2341 moved away\); it gets none again/);
  await writers.end(); // who asks a node that has left is told that the cluster is down
  assert.match(await slots("drain", fourth.address, "--forget"), /has no slots \(0 moved away\); it has left the cluster/);
  await writers.check([first.port]);
  const left = await slotsBy(first);
  assert.ok(!left.has(id) && left.size === 3);
  assert.equal(
    [...left.values()].reduce((sum, count) => sum + count),
    ALL_SLOTS,
  );
  assert.match(String(await fourth.call("CLUSTER", "INFO")), /cluster_known_nodes:1\r/);
  const refused = await runAnax(["slots", "drain", "nobody", ...url]);
  assert.deepEqual([refused.code, /names no node/.test(refused.stderr)], [2, true]);
  const ids = [...left.keys()];
  await first.call("CLUSTER", "REBALANCE", "WEIGHT", ids[1]!, "0", ids[2]!, "0");
  const alone = await runAnax(["slots", "drain", ids[0]!, ...url]);
  assert.deepEqual([alone.code, /no other node may have its slots/.test(alone.stderr)], [2, true]);
});

test("by bytes, the node with the heavy slots gets fewer of them", async () => {
  await using cluster = await startStoreNodes(2);
  const [first, second] = cluster.nodes as [TestNode, TestNode];
  await first.call("CLUSTER", "ADDSLOTSRANGE", "0", String(ALL_SLOTS - 1));
  await second.call("CLUSTER", "MEET", "127.0.0.1", String(first.port));
  const value = "x".repeat(200_000);
  for (let n = 0, heavy = 0; heavy < 300; n++) {
    if (slotOfKey(`key:${n}`) >= 2000) continue;
    assert.equal(await first.call("SET", `key:${n}`, value), "OK");
    heavy++;
  }
  const { code, stderr } = await runAnax(["slots", "rebalance", "--by", "bytes", "--url", `redis://${first.address}`]);
  assert.equal(code, 0, stderr);
  const loads: number[] = [];
  for (const node of [first, second]) {
    const { loads: filled } = JSON.parse(String(await node.call("CLUSTER", "REBALANCE", "REPORT"))) as {
      loads: [number, number, number][];
    };
    const slots = (await slotsBy(first)).get(await idOf(node)) ?? 0;
    loads.push(filled.reduce((sum, [, , bytes]) => sum + bytes, 4096 * slots));
    assert.ok(Math.abs(slots - ALL_SLOTS / 2) > 2000, `${slots} slots`);
  }
  const [one = 0, other = 0] = loads;
  assert.ok(Math.abs(one - other) / (one + other) <= 0.05, `${one} and ${other} bytes`);
});

test(
  "slots are spread by themselves: a node joins, whoever plans is killed, another goes on, a node leaves",
  { skip: missing },
  async () => {
    await using cluster = await startStoreCluster({ primaries: 3, replicas: 0 }, { "cluster-rebalance-delay": 1 });
    const [first, second, third] = cluster.nodes as [TestNode, TestNode, TestNode];
    const planner = await join(cluster);
    await waitFor(async () => (await planner.call("CLUSTER", "REPLICATE", await idOf(first))) === "OK");
    await fill(cluster);
    await planner.call("CONFIG", "SET", "cluster-rebalance", "yes");
    await waitFor(async () => (await clusterState(second))["runner"] === (await idOf(planner)));
    for (const node of [first, second, third]) await node.call("CONFIG", "SET", "cluster-rebalance", "yes");
    const fourth = await join(cluster);
    const id = await idOf(fourth);
    using writers = new Writers([first, second, third, fourth].map(({ port }) => port));
    await waitFor(async () => ((await slotsBy(second)).get(id) ?? 0) > 0);
    const planned = await idOf(planner);
    await planner.kill();
    await waitFor(async () => ![planned, ""].includes(String((await clusterState(second))["runner"])));
    await waitFor(async () => (await slotsBy(second)).get(id) === 4096);
    await waitFor(async () => (await clusterState(second))["state"] === "balanced");

    assert.equal(await first.call("CLUSTER", "REBALANCE", "WEIGHT", id, "0"), "OK");
    await waitFor(async () => (await slotsBy(second)).get(id) === 0);
    await writers.end();
    assert.equal(await first.call("CLUSTER", "FORGET", id), "OK");
    await writers.check([first.port]);
    assert.deepEqual(
      [...(await slotsBy(second)).values()].filter((count) => count > 0).toSorted((one, other) => one - other),
      [5461, 5461, 5462],
    );
  },
);
