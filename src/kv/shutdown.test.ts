import assert from "node:assert/strict";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { RespClient } from "../../test/store/resp-client.ts";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { waitFor } from "../../test/kit/process.ts";
import type { ParameterValues } from "./parameters/parameters.ts";
import { startStore } from "./start-store.ts";

const NOW = { save: undefined, now: false, force: false } as const;

/** A store that may be ended, and how often that was told. */
async function endable(parameters: Partial<ParameterValues> = {}) {
  const directory = await temporaryDirectory();
  let ends = 0;
  const running = await startStore({ port: 0, dataDir: directory.path, parameters, shutdown: () => void ends++ });
  return {
    dir: directory.path,
    store: running.store,
    port: running.port,
    get ends() {
      return ends;
    },
    [Symbol.asyncDispose]: async () => {
      await running[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

test("a store whose last save fails goes on, says so, and ends when nothing is to be saved", async () => {
  await using it = await endable({ "stop-writes-on-bgsave-error": false });
  using client = await RespClient.connect(it.port);
  await client.call("SET", "a", "1");
  await mkdir(join(it.dir, "dump.rdb")); // no file can have that name now
  assert.match(String(await client.call("SHUTDOWN")), /ERR Errors trying to SHUTDOWN/);
  assert.equal(await it.store.shutdown!.ask(NOW), false);
  assert.equal(await client.call("SET", "a", "2"), "OK", "writes go on");
  assert.equal(it.ends, 0);
  void client.call("SHUTDOWN", "NOSAVE").catch(() => {});
  await waitFor(() => Promise.resolve(it.ends === 1));
  await rm(join(it.dir, "dump.rdb"), { recursive: true });
});

test("forced, it ends though the last save fails", async () => {
  await using it = await endable();
  using client = await RespClient.connect(it.port);
  await client.call("SET", "a", "1");
  await mkdir(join(it.dir, "dump.rdb"));
  assert.equal(await it.store.shutdown!.ask({ ...NOW, force: true }), true);
  await rm(join(it.dir, "dump.rdb"), { recursive: true });
});

test("an end that waits for a replica is called off: whoever asked is told, and writes go on", async () => {
  await using it = await endable({ "shutdown-timeout": 1000 });
  await using replica = await startStore({ port: 0 });
  using client = await RespClient.connect(it.port);
  using other = await RespClient.connect(it.port);
  using there = await RespClient.connect(replica.port);
  await there.call("REPLICAOF", "127.0.0.1", String(it.port));
  await waitFor(async () => /state=online/.test(String(await client.call("INFO", "replication"))));
  it.store.replicationOffset += 1000; // of which it has nothing
  assert.equal(await client.call("SHUTDOWN", "ABORT").then(String), "Error: ERR No shutdown in progress.");
  const asked = client.call("SHUTDOWN");
  const signalled = it.store.shutdown!.ask(NOW);
  await waitFor(async () => /shutdown_in_milliseconds:[1-9]/.test(String(await other.call("INFO", "server"))));
  assert.equal(await other.call("SHUTDOWN", "ABORT"), "OK");
  assert.match(String(await asked), /ERR Errors trying to SHUTDOWN/);
  assert.equal(await signalled, false);
  assert.equal(await client.call("SET", "a", "1"), "OK");
  it.store.replicationOffset -= 1000;
});

test("FLUSHALL gives a snapshot under way up, and the file has nothing of it", async () => {
  await using it = await endable();
  using client = await RespClient.connect(it.port);
  for (let i = 0; i < 100; i++) await client.call("SET", `key:${i}`, "value");
  await client.call("CONFIG", "SET", "rdb-key-save-delay", "1000000");
  await client.call("BGSAVE");
  await client.call("FLUSHALL");
  await client.call("CONFIG", "SET", "rdb-key-save-delay", "0");
  await waitFor(async () => /rdb_bgsave_in_progress:0[^]*rdb_saves:1/.test(String(await client.call("INFO", "persistence"))));
  assert.deepEqual(await readdir(it.dir), ["dump.rdb"]);
  await client.call("SET", "new", "1");
  assert.equal(await client.call("DEBUG", "RELOAD", "NOSAVE"), "OK");
  assert.equal(await client.call("DBSIZE"), 0);
});
