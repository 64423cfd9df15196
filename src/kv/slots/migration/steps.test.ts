import assert from "node:assert/strict";
import { test } from "node:test";
import { restoreSource, sourceStatus, startSource, stepSource, type SourceEvent, type SourceJob } from "./source.ts";
import { restoreTarget, startTarget, stepTarget, type TargetJob } from "./target.ts";
import { MIGRATION_LIMITS as LIMITS, type CommonEvent, type Frame, type Move } from "./types.ts";

// Single steps of the two machines, where a reader wants to see them one by one; what they do together is in test/sim.

const MOVE: Move = { job: "j", ranges: [{ start: 0, end: 9 }], from: "a", to: "b" };
const EXPECTED = [{ start: 0, end: 9, epoch: 4 }];
const MINE = [{ start: 0, end: 9, epoch: 4, owner: "a", by: "create" }];
const frame = (attempt: number, body: object) => ({ kind: "frame", frame: { job: "j", attempt, ...body } as Frame }) as const;

function sourceAfter(events: readonly SourceEvent[]): { job: SourceJob; done: string[] } {
  let { next: job } = startSource(MOVE, 0, LIMITS);
  const done: string[] = [];
  for (const event of events) {
    const step = stepSource(job, event, 10, LIMITS);
    job = step.next;
    done.push(...step.effects.map((effect) => (effect.do === "send" ? effect.frame.kind : effect.do)));
  }
  return { job, done };
}

const TO_FENCE: readonly SourceEvent[] = [
  { kind: "ownership", call: 1, pieces: MINE },
  { kind: "persisted", record: 2 },
  frame(1, { kind: "accept" }),
  { kind: "walked", attempt: 1 },
];
const TO_CLAIM: readonly SourceEvent[] = [...TO_FENCE, { kind: "persisted", record: 3 }, frame(1, { kind: "confirm", fence: 1, seq: 0 })];

test("a move without entries goes from the register to the register", () => {
  const { job, done } = sourceAfter([
    ...TO_CLAIM,
    { kind: "ownership", call: 4, pieces: [{ ...MINE[0]!, owner: "b", epoch: 5, by: "j/1" }] },
  ]);
  assert.equal(job.state.kind, "finished");
  const before = ["persist", "connect", "init", "startCopy", "walk", "fence", "persist", "fence", "claim"];
  assert.deepEqual(done, [...before, "look", "stopCopy", "disconnect", "release", "unfence", "persist"]);
});

test("under constant writes the slots are fenced once what is sent is applied soon, however much that is", () => {
  const { pauseMs, handoverLagBytes } = LIMITS;
  const bytes = handoverLagBytes + 1;
  /** Entries of which the one before the last is applied `drainMs` after it was sent. */
  const phaseAfter = (drainMs: number): string => {
    let { job } = sourceAfter([...TO_FENCE.slice(0, 3), { kind: "entry", attempt: 1, bytes, keys: 1, payload: "" }, TO_FENCE[3]!]);
    const step = (event: SourceEvent, nowMs: number): void => void (job = stepSource(job, event, nowMs, LIMITS).next);
    step({ kind: "entry", attempt: 1, bytes, keys: 0, payload: "" }, 10 + drainMs);
    step(frame(1, { kind: "applied", seq: 1 }), 10 + drainMs);
    return job.state.kind;
  };
  assert.equal(phaseAfter(pauseMs / 4), "fencing");
  assert.equal(phaseAfter(pauseMs / 4 + 1), "following");
});

test("I1: cancel before the claim is over in the same turn, and the number has grown", () => {
  for (let length = 0; length <= TO_FENCE.length; length++) {
    const { job } = sourceAfter([...TO_FENCE.slice(0, length), { kind: "cancel" }]);
    assert.deepEqual([job.state.kind, job.attempt], ["cancelled", 2]);
  }
});

test("after the claim the fence stays, whatever the clock says and the peer does, until the register has answered", () => {
  let { job } = sourceAfter(TO_CLAIM);
  const seen: string[] = [];
  const events: CommonEvent[] = [
    { kind: "tick" },
    { kind: "disconnected", attempt: 1, reason: "" },
    { kind: "cancel" },
    frame(1, { kind: "cancel", reason: "" }),
  ];
  for (let nowMs = 0; nowMs < 3_600_000; nowMs += 1000)
    for (const event of events) {
      const step = stepSource(job, event, nowMs, LIMITS);
      job = step.next;
      seen.push(...step.effects.map((effect) => effect.do));
    }
  assert.equal(job.state.kind, "deciding");
  assert.deepEqual([...new Set(seen)].toSorted(), ["claim", "refuseWaiting"]);
  assert.ok(sourceStatus(job, 3_600_000).waitingFor?.includes("register"));
  const kept = stepSource(job, { kind: "ownership", call: 0, pieces: [{ ...MINE[0]!, epoch: 6, by: "j/1/keep" }] }, 3_600_000, LIMITS);
  assert.equal(kept.next.state.kind, "cancelled");
  assert.ok(kept.effects.some((effect) => effect.do === "unfence"));
});

test("what the register had before an attempt began, and says late, decides nothing", () => {
  const { job } = sourceAfter(TO_CLAIM);
  const late = { kind: "ownership", call: 0, pieces: [{ ...MINE[0]!, epoch: 3 }] } as const;
  assert.equal(stepSource(job, late, 10, LIMITS).next.state.kind, "deciding");
  const target = restoreTarget({ move: MOVE, attempt: 1, phase: "confirmed", expected: EXPECTED }, 0, LIMITS).next;
  assert.equal(stepTarget(target, late, 10, LIMITS).next.state.kind, "confirmed");
});

test("an unfence that comes late, of an earlier fence, does not undo what was confirmed", () => {
  const { next } = restoreTarget({ move: MOVE, attempt: 1, phase: "confirmed", expected: EXPECTED }, 0, LIMITS);
  assert.equal(stepTarget(next, frame(1, { kind: "unfence", fence: 1 }), 10, LIMITS).next.state.kind, "confirmed");
});

test("the pause ends in time when the target does not confirm, and a late confirm of that fence is passed over", () => {
  const { job } = sourceAfter([...TO_FENCE, { kind: "persisted", record: 3 }]);
  const late = stepSource(job, { kind: "tick" }, 10 + LIMITS.pauseMs, LIMITS);
  assert.deepEqual(
    late.effects.map((effect) => effect.do),
    ["unfence", "send"],
  );
  assert.equal(stepSource(late.next, frame(1, { kind: "confirm", fence: 1, seq: 0 }), 300, LIMITS).next.state.kind, "following");
});

test("a source that comes back with a durable fence is fenced before it does anything, and asks to keep its slots", () => {
  const { effects } = restoreSource({ move: MOVE, attempt: 3, phase: "fenced", expected: EXPECTED }, 0, LIMITS);
  assert.equal(effects[0]?.do, "fence");
  assert.deepEqual(effects[1], { do: "claim", call: 1, claim: { ranges: EXPECTED, owner: "a", by: "j/3/keep" } });
});

test("slots that are put in place are so by whichever order is answered, however often it was given", () => {
  const promoting = restoreTarget({ move: MOVE, attempt: 2, phase: "confirmed", expected: EXPECTED }, 0, LIMITS);
  const ours = { kind: "ownership", call: 1, pieces: [{ ...MINE[0]!, owner: "b", epoch: 5, by: "j/2" }] } as const;
  const first = stepTarget(promoting.next, ours, 0, LIMITS);
  const [order] = first.effects;
  assert.ok(order?.do === "promote");
  const again = stepTarget(first.next, { kind: "tick" }, LIMITS.answerMs, LIMITS);
  assert.deepEqual(again.effects, first.effects);
  const done = stepTarget(again.next, { kind: "persisted", record: order.record }, LIMITS.answerMs, LIMITS);
  assert.equal(done.next.state.kind, "finished");
});

test("the target applies each frame once, in order, of its attempt only; a gap drops the attempt", () => {
  const started = startTarget({ job: "j", attempt: 2, kind: "init", from: "a", expected: EXPECTED }, "b", 0, LIMITS);
  let job: TargetJob = stepTarget(started.next, { kind: "persisted", record: 1 }, 0, LIMITS).next;
  const applied = (attempt: number, seq: number): boolean => {
    const step = stepTarget(job, frame(attempt, { kind: "data", seq, bytes: 1, keys: 1, payload: "" }), 0, LIMITS);
    job = step.next;
    return step.effects.some((effect) => effect.do === "apply");
  };
  assert.deepEqual([applied(1, 1), applied(2, 1), applied(2, 1), applied(2, 2), applied(3, 3)], [false, true, false, true, false]);
  assert.equal(applied(2, 4), false);
  assert.equal(job.state.kind, "dropped");
});
