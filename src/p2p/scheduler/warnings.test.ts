import assert from "node:assert/strict";
import { test } from "node:test";
import { SUMMARY_MS, Warnings } from "./warnings.ts";

const warning = (taskId: string, cause: string) => ({ event: "scheduler.turned-down", fields: { taskId, cause, count: 3 } });

test("a cause is told once for each task, and what is repeated is counted and summed up", () => {
  const warnings = new Warnings();
  assert.deepEqual(warnings.summary(0), []);
  const told = ["a", "a", "b", "a"].map((task) => warnings.isNews(warning(task, "blocked"), 1));
  assert.deepEqual(told, [true, false, true, false]);
  assert.equal(warnings.isNews(warning("a", "host-silent"), 1), true);
  assert.deepEqual(warnings.summary(SUMMARY_MS - 1), []);
  assert.deepEqual(
    warnings.summary(SUMMARY_MS).map(({ cause, repeats }) => [cause, repeats]),
    [["blocked", 2]],
  );
  assert.deepEqual(warnings.summary(2 * SUMMARY_MS), []);
  assert.equal(warnings.isNews(warning("a", "blocked"), 2 * SUMMARY_MS), false);
  assert.equal(warnings.isNews(warning("a", "blocked"), 20 * SUMMARY_MS), true);
});

test("a cause that hits a thousand tasks is told of a few of them, and nothing grows with their number", () => {
  const warnings = new Warnings();
  let told = 0;
  for (let n = 0; n < 100_000; n++) told += warnings.isNews(warning(`task${n}`, "host-silent"), 0) ? 1 : 0;
  assert.equal(told, 10);
  assert.deepEqual(
    warnings.summary(0).map(({ repeats }) => repeats),
    [99_990],
  );
});
