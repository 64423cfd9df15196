import assert from "node:assert/strict";
import { syncBuiltinESMExports } from "node:module";
import { test } from "node:test";
import { syncs } from "../../../../test/chaos/failing-syncs.ts";
import { temporaryDirectory } from "../../../../test/kit/temporary-directory.ts";
import type { StoredRecord } from "./records.ts";

syncBuiltinESMExports();
const { Records } = await import("./records.ts");

const recordOf = (letter: string, ranges: number): StoredRecord => ({
  role: "source",
  wallMs: 0,
  record: {
    move: {
      job: letter.repeat(40),
      from: "x",
      to: "y",
      ranges: Array.from({ length: ranges }, (_, n) => ({ start: n % 16_384, end: n % 16_384 })),
    },
    attempt: 1,
    phase: "open",
    expected: [],
  },
});

for (const mode of ["failed", "lost"] as const)
  test(`records whose sync has failed (${mode}) do not come back behind a shorter one that was written in their place`, async () => {
    await using directory = await temporaryDirectory();
    {
      await using records = await Records.open(directory.path);
      const put = (letter: string, ranges: number): Promise<void> =>
        records.put(letter.repeat(40), () => Promise.resolve(recordOf(letter, ranges)));
      await put("a", 3);
      syncs.mode = mode;
      const outcomes = await Promise.allSettled([put("b", 50), put("c", 50), put("d", 50)]);
      syncs.mode = "good";
      assert.deepEqual(
        outcomes.map(({ status }) => status),
        ["rejected", "rejected", "rejected"],
      );
      await put("e", 1);
    }
    await using again = await Records.open(directory.path);
    assert.deepEqual(
      again.all.map(({ record }) => record.move.job[0]),
      ["a", "e"],
    );
  });

test("a log that cannot be written anew goes on once it can", async () => {
  await using directory = await temporaryDirectory();
  {
    await using records = await Records.open(directory.path);
    const put = (letter: string, ranges: number): Promise<void> =>
      records.put(letter.repeat(40), () => Promise.resolve(recordOf(letter, ranges)));
    await put("a", 200_000); // longer than a log may be
    syncs.mode = "failed";
    await assert.rejects(put("b", 1), { code: "disk.io" });
    syncs.mode = "good";
    await put("c", 1);
  }
  await using again = await Records.open(directory.path);
  assert.deepEqual(
    again.all.map(({ record }) => record.move.job[0]),
    ["a", "c"],
  );
});
