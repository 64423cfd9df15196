import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startRedis } from "../../compat/redis/redis-server.ts";
import { RespClient } from "../resp-client.ts";
import { FILLING } from "./corpus.ts";

// `record.ts`: writes `redis-7.0.json` anew, by the redis-server of this machine.

const directory = mkdtempSync(join(tmpdir(), "anax-record-"));
await using redis = await startRedis(
  "--dir",
  directory,
  "--appendonly",
  "yes",
  "--aof-use-rdb-preamble",
  "no",
  "--set-max-intset-entries",
  "8",
);
using client = await RespClient.connect(redis.port);
for (const command of FILLING) await client.call(...command);
const keys = ((await client.call("KEYS", "*")) as string[]).toSorted();
const dumps: Record<string, string> = {};
for (const key of keys) dumps[key] = Buffer.from(String(await client.call("DUMP", key)), "latin1").toString("base64");
await client.call("SAVE");
const rdb = readFileSync(join(directory, "dump.rdb")).toString("base64");
const journals = readdirSync(join(directory, "appendonlydir")).filter((name) => name.endsWith(".incr.aof"));
const journal = readFileSync(join(directory, "appendonlydir", journals[0]!)).toString("base64");
writeFileSync(new URL("redis-7.0.json", import.meta.url), `${JSON.stringify({ rdb, dumps, journal }, null, 1)}\n`);
rmSync(directory, { recursive: true });
