import assert from "node:assert/strict";
import { test } from "node:test";
import { missingPrograms, waitFor } from "../kit/process.ts";
import { startStoreCluster, type StoreCluster, type TestNode } from "../kit/store-cluster.ts";
import { RespClient } from "../store/resp-client.ts";

const [missing] = missingPrograms(["redis-cli"]);
const KEYS = 2000;

const idOf = async (node: TestNode): Promise<string> => String(await node.call("CLUSTER", "MYID"));

/** Keys that a node has, of all its slots. */
const sizeOf = async (node: TestNode): Promise<number> => Number(await node.call("DBSIZE"));

/** Writes keys where they belong, following redirections. */
async function fill({ nodes }: StoreCluster, count: number): Promise<void> {
  using clients = new DisposableStack();
  const byPort = new Map<number, RespClient>();
  const clientOf = async (port: number): Promise<RespClient> => {
    const known = byPort.get(port) ?? clients.use(await RespClient.connect(port));
    byPort.set(port, known);
    return known;
  };
  for (let n = 0; n < count; n++) {
    const reply = await (await clientOf(nodes[0]!.port)).call("SET", `key:${n}`, String(n));
    if (!(reply instanceof Error)) continue;
    const port = Number(/^MOVED \d+ 127\.0\.0\.1:(\d+)$/.exec(reply.message)?.[1]);
    assert.equal(await (await clientOf(port)).call("SET", `key:${n}`, String(n)), "OK");
  }
}

test(
  "redis-cli --cluster creates, checks, reshards, rebalances, mends, grows and shrinks a cluster of stores",
  { skip: missing },
  async (t) => {
    // As Redis' own default: redis-cli's plans do not survive a failover.
    await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 }, { "cluster-node-timeout": 15_000 });
    const [first, second, third] = cluster.nodes as [TestNode, TestNode, TestNode];
    const check = async (): Promise<string> => cluster.cli("check", first.address);

    await t.test("a cluster was created, and all nodes agree", async () => {
      await fill(cluster, KEYS);
      const [checked, info] = [await check(), await cluster.cli("info", third.address)];
      assert.match(checked, /All nodes agree about slots configuration[\s\S]*All 16384 slots covered/);
      assert.match(info, new RegExp(`${KEYS} keys in 3 masters`));
      assert.match(await cluster.cli("call", second.address, "PING"), /(?:PONG[\s\S]*){6}/);
    });

    await t.test("slots are resharded with their keys", async () => {
      const before = await sizeOf(second);
      const moves = ["--cluster-from", await idOf(first), "--cluster-to", await idOf(second), "--cluster-slots", "20", "--cluster-yes"];
      await cluster.cli("reshard", first.address, ...moves);
      await check();
      assert.ok((await sizeOf(second)) > before);
      assert.match(await cluster.cli("info", first.address), new RegExp(`${KEYS} keys in 3 masters`));
    });

    await t.test("a move that was broken off is mended, and so are slots that nobody has", async () => {
      await first.call("CLUSTER", "SETSLOT", "5000", "MIGRATING", await idOf(second));
      await second.call("CLUSTER", "SETSLOT", "5000", "IMPORTING", await idOf(first));
      await third.call("CLUSTER", "DELSLOTS", "16000", "16001");
      assert.match(String(await first.call("CLUSTER", "INFO")), /cluster_slots_assigned:16382\r/);
      await assert.rejects(check(), /Not all 16384 slots are covered/);
      await cluster.cli("fix", first.address, "--cluster-yes");
      await check();
    });

    await t.test("a node that is stopped holds no change up", async () => {
      const replica = cluster.nodes.at(-1)!;
      replica.process().signal("SIGSTOP");
      try {
        assert.equal(await third.call("CLUSTER", "DELSLOTS", "16100"), "OK");
        assert.match(String(await first.call("CLUSTER", "INFO")), /cluster_slots_assigned:16383\r/);
        assert.equal(await third.call("CLUSTER", "ADDSLOTS", "16100"), "OK");
      } finally {
        replica.process().signal("SIGCONT");
      }
      await waitFor(async () => String(await replica.call("CLUSTER", "INFO")).includes("cluster_state:ok"));
      await check();
    });

    await t.test("a node comes, gets its share, gives it back, and leaves", async () => {
      const fourth = await cluster.add();
      await cluster.cli("add-node", fourth.address, first.address);
      await check();
      await cluster.cli(
        "rebalance",
        first.address,
        "--cluster-use-empty-masters",
        "--cluster-threshold",
        "1",
        "--cluster-weight",
        `${await idOf(fourth)}=0.005`,
      );
      await check();
      assert.match(await cluster.cli("info", first.address), new RegExp(`${KEYS} keys in 4 masters`));
      const id = await idOf(fourth);
      await cluster.cli("rebalance", first.address, "--cluster-weight", `${id}=0`);
      await cluster.cli("del-node", first.address, id);
      await check();
      assert.match(await cluster.cli("info", first.address), new RegExp(`${KEYS} keys in 3 masters`));
      assert.match(String(await fourth.call("CLUSTER", "INFO")), /cluster_known_nodes:1\r/);
    });
  },
);
