import assert from "node:assert/strict";
import { test } from "node:test";
import { latin1Of } from "../../base/latin1.ts";
import { Request } from "../../wire/resp/request.ts";
import { Client } from "../clients/client.ts";
import { dispatch } from "../dispatch.ts";
import { aStore, type StoreFixture } from "../store-fixture.ts";

interface Waiter {
  readonly client: Client;
  /** What was answered since it was asked last, as RESP without line ends. */
  readonly answer: () => string;
}

/** A client that has sent a command. */
function waiting({ store }: StoreFixture, ...parts: readonly string[]): Waiter {
  const client = new Client(store, store.nextClientId(), { wake: () => {}, resume: () => {}, close: () => {} });
  dispatch(client, Request.of(parts));
  return { client, answer: () => latin1Of(client.reply.take()).replaceAll("\r\n", " ").trim() };
}

test("those who wait are served in the order in which they came, and journals get the commands that do not wait", () => {
  const fixture = aStore();
  const first = waiting(fixture, "BLPOP", "a", "b", "0");
  const second = waiting(fixture, "BRPOP", "b", "0");
  const third = waiting(fixture, "BLMPOP", "0", "1", "b", "LEFT", "COUNT", "5");
  assert.equal(first.answer(), "");
  assert.equal(fixture.call("RPUSH", "b", "1", "2", "3", "4"), 4);
  assert.equal(first.answer(), "*2 $1 b $1 1");
  assert.equal(second.answer(), "*2 $1 b $1 4");
  assert.equal(third.answer(), "*2 $1 b *2 $1 2 $1 3");
  assert.equal(fixture.call("EXISTS", "b"), 0);
  assert.deepEqual(fixture.effects(), ["RPUSH b 1 2 3 4", "LPOP b", "RPOP b", "LPOP b 2"]);
  assert.equal(fixture.store.blocked.count, 0);
});

test("a command that finds something does not wait", () => {
  const fixture = aStore();
  fixture.call("RPUSH", "b", "1", "2");
  fixture.call("ZADD", "z", "1", "x", "2", "y");
  assert.deepEqual(fixture.call("BLPOP", "a", "b", "0"), ["b", "1"]);
  assert.equal(fixture.call("BLMOVE", "b", "c", "LEFT", "RIGHT", "0"), "2");
  assert.equal(fixture.call("BRPOPLPUSH", "c", "c", "0"), "2");
  assert.deepEqual(fixture.call("BZPOPMAX", "a", "z", "0"), ["z", "y", "2"]);
  assert.deepEqual(fixture.call("BZMPOP", "0", "1", "z", "MIN"), ["z", [["x", "1"]]]);
  assert.deepEqual(fixture.effects().slice(2), ["LPOP b", "LMOVE b c LEFT RIGHT", "RPOPLPUSH c c", "ZPOPMAX z", "ZPOPMIN z 1"]);
});

test("an element that is moved on serves who waits for it there", () => {
  const fixture = aStore();
  const last = waiting(fixture, "BLPOP", "c", "0");
  const middle = waiting(fixture, "BLMOVE", "b", "c", "LEFT", "LEFT", "0");
  const first = waiting(fixture, "BRPOPLPUSH", "a", "b", "0");
  fixture.call("LPUSH", "a", "x");
  assert.deepEqual([first.answer(), middle.answer(), last.answer()], ["$1 x", "$1 x", "*2 $1 c $1 x"]);
  assert.equal(fixture.call("DBSIZE"), 0);
});

test("who waits for too long gets null, after seconds with fractions or after more than one timer can take", async () => {
  const fixture = aStore();
  const short = waiting(fixture, "BLPOP", "a", "0.25");
  const long = waiting(fixture, "BZPOPMIN", "a", "3000000");
  await fixture.clock.advance(249);
  assert.equal(short.answer(), "");
  await fixture.clock.advance(1);
  assert.equal(short.answer(), "*-1");
  await fixture.clock.advance(3_000_000_000 - 251);
  assert.equal(long.answer(), "");
  await fixture.clock.advance(1);
  assert.equal(long.answer(), "*-1");
  assert.equal(fixture.store.blocked.count, 0);
});

test("a timeout is a number of seconds from 0 on that a clock can hold", () => {
  const { call } = aStore();
  assert.equal(call("BLPOP", "a", "-1"), "-ERR timeout is negative");
  assert.equal(call("BLPOP", "a", "x"), "-ERR timeout is not a float or out of range");
  assert.equal(call("BLPOP", "a", "0x7FFFFFFFFFFFFFFF"), "-ERR timeout is out of range");
});

test("nobody waits within a transaction, and who waits sees only what is left at its end", () => {
  const fixture = aStore();
  const waiter = waiting(fixture, "BLPOP", "a", "0");
  fixture.call("MULTI");
  for (const command of [
    ["LPUSH", "a", "x"],
    ["DEL", "a"],
    ["BLPOP", "a", "0"],
    ["LPUSH", "a", "y"],
  ])
    fixture.call(...command);
  assert.deepEqual(fixture.call("EXEC"), [1, 1, null, 1]);
  assert.equal(waiter.answer(), "*2 $1 a $1 y");
});

test("a key of another type is waited out; a target of another type is an error that changes nothing", () => {
  const fixture = aStore();
  const waiter = waiting(fixture, "BZPOPMIN", "a", "0");
  const mover = waiting(fixture, "BLMOVE", "a", "text", "LEFT", "LEFT", "0");
  fixture.call("SET", "text", "t");
  fixture.call("SET", "a", "t");
  fixture.call("DEL", "a");
  assert.equal(mover.answer(), "");
  fixture.call("LPUSH", "a", "x");
  assert.equal(mover.answer(), "-WRONGTYPE Operation against a key holding the wrong kind of value");
  assert.deepEqual(fixture.call("LRANGE", "a", "0", "-1"), ["x"]);
  fixture.call("DEL", "a");
  fixture.call("ZADD", "a", "3", "m");
  assert.equal(waiter.answer(), "*3 $1 a $1 m $1 3");
});

test("one that has gone takes nothing", () => {
  const fixture = aStore();
  const gone = waiting(fixture, "BLPOP", "a", "0");
  fixture.store.blocked.release(gone.client);
  fixture.call("LPUSH", "a", "x");
  assert.equal(fixture.call("LLEN", "a"), 1);
});
