import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCode } from "../../../test/kit/errors.ts";
import { startStore } from "../start-store.ts";

test("a place where no directory can be is a disk error, and nothing listens afterwards", async () => {
  for (const appendonly of [true, false])
    await assert.rejects(startStore({ port: 0, dataDir: "/dev/null/data", parameters: { appendonly } }), hasCode("disk.io"));
});
