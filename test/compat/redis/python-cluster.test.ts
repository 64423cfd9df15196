import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { missingPrograms, must } from "../../kit/process.ts";
import { startStoreCluster } from "../../kit/store-cluster.ts";

const SCRIPT = fileURLToPath(new URL("python-cluster.py", import.meta.url));
const hasModule = existsSync("/usr/lib/python3/dist-packages/redis/cluster.py");
const skip = missingPrograms(["redis-cli"])[0] ?? (hasModule ? false : "no python3-redis with a client for clusters here");

test("python3-redis with a cluster", { skip }, async () => {
  await using cluster = await startStoreCluster({ primaries: 3, replicas: 1 });
  assert.equal(await must("/usr/bin/python3", [SCRIPT, String(cluster.nodes[5]!.port)]), "ok\n");
});
