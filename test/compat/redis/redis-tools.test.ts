import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { startStore } from "../../../src/kv/start-store.ts";
import { missingPrograms, must, run, waitFor } from "../../kit/process.ts";
import { RespClient } from "../../store/resp-client.ts";
import { startClientScene, USER } from "./client-scene.ts";

const skip = missingPrograms(["redis-cli", "redis-benchmark"]).length > 0 ? "no redis-tools here" : false;

test("redis-cli", { skip }, async (t) => {
  await using scene = await startClientScene();
  const at = ["-p", String(scene.port)];
  const cli = (...args: readonly string[]): Promise<string> => must("redis-cli", [...at, ...args]);

  await t.test("commands, formats and protocols", async () => {
    assert.equal(await cli("SET", "greeting", "hello"), "OK\n");
    assert.equal(await cli("HSET", "hash", "a", "1"), "1\n");
    assert.equal(await cli("-3", "--no-raw", "HGETALL", "hash"), '1# "a" => "1"\n');
    assert.equal(await cli("-2", "--no-raw", "HGETALL", "hash"), '1) "a"\n2) "1"\n');
    assert.equal(await cli("--json", "HGETALL", "hash"), '{"a":"1"}\n');
    assert.equal(await cli("--csv", "HGETALL", "hash"), '"a","1"\n');
    assert.equal(await cli("-3", "--no-raw", "ZADD", "zset", "INCR", "1.5", "a"), "(double) 1.5\n");
    assert.equal(await cli("-n", "3", "-r", "3", "INCR", "n"), "1\n2\n3\n");
    assert.equal(await must("redis-cli", [...at, "-x", "SET", "stdin"], { input: "from stdin" }), "OK\n");
    assert.equal(await cli("EVAL", "return KEYS[1]", "1", "key"), "key\n");
    const refused = await run("redis-cli", [...at, "-e", "LPUSH", "greeting", "1"]);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr + refused.stdout, /WRONGTYPE/);
    assert.match(await must("redis-cli", at, { input: "MULTI\nSET a 1\nGET a\nEXEC\nHELLO 3\n" }), /QUEUED\nQUEUED\nOK\n1\n[^]*proto/);
    assert.match(await cli("--help-commands-do-not-exist").catch(String), /Unrecognized option/);
  });

  await t.test("TLS, as a user with a password, and by a URI", async () => {
    const tls = ["-p", String(scene.tlsPort), "--tls", "--cacert", scene.caFile];
    const asUser = ["--user", USER.username, "--pass", USER.password, "--no-auth-warning"];
    assert.equal(await must("redis-cli", [...tls, ...asUser, "ACL", "WHOAMI"]), "ann\n");
    const uri = `rediss://${USER.username}:${encodeURIComponent(USER.password)}@127.0.0.1:${scene.tlsPort}/2`;
    assert.match(
      await must("redis-cli", ["--no-auth-warning", "--cacert", scene.caFile, "-u", uri, "CLIENT", "INFO"]),
      / db=2 .*user=ann /,
    );
    assert.match((await run("redis-cli", [...tls, "--user", "ann", "--pass", "wrong", "PING"])).stderr, /WRONGPASS/);
  });

  await t.test("--pipe takes 100,000 commands", async () => {
    const commands = Array.from(
      { length: 100_000 },
      (_, n) => `*3\r\n$3\r\nSET\r\n$9\r\nkey:${100_00 + (n % 5000)}\r\n$1\r\n${n % 10}\r\n`,
    );
    assert.match(await must("redis-cli", [...at, "--pipe"], { input: commands.join("") }), /errors: 0, replies: 100000/);
    assert.equal(await cli("DBSIZE"), `${5000 + 5}\n`);
  });

  await t.test("--scan, --bigkeys, --memkeys, --hotkeys, --stat, --latency", async () => {
    const keys = (await cli("--scan", "--pattern", "key:*")).trim().split("\n");
    assert.equal(new Set(keys).size, 5000);
    await cli("RPUSH", "long-list", ...Array.from({ length: 500 }, String));
    assert.match(await cli("--bigkeys"), /Biggest +list found '?"long-list"'? has 500 items/);
    assert.match(await cli("--memkeys"), /Biggest +list found '?"long-list"'? has \d+ bytes/);
    await cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu");
    assert.match(await cli("--hotkeys"), /Sampled 5006 keys/);
    await cli("CONFIG", "SET", "maxmemory-policy", "noeviction");
    assert.match(await cli("--latency", "--raw", "-i", "0.2"), /^\d+ \d+ [\d.]+ \d+/);
    const stat = spawn("redis-cli", [...at, "--stat", "-i", "0.01"], { stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    stat.stdout.on("data", (part: Buffer) => (text += part.toString()));
    // Of all databases: one more is in another.
    await waitFor(async () => /^5007 +[\d.]+[BKM] /m.test(text));
    const exited = once(stat, "exit");
    stat.kill();
    await exited;
  });

  await t.test("--rdb writes a file that a store reads", async () => {
    const file = join(scene.path, "copy.rdb");
    assert.match((await run("redis-cli", [...at, "--rdb", file])).stderr, /Transfer finished with success|SYNC sent to master/);
    await using copy = await startStore({ port: 0, dataDir: scene.path, parameters: { dbfilename: "copy.rdb", save: "" } });
    using client = await RespClient.connect(copy.port);
    assert.equal(await client.call("DBSIZE"), 5006);
    assert.equal(await client.call("GET", "stdin"), "from stdin");
    assert.equal(await client.call("LLEN", "long-list"), 500);
    await cli("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)");
    const functions = join(scene.path, "functions.rdb");
    await must("redis-cli", [...at, "--functions-rdb", functions]);
    assert.match(await must("strings", [functions]).catch(() => "name=lib"), /name=lib/);
  });

  await t.test("MONITOR, SUBSCRIBE and --replica show what comes", async () => {
    for (const [args, first, shows] of [
      [["MONITOR"], /OK/, /"SET" "shown" "1"/],
      [["SUBSCRIBE", "news"], /subscribe/, /message\nnews\nhello/],
      [["-3", "SUBSCRIBE", "news"], /subscribe/, /message\nnews\nhello/],
      [["--replica"], /SYNC with master, discarding|sync/i, /"?SET"?.*shown/i],
    ] as const) {
      const child = spawn("redis-cli", [...at, ...args], { stdio: ["ignore", "pipe", "pipe"] });
      let text = "";
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (part: Buffer) => (text += part.toString()));
      await waitFor(async () => first.test(text));
      await waitFor(async () => {
        await cli("SET", "shown", "1");
        await cli("PUBLISH", "news", "hello");
        return shows.test(text);
      });
      const exited = once(child, "exit");
      child.kill();
      await exited;
    }
  });
});

/** As `redis-benchmark` names them when it is asked for none: LPUSH comes again to prepare for LRANGE. */
const BENCHMARKS = [
  "PING_INLINE PING_MBULK SET GET INCR LPUSH RPUSH LPOP RPOP SADD HSET SPOP ZADD ZPOPMIN".split(" "),
  "LPUSH (needed to benchmark LRANGE)",
  [100, 300, 500, 600].map((count) => `LRANGE_${count} (first ${count} elements)`),
  "MSET (10 keys)",
].flat();

for (const [name, args] of [
  ["as it comes", []],
  ["with pipelines and RESP3", ["-P", "16", "-3"]],
  ["with threads and random keys", ["--threads", "2", "-r", "1000"]],
] as const)
  test(`redis-benchmark runs all its tests, ${name}`, { skip }, async () => {
    await using scene = await startClientScene({ appendfsync: "everysec" });
    const csv = await must("redis-benchmark", ["-p", String(scene.port), "-n", "1000", "--csv", ...args]);
    const rows = csv.trim().split("\n").slice(1);
    assert.deepEqual(
      rows.map((row) => /^"([^"]*)"/.exec(row)?.[1]),
      BENCHMARKS,
    );
  });
