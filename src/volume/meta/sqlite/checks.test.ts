import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../../base/clock.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import { CHECKS, RECOUNTS } from "./checks.ts";
import { formatSqlite } from "./format.ts";
import { openDatabase } from "./schema.ts";

test("nothing that is checked or counted looks through a whole table for each row of another", async () => {
  await using dir = await temporaryDirectory();
  const path = join(dir.path, "meta.sqlite");
  formatSqlite(path, { uuid: "u", capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 }, realClock);
  const database = openDatabase(path);
  try {
    for (const sql of [...Object.values(CHECKS), ...RECOUNTS]) {
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${sql}`).all() as { id: number; parent: number; detail: string }[];
      const repeated = new Set(plan.filter(({ detail }) => detail.includes("CORRELATED")).map(({ id }) => id));
      for (const { parent, detail } of plan) assert.ok(!(repeated.has(parent) && detail.startsWith("SCAN")), `${sql}\n${detail}`);
    }
  } finally {
    database.close();
  }
});
