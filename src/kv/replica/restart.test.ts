import assert from "node:assert/strict";
import { test } from "node:test";
import type { ParameterValues } from "../parameters/parameters.ts";
import { startStore, type RunningStore } from "../start-store.ts";
import { waitFor } from "../../../test/kit/process.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { RespClient } from "../../../test/store/resp-client.ts";

const start = (dataDir: string, port = 0, parameters: Partial<ParameterValues> = {}): Promise<RunningStore> =>
  startStore({ port, dataDir, parameters: { save: "3600 1", ...parameters } });

const infoOf = async (client: RespClient, section: string, name: string): Promise<string | undefined> =>
  new RegExp(`^${name}:(.*)\r$`, "m").exec(String(await client.call("INFO", section)))?.[1];

const isUp = async (client: RespClient): Promise<boolean> => (await infoOf(client, "replication", "master_link_status")) === "up";

async function withClient<T>({ port }: RunningStore, work: (client: RespClient) => Promise<T>): Promise<T> {
  using client = await RespClient.connect(port);
  return await work(client);
}

test("a replica that was started again goes on where its snapshot is, in the database that the history has selected", async () => {
  await using elsewhere = await temporaryDirectory();
  await using primary = await start(elsewhere.path);
  await using directory = await temporaryDirectory();
  const replicaof = `127.0.0.1 ${primary.port}`;
  using writer = await RespClient.connect(primary.port);
  await writer.call("SELECT", "3");
  await writer.call("SET", "a", "1");
  {
    await using replica = await start(directory.path, 0, { replicaof });
    await withClient(replica, async (client) => {
      await waitFor(() => isUp(client));
      await writer.call("SET", "b", "2");
      assert.equal(await writer.call("WAIT", "1", "10000"), 1);
    });
  }
  await writer.call("SET", "c", "3");
  await using replica = await start(directory.path, 0, { replicaof });
  await withClient(replica, async (client) => {
    await waitFor(() => isUp(client));
    assert.equal(await writer.call("WAIT", "1", "10000"), 1);
    await client.call("SELECT", "3");
    assert.deepEqual(await client.call("MGET", "a", "b", "c"), ["1", "2", "3"]);
  });
  assert.deepEqual([await infoOf(writer, "stats", "sync_full"), await infoOf(writer, "stats", "sync_partial_ok")], ["1", "1"]);
});

test("a primary that was started again has another history, which goes on from that of its snapshot", async () => {
  await using directory = await temporaryDirectory();
  let primary = await start(directory.path);
  try {
    const { port } = primary;
    await using elsewhere = await temporaryDirectory();
    await using replica = await start(elsewhere.path, 0, { replicaof: `127.0.0.1 ${port}` });
    using reader = await RespClient.connect(replica.port);
    await waitFor(() => isUp(reader));
    const before = await withClient(primary, async (client) => {
      await client.call("SET", "a", "1");
      await client.call("SET", "short", "1", "PX", "1");
      assert.equal(await client.call("WAIT", "1", "10000"), 1);
      return String(await infoOf(client, "replication", "master_replid"));
    });
    await primary[Symbol.asyncDispose]();
    primary = await start(directory.path, port);
    await withClient(primary, async (client) => {
      assert.notEqual(await infoOf(client, "replication", "master_replid"), before);
      assert.equal(await infoOf(client, "replication", "master_replid2"), before);
      await waitFor(async () => (await infoOf(client, "stats", "sync_partial_ok")) === "1");
      assert.equal(await infoOf(client, "stats", "sync_full"), "0");
      await client.call("SET", "b", "2");
      assert.equal(await client.call("WAIT", "1", "10000"), 1);
      assert.deepEqual(await reader.call("MGET", "a", "b"), ["1", "2"]);
      // What had expired by the time of the start is gone at the replica, too.
      await waitFor(async () => (await reader.call("DBSIZE")) === 2);
    });
  } finally {
    await primary[Symbol.asyncDispose]();
  }
});

test("a primary of whose writes a replica has more than the snapshot does not go on from it", async () => {
  await using directory = await temporaryDirectory();
  let primary = await start(directory.path);
  try {
    const { port } = primary;
    await using elsewhere = await temporaryDirectory();
    await using replica = await start(elsewhere.path, 0, { replicaof: `127.0.0.1 ${port}` });
    using reader = await RespClient.connect(replica.port);
    await waitFor(() => isUp(reader));
    await withClient(primary, async (client) => {
      await client.call("SET", "a", "1");
      await client.call("SAVE");
      await client.call("SET", "a", "2");
      assert.equal(await client.call("WAIT", "1", "10000"), 1);
    });
    primary.store.parameters.save = "";
    await primary[Symbol.asyncDispose]();
    primary = await start(directory.path, port);
    await waitFor(async () => (await reader.call("GET", "a")) === "1");
    await withClient(primary, async (client) => assert.equal(await infoOf(client, "stats", "sync_full"), "1"));
  } finally {
    await primary[Symbol.asyncDispose]();
  }
});

test("a replica of a replica begins in the database that the history has selected", async () => {
  await using first = await startStore({ port: 0 });
  await using second = await startStore({ port: 0, parameters: { replicaof: `127.0.0.1 ${first.port}` } });
  using writer = await RespClient.connect(first.port);
  using middle = await RespClient.connect(second.port);
  await waitFor(() => isUp(middle));
  await writer.call("SELECT", "5");
  await writer.call("SET", "a", "1");
  assert.equal(await writer.call("WAIT", "1", "10000"), 1);
  await using third = await startStore({ port: 0, parameters: { replicaof: `127.0.0.1 ${second.port}` } });
  using reader = await RespClient.connect(third.port);
  await waitFor(() => isUp(reader));
  await writer.call("SET", "b", "2");
  await reader.call("SELECT", "5");
  await waitFor(async () => (await reader.call("GET", "b")) === "2");
  // Whom it follows changes, and the history does not: its database neither.
  await reader.call("REPLICAOF", "127.0.0.1", String(first.port));
  await waitFor(() => isUp(reader));
  await writer.call("SET", "c", "3");
  await waitFor(async () => (await reader.call("GET", "c")) === "3");
  assert.equal(await infoOf(writer, "stats", "sync_partial_ok"), "1");
});

const library = (name: string): string =>
  `#!lua name=${name}\nredis.register_function{function_name='${name}', callback=function() return '${name}' end, flags={'no-writes'}}`;

test("functions come with a snapshot as often as there is one, in place of those that were there", async () => {
  await using primary = await startStore({ port: 0 });
  await using replica = await startStore({ port: 0 });
  using writer = await RespClient.connect(primary.port);
  using reader = await RespClient.connect(replica.port);
  await writer.call("FUNCTION", "LOAD", library("theirs"));
  await reader.call("FUNCTION", "LOAD", library("own"));
  for (let turn = 1; turn <= 2; turn++) {
    await reader.call("REPLICAOF", "127.0.0.1", String(primary.port));
    await waitFor(() => isUp(reader));
    assert.equal(await reader.call("FCALL", "theirs", "0"), "theirs");
    assert.match(String(await reader.call("FCALL", "own", "0")), /not found/);
    assert.equal(await infoOf(writer, "stats", "sync_full"), String(turn));
    await reader.call("REPLICAOF", "NO", "ONE");
    await reader.call("SET", "own", "1"); // so that it cannot go on where it was
  }
});

test("a replica with a journal that gets all data anew has those after a restart", async () => {
  await using primary = await startStore({ port: 0 });
  await using directory = await temporaryDirectory();
  const journal = { appendonly: true, appendfsync: "always", save: "" } as const;
  {
    await using replica = await start(directory.path, 0, journal);
    await withClient(replica, async (client) => {
      await client.call("RPUSH", "own", "1");
      await withClient(primary, (writer) => writer.call("RPUSH", "list", "1"));
      await client.call("REPLICAOF", "127.0.0.1", String(primary.port));
      await waitFor(() => isUp(client));
      await withClient(primary, (writer) => writer.call("RPUSH", "list", "2"));
      await waitFor(async () => (await client.call("LLEN", "list")) === 2);
      await waitFor(async () => (await infoOf(client, "persistence", "aof_rewrite_in_progress")) === "0");
    });
  }
  await using again = await start(directory.path, 0, journal);
  await withClient(again, async (client) => {
    assert.deepEqual(await client.call("LRANGE", "list", "0", "-1"), ["1", "2"]);
    assert.equal(await client.call("DBSIZE"), 1);
  });
});
