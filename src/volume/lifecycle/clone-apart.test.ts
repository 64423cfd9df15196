import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { temporaryDirectory } from "../../../test/kit/temporary-directory.ts";
import { formatSqlite } from "../meta/sqlite/format.ts";
import { cloneApart } from "./clone-apart.ts";

test("metadata are copied while this thread goes on, and what is wrong with them has its code", async () => {
  await using dir = await temporaryDirectory();
  const from = join(dir.path, "meta.sqlite");
  formatSqlite(from, { uuid: "u", capacityBytes: 0, inodesMax: 0, readOnly: false, uid: 0, gid: 0, permissions: 0o755 }, realClock);
  let turned = false;
  setImmediate(() => (turned = true));
  await cloneApart({ from, to: join(dir.path, "copy.sqlite"), uuid: "v", readOnly: true });
  assert.ok(turned);
  const bad = join(dir.path, "bad.sqlite");
  writeFileSync(bad, "no database ".repeat(1000));
  await assert.rejects(cloneApart({ from: bad, to: join(dir.path, "other.sqlite"), uuid: "v", readOnly: true }), { code: "disk.corrupt" });
});
