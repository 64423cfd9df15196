import assert from "node:assert/strict";
import { test } from "node:test";
import { missingPrograms, waitFor } from "../kit/process.ts";
import { startStoreCluster, type TestNode } from "../kit/store-cluster.ts";
import { RespClient } from "../store/resp-client.ts";

const [missing] = missingPrograms(["redis-cli"]);

const roleOf = async (node: TestNode): Promise<string> => /role:(\w+)/.exec(String(await node.call("INFO", "replication")))?.[1] ?? "";
const linkOf = async (node: TestNode): Promise<string> =>
  /master_link_status:(\w+)/.exec(String(await node.call("INFO", "replication")))?.[1] ?? "";

test("a primary that was stopped acknowledges nothing after its replica has taken over", { skip: missing }, async () => {
  await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 });
  const [primary] = cluster.nodes as [TestNode];
  const id = String(await primary.call("CLUSTER", "MYID"));
  const replicas = (await primary.call("CLUSTER", "REPLICAS", id)) as string[];
  const replica = cluster.nodes.find(({ address }) => replicas[0]?.includes(`${address}@`))!; // it has one
  using early = await RespClient.connect(primary.port);
  assert.equal(await early.call("SET", "hello", "before"), "OK"); // slot 866
  assert.equal(await early.call("WAIT", "1", "5000"), 1);

  primary.process().signal("SIGSTOP");
  const late = early.call("SET", "hello", "late"); // it is there when the primary goes on
  const other = cluster.nodes.find((node) => node !== primary && node !== replica)!; // there are six
  await waitFor(async () => (await roleOf(replica)) === "master");
  assert.equal(await replica.call("GET", "hello"), "before");
  assert.equal(await replica.call("SET", "hello", "after"), "OK");

  primary.process().signal("SIGCONT");
  assert.deepEqual(await late, new Error(`MOVED 866 ${replica.address}`));
  await waitFor(async () => (await roleOf(primary)) === "slave" && (await linkOf(primary)) === "up");
  assert.equal(await early.call("READONLY"), "OK");
  await waitFor(async () => (await early.call("GET", "hello")) === "after");
  await waitFor(async () => String(await other.call("CLUSTER", "NODES")).includes(`${primary.address}@${primary.port + 10_000} slave`));

  // Killed, it has nothing to say on its return either: what it starts with is the register's.
  await replica.kill();
  await waitFor(async () => (await roleOf(primary)) === "master");
  assert.equal(await primary.call("GET", "hello"), "after");
  await replica.start();
  assert.deepEqual(await replica.call("SET", "hello", "stale"), new Error(`MOVED 866 ${primary.address}`));
  assert.match(await cluster.cli("check", primary.address), /All 16384 slots covered/);
});
