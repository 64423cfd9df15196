import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { openRegister } from "../../register/open-register.ts";
import { changeMembers, introduced, NO_MEMBERS, parted, promoted, readMembers, type Introduction, type Member } from "./members.ts";

const id = (letter: string): string => letter.repeat(40);
const introduction = (letter: string, port: number): Introduction => ({
  id: id(letter),
  host: "10.0.0.1",
  port,
  tlsPort: 0,
  busPort: port + 10_000,
  hostname: "",
  machine: "m",
});
const member = (letter: string, more: Partial<Member> = {}): Member => ({
  ...introduction(letter, 7000),
  cluster: id("c"),
  shard: id(letter),
  primary: "",
  configEpoch: 0,
  ...more,
});
const primaries = (all: readonly Member[] | undefined): string[] | undefined =>
  all?.map((each) => `${each.id[0]}:${each.primary[0] ?? "-"}`);

test("a new node begins alone, one that is known keeps its place, and says only what is new", () => {
  const first = introduced([], introduction("a", 7001), id("1"))!;
  assert.equal(first[0]!.cluster, id("1"));
  assert.equal(introduced(first, introduction("a", 7001), id("2")), undefined);
  const moved = introduced(first, introduction("a", 7002), id("2"))!;
  assert.deepEqual([moved[0]!.cluster, moved[0]!.port], [id("1"), 7002]);
});

test("whoever was alone at a new node's address is gone; a member of a cluster is not", () => {
  const alone = introduced([], introduction("a", 7001), id("1"))!;
  assert.deepEqual(primaries(introduced(alone, introduction("b", 7001), id("2"))), ["b:-"]);
  const both = [member("a", { port: 7001 }), member("d", { port: 7003 })];
  assert.deepEqual(primaries(introduced(both, introduction("b", 7001), id("2"))), ["a:-", "d:-", "b:-"]);
});

test("who takes a place leads, and all others of the shard follow it; once is enough", () => {
  const shard = [member("a"), member("b", { primary: id("a") }), member("d", { primary: id("a") }), member("e")];
  const next = promoted(shard, id("b"), id("a"));
  assert.deepEqual(primaries(next), ["a:b", "b:-", "d:b", "e:-"]);
  assert.equal(promoted(next!, id("b"), id("a")), undefined);
  assert.deepEqual(primaries(promoted(shard, id("b"), "")), ["a:-", "b:-", "d:a", "e:-"], "who follows nobody is in nobody's shard");
});

test("who takes only some slots of another leads a shard of its own, and all others stay where they are", () => {
  const shard = [member("a"), member("b", { primary: id("a") }), member("d", { primary: id("a") })];
  const next = parted(shard, id("b"), id("9"))!;
  assert.deepEqual(primaries(next), ["a:-", "b:-", "d:a"]);
  assert.deepEqual(
    next.map(({ shard: name }) => name),
    [shard[0]!.shard, id("9"), shard[2]!.shard],
  );
  assert.equal(parted(next, id("b"), id("8")), undefined);
});

test("two that change the list at once both have their way, and what is damaged is refused", async () => {
  await using register = await openRegister("sqlite::memory:", { clock: realClock });
  await Promise.all(
    ["a", "b", "d"].map((letter, n) => changeMembers(register, (all) => introduced(all, introduction(letter, 7001 + n), id("1")))),
  );
  const members = await readMembers(register, NO_MEMBERS);
  assert.deepEqual([members.version, members.all.length], [3, 3]);
  assert.equal(await readMembers(register, members), members);
  await register.compareAndSet("nodes", { expected: 3, value: '[{"id":"no"}]' });
  await assert.rejects(readMembers(register, members), /register holds something that is not ours/);
});
