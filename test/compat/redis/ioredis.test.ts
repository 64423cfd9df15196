import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { Redis, type RedisOptions } from "ioredis";
import { nameOf, startClientScene, USER, WAYS, type ClientScene, type Way } from "./client-scene.ts";

function connect(scene: ClientScene, { protocol, secure }: Way, more: RedisOptions = {}): Redis {
  const at = secure ? { port: scene.tlsPort, tls: { ca: scene.ca }, ...USER } : { port: scene.port };
  const options = { host: "127.0.0.1", protocol, retryStrategy: () => 50, ...at, ...more } as RedisOptions & { replyMapping: "legacy" };
  return new Redis(options).on("error", () => undefined);
}

for (const way of WAYS)
  test(`ioredis with ${nameOf(way)}`, async (t) => {
    await using scene = await startClientScene();
    const redis = connect(scene, way);
    const other = connect(scene, way, { connectionName: "other" });
    t.after(() => [redis, other].map((each) => each.disconnect()));

    await t.test("types, pipelines, binary values", async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      await redis.set("bytes", bytes, "EX", 100);
      assert.deepEqual(await redis.getBuffer("bytes"), bytes);
      assert.equal(await redis.hset("hash", { a: "1", b: "2" }), 2);
      assert.deepEqual(await redis.hgetall("hash"), { a: "1", b: "2" });
      assert.equal(await redis.zadd("zset", "1.5", "a", "-inf", "b"), 2);
      assert.deepEqual(await redis.zrange("zset", "0", "-1", "WITHSCORES"), ["b", "-inf", "a", "1.5"]);
      assert.deepEqual(await redis.zpopmin("zset"), ["b", "-inf"]);
      const results = await redis.pipeline().incr("n").rpush("list", "a", "b").lpop("hash").get("n").exec();
      assert.deepEqual(
        results?.map(([error, value]) => (error === null ? value : error.message.slice(0, 9))),
        [1, 2, "WRONGTYPE", "1"],
      );
      const many = redis.pipeline();
      for (let index = 0; index < 10_000; index++) many.set(`many:${index}`, index);
      assert.equal((await many.exec())?.length, 10_000);
      const seen = new Set<string>();
      for await (const keys of redis.scanStream({ match: "many:*", count: 500 })) for (const key of keys as string[]) seen.add(key);
      assert.equal(seen.size, 10_000);
      await redis.unlink(...seen);
    });

    await t.test("transactions, WATCH, scripts", async () => {
      assert.deepEqual(await redis.multi().set("a", "1").incr("a").exec(), [
        [null, "OK"],
        [null, 2],
      ]);
      await redis.watch("a");
      await other.set("a", "other");
      assert.equal(await redis.multi().set("a", "mine").exec(), null);
      redis.defineCommand("addAll", {
        numberOfKeys: 1,
        lua: "local sum = 0 for _, n in ipairs(ARGV) do sum = redis.call('INCRBY', KEYS[1], n) end return { sum, KEYS[1] }",
      });
      const scripted = redis as Redis & { addAll(key: string, ...numbers: number[]): Promise<unknown> };
      assert.deepEqual(await scripted.addAll("sum", 1, 2, 3), [6, "sum"]);
      await redis.script("FLUSH");
      assert.deepEqual(await scripted.addAll("sum", 4), [10, "sum"]);
      await assert.rejects(redis.eval("return redis.error_reply('MINE broken')", 0), /^ReplyError: MINE broken$/);
    });

    await t.test("channels, patterns and events of the keyspace", async () => {
      const listener = connect(scene, way);
      t.after(() => listener.disconnect());
      await listener.config("SET", "notify-keyspace-events", "KEA");
      await listener.subscribe("news", "__keyspace@0__:watched");
      await listener.psubscribe("weather.*");
      const got: string[] = [];
      listener.on("message", (channel, message) => got.push(`${channel}=${message}`));
      listener.on("pmessage", (pattern, channel, message) => got.push(`${pattern} ${channel}=${message}`));
      assert.equal(await redis.publish("news", "hello"), 1);
      await redis.publish("weather.rain", "soon");
      await redis.set("watched", "1");
      await redis.publish("news", "last");
      while (got.at(-1) !== "news=last") await once(listener, "message");
      assert.deepEqual(got, ["news=hello", "weather.* weather.rain=soon", "__keyspace@0__:watched=set", "news=last"]);
      await listener.unsubscribe("news", "__keyspace@0__:watched");
      await listener.punsubscribe("weather.*");
      assert.equal(await listener.ping(), "PONG");
    });

    await t.test("blocking commands and streams with groups", async () => {
      const popped = redis.blpop("queue", 10);
      await other.rpush("queue", "job");
      assert.deepEqual(await popped, ["queue", "job"]);
      assert.equal(await redis.brpop("queue", 0.05), null);
      const id = await redis.xadd("stream", "*", "field", "value");
      await redis.xgroup("CREATE", "stream", "group", "0");
      assert.deepEqual(entriesOf(await redis.xreadgroup("GROUP", "group", "me", "COUNT", 10, "STREAMS", "stream", ">")), [
        [id, ["field", "value"]],
      ]);
      assert.equal((await redis.xpending("stream", "group"))[0], 1);
      const next = redis.xreadgroup("GROUP", "group", "me", "BLOCK", 10_000, "STREAMS", "stream", ">");
      const second = await other.xadd("stream", "*", "field", "later");
      assert.deepEqual(entriesOf(await next), [[second, ["field", "later"]]]);
      assert.equal(await redis.xack("stream", "group", id!, second!), 2);
    });

    await t.test("the client goes on when the store was killed, and nothing that was acknowledged is lost", async () => {
      const acknowledged: string[] = [];
      let crashed: Promise<void> | undefined;
      for (let index = 0; acknowledged.length < 600; index++) {
        await redis.rpush("log", String(index)).then(
          () => acknowledged.push(String(index)),
          () => setImmediate(), // the event loop goes on, whatever the client refuses at once
        );
        if (index === 200) crashed = scene.crash();
      }
      await crashed;
      const kept = new Set(await redis.lrange("log", 0, -1));
      assert.deepEqual(
        acknowledged.filter((each) => !kept.has(each)),
        [],
      );
    });
  });

/** Of one stream: RESP3 tells streams as a map, which the client hands on as it is. */
function entriesOf(reply: unknown): unknown {
  return (reply as [string, unknown][])[0]![1];
}
