import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { test } from "node:test";
import { RespClient } from "../../../test/store/resp-client.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { startStore, type RunningStore } from "../start-store.ts";

const start = (dataDir: string): Promise<RunningStore> => startStore({ port: 0, dataDir, parameters: { save: "0 1" } });

/** All keys are encoded, the file has no name yet. */
async function walked({ store }: RunningStore): Promise<void> {
  while (store.snapshots.busy) await nextTurn();
  assert.notEqual(store.persistence!.saves.startedMs, undefined);
}

test("no save begins before the one under way has named its file", async () => {
  await using directory = await temporaryDirectory();
  await using running = await start(directory.path);
  using client = await RespClient.connect(running.port);
  const { saves } = running.store.persistence!;
  for (let round = 1; round <= 5; round++) {
    await client.call("SET", `key:${round}`, "x".repeat(1024 * 1024));
    await saves.settled();
    const before = saves.count;
    assert.equal(saves.begin(), true);
    await walked(running);
    running.store.dirty = 1;
    saves.tick();
    assert.equal(saves.begin(), false);
    await saves.settled();
    assert.equal(saves.count, before + 1);
    assert.equal(saves.failed, false);
  }
  assert.match((await readFile(join(directory.path, "dump.rdb"), "latin1")).slice(0, 5), /^REDIS$/);
});

test("a store that ends while a file is being named still saves what came after it", async () => {
  await using directory = await temporaryDirectory();
  {
    await using running = await start(directory.path);
    using client = await RespClient.connect(running.port);
    await client.call("SET", "before", "x".repeat(1024 * 1024));
    await client.call("BGSAVE");
    await walked(running);
    await client.call("SET", "after", "1");
  }
  assert.deepEqual(await readdir(directory.path), ["dump.rdb"]);
  await using again = await start(directory.path);
  using client = await RespClient.connect(again.port);
  assert.equal(await client.call("GET", "after"), "1");
});
