import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import type { Log } from "../../base/log.ts";
import { openRegister } from "../../register/open-register.ts";
import { Request } from "../../wire/resp/request.ts";
import { Client } from "../clients/client.ts";
import { dispatch } from "../dispatch.ts";
import { slotOfKey } from "../keyspace/key-slot.ts";
import { finishDrops } from "../slots/drop-slots.ts";
import { encodeFrame } from "../slots/migration/frames.ts";
import { LINK_VERSION } from "../slots/migration/link.ts";
import type { OwnedRange } from "../slots/slot-map.ts";
import { aStore, type StoreFixture } from "../store-fixture.ts";
import type { ClusterNode } from "./cluster-node.ts";
import { openSlotMoves } from "./slot-moves.ts";
import { openCluster } from "./start-cluster.ts";

const SILENT: Log = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {}, child: () => SILENT };
const [OTHER, GONE] = ["b".repeat(40), "d".repeat(40)];
const OLD = Buffer.from("old");
const MANY = 20_000;

interface Scene extends StoreFixture, AsyncDisposable {
  readonly node: ClusterNode;
  readonly own: (...ranges: readonly Pick<OwnedRange, "start" | "end" | "owner">[]) => void;
  readonly count: (key: string) => number;
}

/** A node with a lease, another one that lives, and one that is gone. */
async function aNode({ primary = "" } = {}): Promise<Scene> {
  const fixture = aStore({ "cluster-enabled": true, "cluster-require-full-coverage": false });
  const { store } = fixture;
  const cluster = openCluster(store, await openRegister("sqlite::memory:", { clock: realClock }), SILENT);
  store.cluster = cluster;
  const migrations = (store.migrations = await openSlotMoves(cluster));
  const { node } = cluster;
  const all = [{ ...node.self, primary }, ...[OTHER, GONE].map((id) => ({ ...node.self, id, shard: id }))];
  node.learnMembers({ version: 1, all });
  node.servesUntilMs = Infinity;
  node.alive = new Set([OTHER]);
  return {
    ...fixture,
    node,
    own: (...ranges) => {
      const epoch = node.map.epoch + 1;
      node.learnMap({ epoch, ranges: ranges.map((range) => ({ ...range, epoch, by: "start/x" })) });
    },
    count: (key) => store.databases[0]!.slotCount(slotOfKey(key)),
    async [Symbol.asyncDispose]() {
      await migrations[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const at = (key: string, owner: string): Pick<OwnedRange, "start" | "end" | "owner"> => ({
  start: slotOfKey(key),
  end: slotOfKey(key),
  owner,
});

test("keys that are left here of slots whose owner is another go, whatever claim made it so, once that one is seen to live", async () => {
  await using scene = await aNode();
  const { store, node, own, count } = scene;
  const keys = ["hello", "bar", "z", "b", "foo"]; // slots 866, 3300, 5061, 8157, 12182
  for (const key of keys) store.databases[0]!.setStringText(key, OLD);
  own(at("hello", node.id), at("bar", node.id), at("z", node.id), at("foo", node.id));
  node.alive = new Set();
  own(at("hello", OTHER), at("b", OTHER), at("bar", OTHER), at("z", GONE));
  node.importing.set(slotOfKey("bar"), OTHER);
  const counts = (): readonly number[] => keys.map(count);
  assert.deepEqual(counts(), [1, 1, 1, 1, 1]);
  node.alive = new Set([OTHER]);
  node.settle();
  assert.deepEqual(counts(), [0, 1, 1, 1, 1]); // what is imported, may be the last copy, was never this node's, or is nobody's, stays
});

test("of a move that is under way, without a lease, and at a replica nothing is dropped", async () => {
  {
    await using scene = await aNode();
    const { store, node, own, count } = scene;
    store.databases[0]!.setStringText("foo", OLD);
    own(at("foo", node.id));
    store.migrations!.moveAll([{ ranges: [at("foo", "")], to: OTHER }]);
    own(at("foo", OTHER));
    assert.equal(count("foo"), 1);
  }
  for (const replica of [false, true]) {
    await using scene = await aNode({ primary: replica ? OTHER : "" });
    const { store, node, own, count } = scene;
    store.databases[0]!.setStringText("foo", OLD);
    own(at("foo", node.id));
    if (!replica) node.servesUntilMs = -Infinity;
    own(at("foo", OTHER));
    assert.equal(count("foo"), 1);
  }
});

test("what a node has just handed over to its replica is not dropped, here or there", async () => {
  await using scene = await aNode();
  const { call, store, node, own, count } = scene;
  node.learnMembers({ version: 2, all: [node.self, { ...node.self, id: OTHER, primary: node.id }] });
  store.databases[0]!.setStringText("foo", OLD);
  own(at("foo", node.id));
  own(at("foo", OTHER));
  assert.equal(count("foo"), 1);

  own(at("foo", node.id));
  const primary = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
  primary.isPrimary = true;
  const slot = String(slotOfKey("foo"));
  dispatch(primary, Request.of(["ANAX.DROPSLOTS", slot]));
  assert.equal(count("foo"), 1);
  call("ANAX.DROPSLOTS", slot); // a journal's word counts
  assert.equal(count("foo"), 0);
});

/** Of a command as it goes to the journal. */
const wordsOf = (bytes: Buffer): string => [...String(bytes).matchAll(/\r\n([^$*].*)(?=\r)/g)].map(([, word]) => word).join(" ");

/** With many keys of a slot that are being dropped. */
async function dropping(): Promise<Scene & { readonly told: readonly string[] }> {
  const scene = await aNode();
  const { store, node, own } = scene;
  const db = store.databases[0]!;
  for (let n = 0; n < MANY; n++) db.setStringText(`{foo}${n}`, OLD);
  own(at("foo", node.id));
  const told: string[] = [];
  store.propagation.sinks.add((effects) => {
    for (let index = 0; index < effects.count; index++) told.push(wordsOf(effects.bytesOf(index)));
  });
  own(at("foo", OTHER));
  assert.ok(db.slotCount(slotOfKey("foo")) > 0 && db.dropping.size === 1);
  assert.equal(node.ownerOf(slotOfKey("foo")), OTHER);
  return { ...scene, told };
}

const someTurns = async (): Promise<void> => {
  for (let n = 0; n < 200; n++) await new Promise((resolve) => setImmediate(resolve));
};

test("a slot that is imported again while its old keys are dropped has none of them, and keeps what is imported", async () => {
  await using scene = await dropping();
  const { call, node, told, count } = scene;
  const slot = String(slotOfKey("foo"));
  call("CLUSTER", "SETSLOT", slot, "IMPORTING", OTHER);
  assert.equal(node.importing.get(Number(slot)), OTHER);
  assert.equal(count("foo"), 0);
  await someTurns();
  call("ASKING");
  assert.equal(call("SET", "{foo}1", "imported"), "OK");
  await someTurns();
  assert.equal(count("foo"), 1);
  assert.deepEqual(told.slice(0, 3), [`ANAX.DROPSLOTS ${slot}`, `ANAX.DROPSLOTS ${slot}`, "SET {foo}1 imported"]);
  assert.match(String(call("CLUSTER", "SETSLOT", slot, "STABLE")), /^-ERR Keys of hash slot 12182 have been imported/);
});

test("no move begins to slots whose old keys are still being dropped, or that are imported", async () => {
  for (const imported of [false, true]) {
    await using scene = await dropping();
    const { node, store } = scene;
    const client = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
    const slot = slotOfKey("foo");
    if (imported) {
      finishDrops(store, [slot]);
      node.importing.set(slot, OTHER);
    }
    const migrations = store.migrations!;
    migrations.link(client, LINK_VERSION);
    const init = { kind: "init", job: "1".repeat(40), attempt: 1, from: OTHER, expected: [{ start: slot, end: slot, epoch: 1 }] } as const;
    migrations.received(encodeFrame(init), client);
    assert.match(String(client.reply.view()), imported ? /are being imported/ : /are still being removed/);
    assert.deepEqual(migrations.statuses(), []);
  }
});

test("a slot that this node owns again while its old keys are dropped has none of them", async () => {
  await using scene = await dropping();
  const { call, node, own, count } = scene;
  own(at("foo", node.id));
  assert.equal(count("foo"), 0);
  assert.equal(call("SET", "{foo}1", "new"), "OK");
  await someTurns();
  assert.equal(count("foo"), 1);
});

test("keys go a little with each turn, and what comes of a database that is cleared or emptied meanwhile stays", async () => {
  await using scene = await dropping();
  const { store, node, own, count } = scene;
  store.databases[0]!.clear();
  node.importing.set(slotOfKey("foo"), OTHER);
  store.databases[0]!.setStringText("{foo}1", OLD);
  await someTurns();
  assert.equal(count("foo"), 1);
  node.importing.clear();
  own(at("foo", OTHER));
  await someTurns();
  assert.equal(count("foo"), 0);
  finishDrops(store, [slotOfKey("foo")]); // nothing is left to be done
  assert.equal(store.databases[0]!.dropping.size, 0);
});
