import assert from "node:assert/strict";
import { readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "../kit/process.ts";
import { test } from "node:test";
import { startStore } from "../../src/kv/start-store.ts";
import { aSmallDisk } from "../kit/small-disk.ts";
import { RespClient } from "../store/resp-client.ts";

const MIB = 1024 * 1024;
test("a full disk refuses writes, loses nothing that was acknowledged, and with room again all goes on", async (context) => {
  await using disk = await aSmallDisk(context, { bytes: 4 * MIB });
  if (disk === undefined) return;
  const parameters = { appendonly: true, appendfsync: "always", save: "" } as const;
  const acknowledged: string[] = [];
  {
    await using store = await startStore({ port: 0, dataDir: disk.dir, parameters });
    using writer = await RespClient.connect(store.port);
    using other = await RespClient.connect(store.port);
    await writeFile(join(disk.dir, "ballast"), Buffer.alloc(3 * MIB));
    const value = "x".repeat(100_000);
    // The one that meets the full disk is not answered: what it tells of is not on disk.
    const waiting: Promise<unknown>[] = [];
    for (let i = 0; i < 20; i++)
      waiting.push(writer.call("SET", `key:${i}`, value).then((reply) => reply === "OK" && acknowledged.push(`key:${i}`)));
    await waitFor(async () => (await other.call("INFO", "persistence").then(String)).includes("aof_last_write_status:err"));
    const before = acknowledged.length;
    assert.match(String(await other.call("SET", "refused", "1")), /MISCONF Errors writing to the AOF file/);
    assert.equal(await other.call("GET", "nothing"), null, "reads go on");
    assert.ok(before < 20);
    // A snapshot that has no room fails, and leaves no part of itself.
    await other.call("CONFIG", "SET", "rdbcompression", "no");
    await other.call("BGSAVE");
    await waitFor(async () =>
      /rdb_bgsave_in_progress:0[\s\S]*rdb_last_bgsave_status:err/.test(String(await other.call("INFO", "persistence"))),
    );
    assert.ok((await readdir(disk.dir)).every((name) => !name.endsWith(".rdb")));
    await rm(join(disk.dir, "ballast"));
    await Promise.all(waiting);
    await waitFor(async () => (await other.call("SET", "later", "1")) === "OK");
    acknowledged.push("later");
    assert.match(String(await other.call("INFO", "persistence")), /aof_last_write_status:ok/);
  }
  await using store = await startStore({ port: 0, dataDir: disk.dir, parameters });
  using reader = await RespClient.connect(store.port);
  assert.equal(await reader.call("EXISTS", ...acknowledged), acknowledged.length);
  assert.equal(await reader.call("EXISTS", "refused"), 0);
});
