import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../../base/random.ts";
import { slotOfKey } from "../../keyspace/key-slot.ts";
import { aStore, type StoreFixture } from "../../store-fixture.ts";
import { Copy } from "./copy.ts";
import { Staging } from "./staging.ts";

const TAGS = Array.from({ length: 40 }, (_, n) => `t${n}`);
/** All slots of the first half of the tags. */
const MOVING = TAGS.slice(0, 20).map((tag) => slotOfKey(tag));
const isMoving = (tag: string): boolean => MOVING.includes(slotOfKey(tag));
const SCRIPT = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('EXPIRE', KEYS[1], 100) redis.call('APPEND', KEYS[2], ARGV[1]) return 1";

type Form = (random: Random, key: () => string) => readonly (readonly string[])[];

const value = (random: Random): string => String(random.below(1000));

/** Of each kind of change: of one key, of several, by scripts and transactions, with an end of its own, and such as go on in another form than they came in. */
const FORMS: readonly Form[] = [
  (random, key) => [["SET", `${key()}s`, value(random)]],
  (random, key) => [["SET", `${key()}s`, value(random), "PX", String(1 + random.below(5000))]],
  (random, key) => [["APPEND", `${key()}a`, value(random)]],
  (_, key) => [["INCRBYFLOAT", `${key()}n`, "0.5"]],
  (random, key) => [["RPUSH", `${key()}l`, value(random), value(random)]],
  (_, key) => [["LMOVE", `${key()}l`, `${key()}l`, "LEFT", "RIGHT"]],
  (_, key) => [["LPOP", `${key()}l`]],
  (random, key) => [["SADD", `${key()}t`, value(random), value(random)]],
  (_, key) => [["SPOP", `${key()}t`]],
  (random, key) => [["ZADD", `${key()}z`, value(random), value(random)]],
  (random, key) => [["HSET", `${key()}h`, value(random), value(random)]],
  (random, key) => [["SETRANGE", `${key()}a`, String(random.below(50)), "xy"]],
  (_, key) => [["PFADD", `${key()}p`, "a", "b"]],
  (random, key) => [["PEXPIRE", `${key()}l`, String(1 + random.below(5000))]],
  (_, key) => [["GETEX", `${key()}s`, "PERSIST"]],
  (_, key) => [["DEL", `${key()}s`, `${key()}l`]],
  (_, key) => [["UNLINK", `${key()}h`]],
];

/** The same with several keys of one slot. */
const MANY: readonly ((random: Random, tag: string) => readonly (readonly string[])[])[] = [
  (_, tag) => [["RENAME", `{${tag}}0s`, `{${tag}}1s`]],
  (_, tag) => [["COPY", `{${tag}}0t`, `{${tag}}1t`, "REPLACE"]],
  (_, tag) => [["SUNIONSTORE", `{${tag}}2t`, `{${tag}}0t`, `{${tag}}1t`]],
  (_, tag) => [["SORT", `{${tag}}0t`, "STORE", `{${tag}}3l`]],
  (random, tag) => [["MSET", `{${tag}}0s`, value(random), `{${tag}}1s`, value(random)]],
  (random, tag) => [["EVAL", SCRIPT, "2", `{${tag}}0s`, `{${tag}}1a`, value(random)]],
  (random, tag) => [["MULTI"], ["SET", `{${tag}}0s`, value(random)], ["RPUSH", `{${tag}}0l`, "m"], ["EXEC"]],
];

function commandsOf(random: Random): readonly (readonly string[])[] {
  if (random.below(2000) === 0) return [["FLUSHALL"]];
  const tag = TAGS[random.below(TAGS.length)]!;
  if (random.below(3) === 0) return MANY[random.below(MANY.length)]!(random, tag);
  return FORMS[random.below(FORMS.length)]!(random, () => `{${tag}}${random.below(4)}`);
}

/** What each key of the moving slots holds, and how long. */
function heldBy({ call }: StoreFixture): Map<string, unknown> {
  const keys = (call("KEYS", "*") as string[]).filter((key) => isMoving(/\{(.*)\}/.exec(key)![1]!)).toSorted();
  return new Map(keys.map((key) => [key, [call("TYPE", key), call("DEBUG", "DIGEST-VALUE", key), call("PEXPIRETIME", key)]]));
}

for (const others of [true, false])
  test(`what is written while slots are walked comes to the target as it is here, ${others ? "with a journal" : "where nobody else takes it"}`, async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = createRandom(seed);
      const [source, target] = [aStore({ "cluster-enabled": true }), aStore({ "cluster-enabled": true })];
      if (!others) source.store.propagation.sinks.clear();
      const write = (times: number): void => {
        for (let n = 0; n < times; n++) for (const words of commandsOf(random)) source.call(...words);
      };
      write(300);
      const staging = new Staging(target.store, MOVING);
      const walk = { isOver: false };
      using copy = new Copy(source.store, MOVING, {
        entry(payload) {
          staging.apply(payload);
          copy.sent(payload);
          if (!walk.isOver) copy.walk(1 + random.below(200));
        },
        walked: () => void (walk.isOver = true),
      });
      copy.walk(1);
      for (let turn = 0; !walk.isOver || turn < 200; turn++) {
        assert.ok(turn < 5000, `seed ${seed} does not come to an end`);
        write(random.below(6));
        const ms = random.below(4) === 0 ? 50 : 1;
        for (const { clock, store } of [source, target]) {
          await clock.advance(ms);
          store.tick();
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      copy.flush();
      assert.ok(staging.promote());
      assert.deepEqual(heldBy(target), heldBy(source), `seed ${seed}`);
    }
  });
