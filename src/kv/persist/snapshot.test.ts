import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import * as fc from "fast-check";
import { digestOf } from "../digest.ts";
import { aStore } from "../store-fixture.ts";
import { beginRdb } from "./rdb-of-store.ts";
import { RdbDecoder } from "./rdb/rdb-decoder.ts";
import { RdbLoader } from "./rdb-loader.ts";
import { replaceAll, stagedFor } from "./saves.ts";

type Fixture = ReturnType<typeof aStore>;

function digestOfRdb(chunks: readonly Buffer[]): string {
  const copy = aStore();
  const staged = stagedFor(copy.store);
  const decoder = new RdbDecoder(new RdbLoader(copy.store, staged, false), copy.store.parameters, true);
  for (const chunk of chunks) decoder.feed(chunk);
  decoder.end();
  replaceAll(copy.store, staged);
  return digestOf(copy.store);
}

const key = fc.nat({ max: 300 }).map((number) => `key:${number}`);
const anyCommand = fc.oneof(
  fc.tuple(fc.constant("SET"), key, fc.constantFrom("1", "x".repeat(300), "y".repeat(20_000))),
  fc.tuple(fc.constant("APPEND"), key, fc.constant("more")),
  fc.tuple(fc.constant("INCR"), key),
  fc.tuple(fc.constant("DEL"), key),
  fc.tuple(fc.constant("RPUSH"), key, fc.constant("element")),
  fc.tuple(fc.constant("SADD"), key, fc.constantFrom("1", "member")),
  fc.tuple(fc.constant("HSET"), key, fc.constant("field"), fc.constantFrom("1", "2")),
  fc.tuple(fc.constant("ZADD"), key, fc.constant("1"), fc.constant("member")),
  fc.tuple(fc.constant("XADD"), key, fc.constant("*"), fc.constant("f"), fc.constant("v")),
  fc.tuple(fc.constant("PEXPIRE"), key, fc.constant("100000")),
  fc.tuple(fc.constant("PERSIST"), key),
  fc.tuple(fc.constant("SETRANGE"), key, fc.constant("3"), fc.constant("abc")),
  fc.tuple(fc.constant("RENAME"), key, key),
  fc.tuple(fc.constant("COPY"), key, key, fc.constant("REPLACE")),
  fc.tuple(fc.constant("MOVE"), key, fc.constant("1")),
  fc.tuple(fc.constant("SELECT"), fc.constantFrom("0", "1")),
  fc.constant(["FLUSHDB"] as const),
  fc.constant(["SWAPDB", "0", "1"] as const),
);

function fill({ call }: Fixture): void {
  for (let i = 0; i < 300; i++) {
    const name = `key:${i}`;
    if (i % 5 === 0) call("SET", name, `value ${i}`);
    else if (i % 5 === 1) call("RPUSH", name, "a", "b");
    else if (i % 5 === 2) call("SADD", name, "1");
    else if (i % 5 === 3) call("HSET", name, "f", "v");
    else call("ZADD", name, "1", "m");
  }
}

test("a snapshot shows one moment, whatever is changed while it is taken", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(anyCommand, fc.nat({ max: 2 })), { maxLength: 60 }), async (commands) => {
      const fixture = aStore();
      fill(fixture);
      // The one before leaves its marks on the records.
      for (let round = 0; round < 2; round++) {
        const digest = digestOf(fixture.store);
        using slot = fixture.store.snapshots.reserve();
        // A delay of almost nothing: one key a turn.
        const chunks: Buffer[] = [];
        const walk = slot.begin(beginRdb(fixture.store), () => 1e-9);
        const reading = (async (): Promise<void> => {
          for await (const chunk of walk) chunks.push(chunk);
        })();
        for (const [parts, turns] of commands) {
          fixture.call(...(parts as readonly string[]));
          for (let i = 0; i < turns; i++) await nextTurn();
          await fixture.clock.advance(1);
        }
        for (let i = 0; fixture.store.snapshots.busy && i < 5000; i++) {
          await nextTurn();
          await fixture.clock.advance(1);
        }
        await reading;
        assert.equal(digestOfRdb(chunks), digest);
      }
    }),
    { numRuns: 15 },
  );
});

test("one that is given up leaves room for the next", async () => {
  const fixture = aStore();
  fill(fixture);
  {
    using slot = fixture.store.snapshots.reserve();
    const walk = slot.begin(beginRdb(fixture.store), () => 0);
    void walk.next();
    await walk.return();
  }
  while (fixture.store.snapshots.busy) await nextTurn();
  const digest = digestOf(fixture.store);
  using slot = fixture.store.snapshots.reserve();
  const chunks: Buffer[] = [];
  for await (const chunk of slot.begin(beginRdb(fixture.store), () => 0)) chunks.push(chunk);
  assert.equal(digestOfRdb(chunks), digest);
});

test("it knows which keys are whose, and what they held, through SWAPDB and FLUSHALL", async () => {
  for (const command of [["SWAPDB", "0", "1"], ["FLUSHALL"], ["FLUSHDB"]]) {
    const fixture = aStore();
    fill(fixture);
    const digest = digestOf(fixture.store);
    using slot = fixture.store.snapshots.reserve();
    const walk = slot.begin(beginRdb(fixture.store), () => 0);
    // Before the walk has taken a step.
    fixture.call(...command);
    assert.notEqual(digestOf(fixture.store), digest);
    fixture.call("SET", "new", "1");
    const chunks: Buffer[] = [];
    for await (const chunk of walk) chunks.push(chunk);
    assert.equal(digestOfRdb(chunks), digest, command[0]);
  }
});
