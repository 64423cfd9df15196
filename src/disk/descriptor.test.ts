import assert from "node:assert/strict";
import { fstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../test/kit/temporary-directory.ts";
import { closeDescriptor, openDescriptor, preparedOrGone } from "./descriptor.ts";

test("a new file that cannot be prepared leaves neither its name nor its descriptor", async () => {
  await using directory = await temporaryDirectory();
  const path = join(directory.path, "file");
  const kept = await preparedOrGone(path, await openDescriptor(path, "wx"), async () => undefined);
  await closeDescriptor(kept);
  assert.deepEqual(readdirSync(directory.path), ["file"]);
  const fd = await openDescriptor(path, "r");
  await assert.rejects(
    preparedOrGone(path, fd, () => Promise.reject(new Error("no room"))),
    /no room/,
  );
  assert.deepEqual(readdirSync(directory.path), []);
  assert.throws(() => fstatSync(fd), { code: "EBADF" });
});
