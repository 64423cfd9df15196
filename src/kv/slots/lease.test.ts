import assert from "node:assert/strict";
import { test } from "node:test";
import { realClock } from "../../base/clock.ts";
import { openRegister } from "../../register/open-register.ts";
import type { Register } from "../../register/register.ts";
import { acquireLease, leaseHolds, renewLease, watchLease } from "./lease.ts";
import { claimSlots, readSlotMap } from "./ownership.ts";
import { takeOver } from "./take-over.ts";

// The register is a real one, in memory; the clocks are two machines' that have different zeros.
const open = () => openRegister("sqlite::memory:", { clock: realClock });
const LENGTH_MS = 1000;
const ALL = { start: 0, end: 16_383 };

test("a lease holds from before it was asked for, as long as it is renewed", async () => {
  await using register = await open();
  let nowMs = 5000;
  const first = await acquireLease(register, "a", LENGTH_MS, () => nowMs);
  assert.equal(leaseHolds(first, 5999), true);
  assert.equal(leaseHolds(first, 6000), false);
  nowMs = 5900;
  const renewed = await renewLease(register, first!, () => nowMs);
  assert.equal(renewed?.untilMs, 6900);
  assert.equal(await renewLease(register, first!, () => nowMs), undefined); // there has been one since
});

test("it is taken away only after it was seen unchanged for a tenth longer, and its holder then has to begin anew", async () => {
  await using register = await open();
  await claimSlots(register, { ranges: [{ ...ALL, epoch: 0 }], owner: "a", by: "create" });
  const held = await acquireLease(register, "a", LENGTH_MS, () => 0);
  let theirMs = 777_000; // wall clocks, and steps of theirs, play no part
  const taker = { node: "b", by: "takeover/1", nowMs: () => theirMs, has: () => true };
  let seen = await watchLease(register, "a", undefined, taker.nowMs);
  theirMs += 1050;
  assert.equal(await takeOver(register, seen, taker), undefined);
  const renewed = await renewLease(register, held!, () => 900);
  theirMs += 1000;
  assert.equal(await takeOver(register, seen, taker), undefined); // it was renewed meanwhile
  seen = await watchLease(register, "a", seen, taker.nowMs);
  theirMs += 1101;
  assert.equal((await takeOver(register, seen, taker))?.kind, "made");
  assert.equal(await renewLease(register, renewed!, () => 1800), undefined);
  assert.deepEqual((await readSlotMap(register)).ranges, [{ ...ALL, owner: "b", epoch: 2, by: "takeover/1" }]);
});

test("one that was renewed while the register was asked for it is good for its whole length from then", async () => {
  await using register = await open();
  await claimSlots(register, { ranges: [{ ...ALL, epoch: 0 }], owner: "a", by: "create" });
  let nowMs = 0; // of both
  const held = await acquireLease(register, "a", LENGTH_MS, () => nowMs);
  const taker = { node: "b", by: "takeover/1", nowMs: () => nowMs, has: () => true };
  const far: Register = {
    ...register,
    async read(name) {
      nowMs = 500; // it takes so long until the question is there
      await renewLease(register, held!, () => nowMs);
      return register.read(name);
    },
  };
  const seen = await watchLease(far, "a", undefined, taker.nowMs);
  nowMs = 1400;
  assert.equal(await takeOver(register, seen, taker), undefined);
});

test("a claim with epochs from before its holder came back is refused", async () => {
  await using register = await open();
  await claimSlots(register, { ranges: [{ ...ALL, epoch: 0 }], owner: "a", by: "create" });
  await acquireLease(register, "a", LENGTH_MS, () => 0);
  const stale = await readSlotMap(register);
  await claimSlots(register, { ranges: stale.ranges, owner: "a", by: "a/start/1" });
  const late = await claimSlots(register, { ranges: stale.ranges, owner: "b", by: "takeover/1" });
  assert.equal(late.kind, "refused");
  assert.equal(late.map.ranges[0]?.owner, "a");
});

test("claims of different slots at the same time are all made; of the same slots one is", async () => {
  await using register = await open();
  const claims = Array.from({ length: 8 }, (_, at) =>
    claimSlots(register, { ranges: [{ start: at, end: at, epoch: 0 }], owner: "a", by: `c/${at}` }),
  );
  assert.ok((await Promise.all(claims)).every(({ kind }) => kind === "made"));
  const rivals = Array.from({ length: 8 }, (_, at) =>
    claimSlots(register, { ranges: [{ start: 100, end: 200, epoch: 0 }], owner: `n${at}`, by: `r/${at}` }),
  );
  assert.equal((await Promise.all(rivals)).filter(({ kind }) => kind === "made").length, 1);
});
