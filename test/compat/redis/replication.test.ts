import assert from "node:assert/strict";
import { waitFor } from "../../kit/process.ts";
import { test } from "node:test";
import { startStore, type RunningStore } from "../../../src/kv/start-store.ts";
import { RespClient, type Reply } from "../../store/resp-client.ts";
import { temporaryDirectory } from "../../kit/temporary-directory.ts";
import { hasRedis, startRedis } from "./redis-server.ts";

const info = async (client: RespClient, section: string): Promise<string> => String(await client.call("INFO", section));
const follow = async (client: RespClient, port: number): Promise<void> => {
  await client.call("REPLICAOF", "127.0.0.1", String(port));
  await waitFor(async () => (await info(client, "replication")).includes("master_link_status:up"));
};
/** All of the first is at the second. */
const caughtUp = (from: RespClient, to: RespClient): Promise<void> =>
  waitFor(async () => {
    const offsets = await Promise.all(
      [from, to].map(async (each) => /master_repl_offset:(\d+)/.exec(await info(each, "replication"))?.[1]),
    );
    return offsets[0] === offsets[1];
  });

async function fill(client: RespClient): Promise<void> {
  const commands: (readonly string[])[] = [
    ["SET", "text", "x".repeat(1000)],
    ["SET", "binary", "\0\xff\r\n"],
    ["SET", "number", "12345"],
    ["SET", "expires", "1", "PX", "1000000"],
    ["RPUSH", "list", ...Array.from({ length: 500 }, (_, i) => `element ${i}`)],
    ["SADD", "ints", "1", "2", "-3"],
    ["SADD", "set", ...Array.from({ length: 300 }, (_, i) => `member ${i}`)],
    ["HSET", "hash", "a", "1", "b", "2"],
    ["HSET", "large-hash", ...Array.from({ length: 600 }, (_, i) => `${i}`)],
    ["ZADD", "zset", "1.5", "a", "-inf", "b", "3", "c"],
    ["ZADD", "large-zset", ...Array.from({ length: 300 }, (_, i) => [String(i / 2), `m${i}`]).flat()],
    ["XADD", "stream", "1-1", "a", "1"],
    ["XADD", "stream", "1-2", "a", "2", "b", "3"],
    ["XDEL", "stream", "1-1"],
    ["XGROUP", "CREATE", "stream", "group", "0"],
    ["XREADGROUP", "GROUP", "group", "me", "COUNT", "1", "STREAMS", "stream", ">"],
  ];
  for (const command of commands) await client.call(...command);
}

const sorted = (reply: Reply): Reply => (reply as string[]).toSorted();

/** Each key with its type and what it holds, in an order of their own. */
async function contentOf(client: RespClient): Promise<Record<string, Reply>> {
  const keys = ((await client.call("KEYS", "*")) as string[]).toSorted();
  const content: Record<string, Reply> = {};
  for (const key of keys) {
    const type = await client.call("TYPE", key);
    if (type === "string") content[key] = await client.call("GET", key);
    else if (type === "list") content[key] = await client.call("LRANGE", key, "0", "-1");
    else if (type === "set") content[key] = sorted(await client.call("SMEMBERS", key));
    else if (type === "zset") content[key] = await client.call("ZRANGE", key, "0", "-1", "WITHSCORES");
    else if (type === "hash")
      content[key] = sorted(
        ((await client.call("HGETALL", key)) as string[]).flatMap((each, i, all) => (i % 2 === 0 ? [`${each} ${all[i + 1]}`] : [])),
      );
    else content[key] = [await client.call("XRANGE", key, "-", "+"), await client.call("XPENDING", key, "group")];
  }
  return content;
}

async function write(client: RespClient): Promise<void> {
  await client.call("INCR", "counter");
  await client.call("LPOP", "list", "3");
  await client.call("SPOP", "set", "5");
  await client.call("MULTI");
  await client.call("HSET", "hash", "c", "3");
  await client.call("ZINCRBY", "zset", "0.5", "a");
  await client.call("EXEC");
  await client.call("EVAL", "redis.call('SET', 'by-script', ARGV[1]) redis.call('APPEND', 'by-script', '!')", "0", "hello");
  await client.call("XADD", "stream", "*", "later", "1");
  await client.call("SET", "short", "1", "EX", "100");
}

const ours = (): Promise<RunningStore> => startStore({ port: 0 });
const PAIRS: readonly (readonly [
  string,
  () => Promise<AsyncDisposable & { readonly port: number }>,
  () => Promise<AsyncDisposable & { readonly port: number }>,
])[] = [
  ["Redis follows the store", ours, startRedis],
  ["the store follows Redis", startRedis, ours],
  ["the store follows the store", ours, ours],
];

for (const [name, startPrimary, startReplica] of PAIRS)
  test(
    `${name}: all data, then every change, and after a broken link only what was missed`,
    { skip: hasRedis() ? false : "no redis-server here" },
    async () => {
      await using primary = await startPrimary();
      await using replica = await startReplica();
      using writer = await RespClient.connect(primary.port);
      using reader = await RespClient.connect(replica.port);
      await fill(writer);
      await follow(reader, primary.port);
      assert.deepEqual(await contentOf(reader), await contentOf(writer));
      await write(writer);
      assert.equal(await writer.call("WAIT", "1", "10000"), 1);
      await caughtUp(writer, reader);
      assert.deepEqual(await contentOf(reader), await contentOf(writer));
      assert.ok(Number(await reader.call("PTTL", "expires")) > 900_000);
      assert.match(String(await reader.call("SET", "a", "b")), /READONLY/);
      await writer.call("CLIENT", "KILL", "TYPE", "replica");
      await write(writer);
      await waitFor(async () => (await info(writer, "stats")).includes("sync_partial_ok:1"));
      assert.equal(await writer.call("WAIT", "1", "10000"), 1);
      await caughtUp(writer, reader);
      assert.deepEqual(await contentOf(reader), await contentOf(writer));
      // What expires is deleted by the primary, in both.
      await writer.call("SET", "gone", "1", "PX", "1");
      await waitFor(async () => (await reader.call("EXISTS", "gone")) === 0);
      await reader.call("REPLICAOF", "NO", "ONE");
      assert.equal(await reader.call("SET", "own", "1"), "OK");
    },
  );

for (const [name, startPrimary, startReplica] of PAIRS)
  test(
    `${name}: FAILOVER hands the role over and back, without a copy of all data`,
    { skip: hasRedis() ? false : "no redis-server here" },
    async () => {
      await using first = await startPrimary();
      await using second = await startReplica();
      using one = await RespClient.connect(first.port);
      using other = await RespClient.connect(second.port);
      await fill(one);
      await follow(other, first.port);
      for (const [from, to] of [
        [one, other],
        [other, one],
      ] as const) {
        await write(from);
        assert.equal(await from.call("FAILOVER", "TIMEOUT", "10000"), "OK");
        await waitFor(async () => (await info(from, "replication")).includes("master_link_status:up"));
        assert.match(await info(from, "replication"), /role:slave[^]*master_failover_state:no-failover/);
        assert.match(await info(to, "replication"), /role:master/);
        assert.equal(await to.call("SET", "after", "1"), "OK");
        await caughtUp(to, from);
        assert.deepEqual(await contentOf(from), await contentOf(to));
        assert.match(await info(to, "stats"), /sync_full:[01]\r\n/);
      }
    },
  );

test("replicas of replicas get all, and go on with the one that is promoted", async () => {
  await using first = await ours();
  await using second = await ours();
  await using third = await startStore({ port: 0, parameters: { replicaof: `127.0.0.1 ${second.port}` } });
  using writer = await RespClient.connect(first.port);
  using middle = await RespClient.connect(second.port);
  using reader = await RespClient.connect(third.port);
  await fill(writer);
  await follow(middle, first.port);
  await waitFor(async () => (await info(reader, "replication")).includes("master_link_status:up"));
  await write(writer);
  await caughtUp(writer, middle);
  await caughtUp(middle, reader);
  assert.deepEqual(await contentOf(reader), await contentOf(writer));
  await middle.call("REPLICAOF", "NO", "ONE");
  await middle.call("SET", "promoted", "1");
  await waitFor(async () => (await reader.call("GET", "promoted")) === "1");
  // The old primary, which has nothing of its own since, goes on with the new one without a copy of all data.
  await follow(writer, second.port);
  assert.equal(await writer.call("GET", "promoted"), "1");
  // The third one, which had to learn the new name of the history, and the old primary.
  assert.match(await info(middle, "stats"), /sync_partial_ok:2\r/);
});

test("files that Redis has written are read, and Redis reads ours", { skip: hasRedis() ? false : "no redis-server here" }, async () => {
  await using directory = await temporaryDirectory();
  await using redis = await startRedis("--dir", directory.path);
  using theirs = await RespClient.connect(redis.port);
  await fill(theirs);
  await theirs.call("SAVE");
  await using store = await startStore({ port: 0, dataDir: directory.path, parameters: { save: "" } });
  using own = await RespClient.connect(store.port);
  const content = await contentOf(own);
  assert.deepEqual(content, await contentOf(theirs));
  await own.call("SAVE");
  await theirs.call("FLUSHALL");
  await theirs.call("CONFIG", "SET", "sanitize-dump-payload", "yes");
  assert.equal(await theirs.call("DEBUG", "RELOAD", "NOSAVE"), "OK");
  assert.deepEqual(await contentOf(theirs), content);
  // Key by key, too.
  for (const key of Object.keys(content)) {
    const dump = String(await own.call("DUMP", key));
    assert.equal(await theirs.call("RESTORE", `copy:${key}`, "0", dump), "OK", key);
  }
  await own.call("MIGRATE", "127.0.0.1", String(redis.port), "", "0", "5000", "REPLACE", "KEYS", ...Object.keys(content));
  assert.equal(await own.call("DBSIZE"), 0);
});
