import assert from "node:assert/strict";
import { test } from "node:test";
import { AnaxError } from "../../base/errors.ts";
import { goOn, type Surviving } from "./reconnect.ts";

const LOST = new AnaxError("rpc.unavailable", { reason: "the other side closed the connection" });
const STOPPING = new AnaxError("daemon.stopping");

/** Attempts that end as the rows say: with an answer and more bytes or without, or well. */
function aGet(rows: readonly ("gone" | "heard" | "gained" | "done")[], more: Partial<Surviving> & { readonly reached?: boolean } = {}) {
  const seen = { attempts: 0, heard: 0, bytes: 0, waits: 0 };
  const again = async (): Promise<string> => {
    const row = rows[Math.min(seen.attempts++, rows.length - 1)]!;
    if (row !== "gone") seen.heard++;
    if (row === "gained") seen.bytes++;
    if (row !== "done") throw LOST;
    return "whole";
  };
  const surviving: Surviving = {
    daemon: { reached: more.reached ?? true, socketPath: "/s" } as Surviving["daemon"], // no more of it is looked at
    waitMs: 60_000,
    signal: new AbortController().signal,
    heard: () => seen.heard,
    doneBytes: () => seen.bytes,
    onWaiting: () => seen.waits++,
    ...more,
  };
  return { seen, run: (thrown: unknown) => goOn(thrown, again, surviving) };
}

test("a get is tried again until a daemon has answered it to its end", async () => {
  for (const lost of [LOST, STOPPING]) {
    const { seen, run } = aGet(["gone", "gone", "gained", "gone", "done"]);
    assert.equal(await run(lost), "whole");
    assert.deepEqual([seen.attempts, seen.waits], [5, 5]);
  }
});

test("what is no loss of the daemon is thrown as it is", async () => {
  const refused = new AnaxError("source.not-found");
  await assert.rejects(aGet(["done"]).run(refused), refused);
  await assert.rejects(aGet(["done"], { reached: false }).run(LOST), LOST);
  await assert.rejects(aGet(["done"], { waitMs: 0 }).run(LOST), LOST);
  const stop = new AbortController();
  stop.abort(refused);
  await assert.rejects(aGet(["done"], { signal: stop.signal }).run(LOST), refused);
});

test("a daemon that does not come back, or dies each time, is not waited for without end", async () => {
  await assert.rejects(aGet(["gone"], { waitMs: 250 }).run(LOST), { code: "daemon.unreachable" });
  const dying = aGet(["heard"]);
  await assert.rejects(dying.run(LOST), { code: "rpc.unavailable" });
  assert.ok(dying.seen.attempts < 10);
});
