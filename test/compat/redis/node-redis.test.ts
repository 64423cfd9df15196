import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createClient, createClientPool, RESP_TYPES, WatchError } from "redis";
import { waitFor } from "../../kit/process.ts";
import { nameOf, startClientScene, USER, WAYS, type ClientScene, type Way } from "./client-scene.ts";

function clientOf(scene: ClientScene, { protocol, secure }: Way) {
  const socket = { host: "127.0.0.1", reconnectStrategy: () => 20 };
  return createClient({
    RESP: protocol,
    ...(secure && USER),
    socket: secure ? { ...socket, port: scene.tlsPort, tls: true as const, ca: scene.ca } : { ...socket, port: scene.port },
  }).on("error", () => undefined);
}

for (const way of WAYS)
  test(`node-redis with ${nameOf(way)}`, async (t) => {
    await using scene = await startClientScene();
    const client = clientOf(scene, way);
    await client.connect();
    t.after(() => client.destroy());

    await t.test("types and binary values", async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      await client.set("bytes", bytes, { expiration: { type: "EX", value: 100 } });
      const inBytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
      assert.deepEqual(await inBytes.get("bytes"), bytes);
      assert.equal(await client.hSet("hash", { a: "1", b: "2" }), 2);
      assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
      await client.zAdd("zset", [
        { value: "a", score: 1.5 },
        { value: "b", score: -Infinity },
      ]);
      assert.deepEqual(
        (await client.zRangeWithScores("zset", 0, -1)).map(({ value, score }) => [value, score]),
        [
          ["b", -Infinity],
          ["a", 1.5],
        ],
      );
      assert.equal(await client.zScore("zset", "a"), 1.5);
      assert.deepEqual((await client.sendCommand(["SADD", "set", "x", "y"])) as unknown, 2);
      assert.deepEqual(Array.from(await client.sMembers("set")).toSorted(), ["x", "y"]);
      await client.geoAdd("places", { longitude: 13.4, latitude: 52.5, member: "Berlin" });
      assert.deepEqual(await client.geoSearch("places", { longitude: 13, latitude: 52 }, { radius: 100, unit: "km" }), ["Berlin"]);
      const keys: string[] = [];
      for await (const page of client.scanIterator({ MATCH: "*s*" })) keys.push(...page);
      assert.deepEqual(keys.toSorted(), ["bytes", "hash", "places", "set", "zset"]);
      const config = await client.configGet("maxmemory*");
      assert.equal(config["maxmemory-policy"], "noeviction");
      assert.equal((await client.commandInfo(["get"]))[0]?.arity, 2);
    });

    await t.test("transactions, WATCH, scripts, functions, pools", async () => {
      assert.deepEqual(await client.multi().set("a", "1").incr("a").get("a").exec(), ["OK", 2, "2"]);
      const other = clientOf(scene, way);
      await other.connect();
      await client.watch("a");
      await other.set("a", "other");
      await assert.rejects(client.multi().set("a", "mine").exec(), WatchError);
      assert.equal(await client.eval("return redis.call('APPEND', KEYS[1], ARGV[1])", { keys: ["a"], arguments: ["!"] }), 6);
      await client.functionLoad("#!lua name=lib\nredis.register_function('twice', function(_, args) return args[1] * 2 end)", {
        REPLACE: true,
      });
      assert.equal(await client.fCall("twice", { arguments: ["21"] }), 42);
      other.destroy();
      if (way.secure) return;
      const pool = createClientPool({ RESP: way.protocol, socket: { host: "127.0.0.1", port: scene.port } });
      await pool.connect();
      await Promise.all(Array.from({ length: 200 }, () => pool.incr("pooled")));
      assert.equal(await pool.get("pooled"), "200");
      pool.destroy();
    });

    await t.test("channels, patterns and sharded channels", async () => {
      const listener = client.duplicate();
      await listener.connect();
      const got: string[] = [];
      await listener.subscribe("news", (message, channel) => void got.push(`${channel}=${message}`));
      await listener.pSubscribe("weather.*", (message, channel) => void got.push(`${channel}=${message}`));
      await listener.sSubscribe("shard", (message, channel) => void got.push(`${channel}=${message}`));
      await client.publish("news", "hello");
      await client.publish("weather.rain", "soon");
      await client.sPublish("shard", "own");
      await waitFor(async () => got.length === 3);
      assert.deepEqual(got, ["news=hello", "weather.rain=soon", "shard=own"]);
      if (way.protocol === 3) assert.equal(await listener.ping(), "PONG");
      listener.destroy();
    });

    await t.test("blocking commands and streams with groups", async () => {
      const blocked = client.duplicate();
      await blocked.connect();
      const popped = blocked.blPop("queue", 10);
      await client.rPush("queue", "job");
      assert.deepEqual({ ...(await popped) }, { key: "queue", element: "job" });
      await client.xGroupCreate("stream", "group", "$", { MKSTREAM: true });
      const next = blocked.xReadGroup("group", "me", { key: "stream", id: ">" }, { BLOCK: 10_000 });
      const id = await client.xAdd("stream", "*", { field: "value" });
      const [stream] = ((await next) ?? []) as unknown as { name: string; messages: { id: string; message: object }[] }[];
      assert.equal(stream?.name, "stream");
      assert.deepEqual({ ...stream.messages[0]?.message }, { field: "value" });
      assert.equal(stream.messages[0]?.id, id);
      assert.equal((await client.xPending("stream", "group")).pending, 1);
      assert.equal(await client.xAck("stream", "group", id), 1);
      blocked.destroy();
    });

    await t.test("the client goes on when the store was killed, and nothing that was acknowledged is lost", async () => {
      const acknowledged: string[] = [];
      let crashed: Promise<void> | undefined;
      for (let index = 0; acknowledged.length < 600; index++) {
        await client.rPush("log", String(index)).then(
          () => acknowledged.push(String(index)),
          () => setImmediate(), // the event loop goes on, whatever the client refuses at once
        );
        if (index === 200) crashed = scene.crash();
      }
      await crashed;
      const kept = new Set(await client.lRange("log", 0, -1));
      assert.deepEqual(
        acknowledged.filter((each) => !kept.has(each)),
        [],
      );
    });
  });

test("node-redis keeps a cache of its own, which the store tells of changes", async () => {
  await using scene = await startClientScene();
  const client = createClient({ RESP: 3, socket: { host: "127.0.0.1", port: scene.port }, clientSideCache: { maxEntries: 10, ttl: 0 } });
  await client.connect();
  const other = createClient({ socket: { host: "127.0.0.1", port: scene.port } });
  await other.connect();
  await other.set("a", "1");
  assert.equal(await client.get("a"), "1");
  assert.equal(await client.get("a"), "1");
  await other.set("a", "2");
  await waitFor(async () => (await client.get("a")) === "2");
  client.destroy();
  other.destroy();
});
