import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { AnaxError } from "../../../base/errors.ts";
import type { ParameterValues } from "../../parameters/parameters.ts";
import { startStore, type RunningStore } from "../../start-store.ts";
import { RespClient } from "../../../../test/store/resp-client.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import { commandAt } from "./journal-parser.ts";
import { manifestText, parseManifest } from "./manifest.ts";

const start = (dataDir: string, parameters: Partial<ParameterValues> = {}): Promise<RunningStore> =>
  startStore({ port: 0, dataDir, parameters: { appendonly: true, appendfsync: "always", ...parameters } });

async function withStore<T>(
  dataDir: string,
  work: (client: RespClient, store: RunningStore) => Promise<T>,
  parameters?: Partial<ParameterValues>,
): Promise<T> {
  await using store = await start(dataDir, parameters);
  using client = await RespClient.connect(store.port);
  return await work(client, store);
}

const files = (dataDir: string): Promise<string[]> => readdir(join(dataDir, "appendonlydir")).then((names) => names.toSorted());
const increment = (dataDir: string, sequence = 1): string => join(dataDir, "appendonlydir", `appendonly.aof.${sequence}.incr.aof`);

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}

async function rewritten(client: RespClient): Promise<void> {
  await client.call("BGREWRITEAOF");
  await until(async () => /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(String(await client.call("INFO", "persistence"))));
}

test("what was written is there after a new start, with transactions, expiries and scripts as they were", async () => {
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await withStore(path, async (client) => {
    await client.call("SET", "a", "1");
    await client.call("MULTI");
    await client.call("INCR", "a");
    await client.call("RPUSH", "list", "x", "y");
    await client.call("EXEC");
    await client.call("EVAL", "redis.call('SET', 'b', '1') redis.call('INCR', 'b')", "0");
    await client.call("SELECT", "2");
    await client.call("SET", "c", "1", "EX", "1000");
  });
  const text = await readFile(increment(path), "latin1");
  assert.equal(text.match(/MULTI/g)?.length, 2);
  await withStore(path, async (client) => {
    assert.equal(await client.call("GET", "a"), "2");
    assert.equal(await client.call("GET", "b"), "2");
    assert.deepEqual(await client.call("LRANGE", "list", "0", "-1"), ["x", "y"]);
    await client.call("SELECT", "2");
    assert.ok(Number(await client.call("TTL", "c")) > 900);
  });
});

for (const preamble of [true, false])
  test(`a rewrite leaves one base${preamble ? ", an RDB" : " of commands"}, and one file of what came since`, async () => {
    await using directory = await temporaryDirectory();
    const { path } = directory;
    const parameters = { "aof-use-rdb-preamble": preamble };
    const digest = await withStore(
      path,
      async (client) => {
        for (let i = 0; i < 100; i++) await client.call("SET", `key:${i}`, "value");
        await client.call("XADD", "stream", "1-1", "a", "b");
        await client.call("XGROUP", "CREATE", "stream", "group", "0");
        await client.call("XREADGROUP", "GROUP", "group", "me", "STREAMS", "stream", ">");
        await client.call("ZADD", "z", "1.5", "m");
        await client.call("HSET", "h", "f", "v");
        await client.call("SADD", "s", "1");
        await rewritten(client);
        await client.call("SET", "later", "yes");
        return client.call("DEBUG", "DIGEST");
      },
      parameters,
    );
    assert.deepEqual(await files(path), [
      `appendonly.aof.2.base.${preamble ? "rdb" : "aof"}`,
      "appendonly.aof.2.incr.aof",
      "appendonly.aof.manifest",
    ]);
    await withStore(path, async (client) => assert.equal(await client.call("DEBUG", "DIGEST"), digest), parameters);
  });

test("what was cut off at the end is cut away, and what comes then follows the whole commands", async () => {
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await withStore(path, async (client) => {
    await client.call("SET", "a", "1");
    await client.call("MULTI");
    await client.call("SET", "b", "1");
    await client.call("SET", "c", "1");
    await client.call("EXEC");
  });
  const whole = await readFile(increment(path));
  // Within EXEC: the whole transaction never was.
  await truncate(increment(path), whole.length - 3);
  await withStore(path, async (client) => {
    assert.deepEqual(await client.call("MGET", "a", "b", "c"), ["1", null, null]);
    await client.call("SET", "d", "1");
  });
  await withStore(path, async (client) => assert.deepEqual(await client.call("MGET", "a", "b", "d"), ["1", null, "1"]));
  await appendFile(increment(path), Buffer.alloc(5000));
  await withStore(path, async (client) => assert.deepEqual(await client.call("MGET", "a", "d"), ["1", "1"]));
  await truncate(increment(path), (await readFile(increment(path))).length - 2);
  await assert.rejects(
    start(path, { "aof-load-truncated": false }),
    (error) => error instanceof AnaxError && error.code === "disk.corrupt",
  );
});

test("damage in the midst is refused with its place, and so is a file that is not there", async () => {
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await withStore(path, async (client) => {
    await client.call("SET", "a", "1");
    await client.call("SET", "b", "2");
  });
  const bytes = await readFile(increment(path));
  const at = bytes.indexOf("*3", bytes.indexOf("*3") + 1);
  bytes.write("X", at);
  await writeFile(increment(path), bytes);
  await assert.rejects(
    start(path),
    (error) => error instanceof AnaxError && error.code === "disk.corrupt" && error.details["offset"] === at,
  );
  await rm(increment(path));
  await assert.rejects(start(path), (error) => error instanceof AnaxError && error.code === "disk.corrupt");
});

test("where nothing can be written commands that write are refused, until it can again", async () => {
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await withStore(path, async (client, { store }) => {
    await client.call("SET", "a", "1");
    // A rewrite that fails leaves the journal as it was.
    await mkdir(join(path, "appendonlydir", "appendonly.aof.2.incr.aof"));
    await rewritten(client).catch(() => {});
    assert.match(String(await client.call("INFO", "persistence")), /aof_last_bgrewrite_status:err/);
    await client.call("SET", "b", "1");
    store.persistence!.journal.problem = "No space left on device";
    assert.match(String(await client.call("SET", "c", "1")), /MISCONF Errors writing to the AOF file: No space left on device/);
    assert.equal(await client.call("GET", "a"), "1");
    store.persistence!.journal.problem = undefined;
    assert.equal(await client.call("SET", "c", "1"), "OK");
  });
  await withStore(path, async (client) => assert.deepEqual(await client.call("MGET", "a", "b", "c"), ["1", "1", "1"]));
});

test("switched on while the server runs, it begins with what there is", async () => {
  await using directory = await temporaryDirectory();
  const { path } = directory;
  await withStore(
    path,
    async (client) => {
      await client.call("SET", "before", "1");
      await client.call("CONFIG", "SET", "appendonly", "yes");
      await until(async () =>
        /aof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(String(await client.call("INFO", "persistence"))),
      );
      await client.call("SET", "after", "1");
    },
    { appendonly: false, save: "" },
  );
  await withStore(path, async (client) => assert.deepEqual(await client.call("MGET", "before", "after"), ["1", "1"]));
});

for (const named of [false, true])
  test(`the one file of older versions becomes the base${named ? ", also where Redis was stopped in the midst of that" : ""}`, async () => {
    await using directory = await temporaryDirectory();
    const { path } = directory;
    if (named) {
      await mkdir(join(path, "appendonlydir"));
      await writeFile(join(path, "appendonlydir/appendonly.aof.manifest"), "file appendonly.aof seq 1 type b\n");
    }
    await writeFile(join(path, "appendonly.aof"), "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
    for (let round = 0; round < 2; round++) await withStore(path, async (client) => assert.equal(await client.call("GET", "a"), "1"));
    assert.deepEqual((await readdir(path)).toSorted(), ["appendonlydir"]);
  });

test("a manifest is read as it is written, and nothing else is", () => {
  const manifest = {
    base: { name: 'my "file"\né.1.base.rdb', sequence: 1 },
    increments: [
      { name: "a.1.incr.aof", sequence: 1 },
      { name: "a.2.incr.aof", sequence: 2 },
    ],
    history: [{ name: "a.0.base.rdb", sequence: 1 }],
  };
  assert.deepEqual(parseManifest(manifestText(manifest), "m"), manifest);
  const rows = [
    "file a seq 1 type x\n",
    "file a seq 0 type i\n",
    "file ../a seq 1 type i\n",
    "file a seq 1 type b\nfile b seq 2 type b\n",
    "file a seq 2 type i\nfile b seq 1 type i\n",
    "seq 1 type i\n",
    "\n\n",
    "",
    `file a${"a".repeat(2000)} seq 1 type i\n`,
  ];
  for (const text of rows) assert.throws(() => parseManifest(text, "m"), AnaxError, text);
});

test("commands of a journal are told from what is none, wherever they are cut", () => {
  const bytes = Buffer.from("*2\r\n$3\r\nGET\r\n$1\r\na\r\n");
  for (let cut = 0; cut < bytes.length; cut++) assert.equal(commandAt(bytes.subarray(0, cut), 0), "more", String(cut));
  const parsed = commandAt(bytes, 0);
  assert.deepEqual(typeof parsed === "object" && parsed.request?.texts(), ["GET", "a"]);
  for (const text of ["+OK\r\n", "*0\r\n", "*x\r\n", "*1\r\n:1\r\n", "*1\r\n$1\r\nab\r\n", "*99999999999\r\n"])
    assert.equal(commandAt(Buffer.from(text), 0), "bad", text);
});
