import assert from "node:assert/strict";
import { test } from "node:test";
import type { Log } from "../../base/log.ts";
import { realClock } from "../../base/clock.ts";
import { openRegister } from "../../register/open-register.ts";
import { aStore, type Reply, type StoreFixture } from "../store-fixture.ts";
import type { Fence } from "../slots/admission.ts";
import { ClusterNode } from "./cluster-node.ts";
import type { Member } from "./members.ts";
import type { Cluster } from "./start-cluster.ts";

const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, child: () => SILENT };
const CLUSTER = "c".repeat(40);
const [SELF, OTHER] = ["a".repeat(40), "b".repeat(40)];
const member = (id: string, listens: number, primary = ""): Member => ({
  id,
  cluster: CLUSTER,
  shard: id,
  primary,
  host: "10.0.0.1",
  port: listens,
  tlsPort: 0,
  busPort: listens + 10_000,
  hostname: "",
  machine: "m",
  configEpoch: 0,
});

/** Slots: `foo` has 12182, `bar` 5061, `hello` 866. */
const MINE = 5061;
const THEIRS = 12_182;

interface Scene extends StoreFixture {
  readonly node: ClusterNode;
}

/** A node that owns 0 to 9999; another owns the rest, or is its primary and owns all. */
async function aNode({ replica = false, upTo = 16_383 } = {}): Promise<Scene> {
  const fixture = aStore({ "cluster-enabled": true });
  const { store } = fixture;
  const self = member(SELF, 7001, replica ? OTHER : "");
  const node = new ClusterNode(store, await openRegister("sqlite::memory:", { clock: realClock }), SILENT, self, CLUSTER);
  node.learnMembers({ version: 1, all: [self, member(OTHER, 7002)] });
  node.learnMap({
    epoch: 2,
    ranges: [
      { start: 0, end: 9999, owner: replica ? OTHER : SELF, epoch: 1, by: "x" },
      { start: 10_000, end: upTo, owner: OTHER, epoch: 2, by: "y" },
    ],
  });
  node.servesUntilMs = Infinity;
  store.cluster = { node } as Cluster;
  return { ...fixture, node };
}

const MOVED = `-MOVED ${THEIRS} 10.0.0.1:7002`;
const DOWN = "-CLUSTERDOWN The cluster is down";

test("a command goes where the slot of its keys is", async () => {
  const { call } = await aNode();
  const rows: readonly (readonly [readonly string[], Reply])[] = [
    [["SET", "bar", "1"], "OK"],
    [["GET", "foo"], MOVED],
    [["MSET", "{bar}1", "a", "{bar}2", "b"], "OK"],
    [["MGET", "bar", "foo"], "-CROSSSLOT Keys in request don't hash to the same slot"],
    [["PING"], "PONG"],
    [["EVAL", "return 1", "1", "foo"], MOVED],
    [["EVAL", "return redis.call('GET', KEYS[1])", "1", "bar"], "1"],
    [
      ["SUBSCRIBE", "foo"],
      ["subscribe", "foo", 1],
    ],
    [["SSUBSCRIBE", "foo"], MOVED],
  ];
  for (const [command, reply] of rows) assert.deepEqual(call(...command), reply, command.join(" "));
});

test("a transaction is refused as a whole where one of its commands belongs elsewhere", async () => {
  const { call, node } = await aNode();
  call("MULTI");
  assert.equal(call("SET", "foo", "1"), MOVED);
  assert.match(String(call("EXEC")), /^-EXECABORT/);
  call("MULTI");
  assert.equal(call("SET", "bar", "1"), "QUEUED");
  node.learnMap({ epoch: 3, ranges: [{ start: 0, end: 16_383, owner: OTHER, epoch: 3, by: "z" }] });
  assert.equal(call("EXEC"), `-MOVED ${MINE} 10.0.0.1:7002`);
  assert.equal(call("PING"), "PONG"); // it is over
});

test("of a slot on its way, keys that have gone are asked for there, and the other node answers who was sent", async () => {
  const { call, node } = await aNode();
  call("SET", "{bar}here", "1");
  node.migrating.set(MINE, OTHER);
  node.settle();
  assert.equal(call("GET", "{bar}here"), "1");
  assert.equal(call("GET", "{bar}gone"), `-ASK ${MINE} 10.0.0.1:7002`);
  assert.equal(call("MGET", "{bar}here", "{bar}gone"), "-TRYAGAIN Multiple keys request during rehashing of slot");
  node.importing.set(THEIRS, OTHER);
  node.settle();
  assert.equal(call("SET", "foo", "1"), MOVED);
  call("ASKING");
  assert.equal(call("SET", "foo", "1"), "OK");
  assert.equal(call("GET", "foo"), MOVED); // ASKING was for one command
  call("ASKING");
  assert.equal(call("MGET", "foo", "{foo}gone"), "-TRYAGAIN Multiple keys request during rehashing of slot");
});

test("without a lease, or where slots have no owner, the cluster is down", async () => {
  const { call, node, store } = await aNode({ upTo: 16_000 });
  assert.equal(call("GET", "bar"), DOWN);
  store.parameters["cluster-require-full-coverage"] = false;
  node.settle();
  assert.equal(call("GET", "bar"), null);
  node.servesUntilMs = -Infinity;
  node.registerFails = true;
  assert.equal(call("GET", "bar"), DOWN);
  store.parameters["cluster-allow-reads-when-down"] = true;
  assert.equal(call("SET", "bar", "1"), "-CLUSTERDOWN The cluster is down and only accepts read commands");
});

test("a replica answers readers that ask for it, and nobody else", async () => {
  const { call } = await aNode({ replica: true });
  assert.equal(call("GET", "bar"), `-MOVED ${MINE} 10.0.0.1:7002`);
  call("READONLY");
  assert.equal(call("GET", "bar"), null);
  assert.equal(call("SET", "bar", "1"), `-MOVED ${MINE} 10.0.0.1:7002`);
  call("READWRITE");
  assert.equal(call("GET", "bar"), `-MOVED ${MINE} 10.0.0.1:7002`);
});

test("writes of fenced slots wait or try again, reads go on until the claim; other slots notice nothing", async () => {
  const { call, node, store } = await aNode();
  const fence = (more: Partial<Fence>): void => node.setFences([{ start: MINE, end: MINE, waits: false, readsToo: false, ...more }]);
  fence({});
  assert.equal(call("GET", "bar"), null);
  assert.match(String(call("SET", "bar", "1")), /^-TRYAGAIN/);
  assert.equal(call("SET", "hello", "1"), "OK");
  fence({ readsToo: true });
  assert.match(String(call("GET", "bar")), /^-TRYAGAIN/);
  fence({ waits: true });
  call("SET", "bar", "1"); // no answer yet
  assert.equal(store.blocked.count, 1);
  node.setFences([]);
  assert.equal(store.blocked.count, 0); // its connection runs the command again
});

test("an older map is refused", async () => {
  const { node } = await aNode();
  node.learnMap({ epoch: 1, ranges: [] });
  assert.equal(node.ownerOf(0), SELF);
  node.floor = { cluster: CLUSTER, epoch: 10 };
  node.learnMap({ epoch: 9, ranges: [] });
  assert.equal(node.ownerOf(0), SELF);
});

test("keys that a script has not declared must be here, and of one slot unless it says otherwise", async () => {
  const { call } = await aNode();
  assert.match(
    String(call("EVAL", "return redis.call('GET', 'foo')", "0")),
    /^-ERR Script attempted to access a non local key in a cluster node/,
  );
  assert.match(
    String(call("EVAL", "#!lua\nredis.call('SET', 'bar', 1) return redis.call('SET', 'hello', 1)", "0")),
    /^-ERR Script attempted to access keys that do not hash to the same slot/,
  );
  assert.equal(call("EVAL", "redis.call('SET', 'bar', 1) redis.call('SET', 'hello', 1) return 'both'", "0"), "both");
  assert.equal(call("EVAL", "#!lua flags=no-cluster\nreturn 1", "0"), "-ERR Can not run script on cluster, 'no-cluster' flag is set.");
});

test("a script that has written goes on to its end, though the lease ends meanwhile; one that has not may not begin", async () => {
  const { call, node, clock } = await aNode();
  let nowMs = 0;
  Object.assign(clock, { nowMs: () => (nowMs += 10) });
  const script = "redis.call('SET', KEYS[1], 1) redis.call('SET', KEYS[1], 2) return redis.call('GET', KEYS[1])";
  node.servesUntilMs = 15;
  assert.equal(call("EVAL", script, "1", "bar"), "2");
  node.registerFails = true; // no answer is to be expected of it
  assert.match(String(call("EVAL", script, "1", "bar")), /^-CLUSTERDOWN/);
});

test("reads and writes of a slot are counted once, in a transaction when it is run", async () => {
  const { node, call } = await aNode();
  const counts = (): readonly number[] => [node.reads[MINE]!, node.writes[MINE]!];
  call("INCR", "bar");
  call("GET", "bar");
  assert.deepEqual(counts(), [1, 1]);
  for (const end of ["EXEC", "DISCARD"]) {
    call("MULTI");
    call("INCR", "bar");
    call("GET", "bar");
    call(end);
    assert.deepEqual(counts(), [2, 2]);
  }
});
