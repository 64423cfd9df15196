import assert from "node:assert/strict";
import { test } from "node:test";
import { describeSettings } from "../../base/config.ts";
import { ERRORS } from "../../base/errors.ts";
import { AnaxConfig } from "../../node/config.ts";
import { SOURCE_BECAUSE } from "../../p2p/scheduler/events.ts";
import { REJECTIONS, RELAXATIONS } from "../../p2p/scheduler/rules.ts";
import { FAILURE_CODES, SOURCE_DENIALS } from "../../p2p/scheduler/source.ts";
import { BLOCK_REASONS } from "../../p2p/scheduler/state.ts";
import { Decision, ExplainTaskResponse, PeerExplanation } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { timestampOf } from "../../wire/grpc/time.ts";
import { BLOCKS, DENIALS, failureAdvice, KINDS, READS, RELAXED, RULES, SILENCES, TO_SOURCE } from "./advice.ts";
import { decisionLines, denialLine, peersToShow } from "./words.ts";

test("every rule, reason and failure has a sentence and says what to do next", () => {
  assert.deepEqual(Object.keys(RULES).toSorted(), REJECTIONS.toSorted());
  assert.deepEqual(Object.keys(TO_SOURCE), [...SOURCE_BECAUSE]);
  assert.deepEqual(Object.keys(DENIALS), [...SOURCE_DENIALS]);
  assert.deepEqual(Object.keys(BLOCKS), [...BLOCK_REASONS]);
  assert.deepEqual(Object.keys(RELAXED), [...RELAXATIONS]);
  for (const { says, hint } of [RULES, TO_SOURCE, DENIALS].flatMap((table) => Object.values(table)))
    assert.ok(says !== "" && hint !== "", says);
  for (const code of [...FAILURE_CODES, ...Object.keys(ERRORS)]) {
    const { says, hint } = failureAdvice(code);
    assert.ok(says !== code && hint !== "", code);
  }
});

test("every setting that an advice names is there", () => {
  const known = new Set(describeSettings(AnaxConfig).map(({ path }) => path));
  const rooms = new Set([...known].map((path) => path.split(".").slice(0, 2).join(".")));
  const text = JSON.stringify([RULES, TO_SOURCE, DENIALS, READS, BLOCKS, SILENCES, KINDS, Object.keys(ERRORS).map(failureAdvice)]);
  const named = text.match(/p2p(\.[A-Za-z]+)+/g) ?? [];
  assert.ok(named.length > 10);
  assert.deepEqual(
    named.filter((path) => !known.has(path) && !rooms.has(path)),
    [],
  );
});

const at = timestampOf(Date.parse("2026-11-26T14:03:02.120Z"));

test("the funnel says in words who was turned down, until when, and what to do", () => {
  const decision = Decision.fromPartial({
    at,
    peerId: "b-1",
    hostname: "b",
    kind: "wait",
    because: "no-candidates",
    relaxation: "none",
    candidates: 3,
    rejections: [
      { rule: "blocked", count: 1 },
      { rule: "host-silent", count: 2 },
    ],
    rejected: [
      { hostname: "a", rule: "blocked", detail: "damaged", times: 4, since: at, until: timestampOf(Date.parse("2026-11-26T14:03:10Z")) },
      { hostname: "c", rule: "host-silent", detail: "no-heartbeat", since: at },
    ],
  });
  assert.deepEqual(decisionLines([decision]), [
    "  14:03:02.120  waits, as nobody could be offered: none of 3 others",
    `      1 × blocked: ${RULES.blocked.says} — a (pieces from it arrived damaged, 4 times, until 14:03:10)`,
    `      2 × host-silent: ${RULES["host-silent"].says} — c (no heartbeat, since 14:03:02)`,
    `  → blocked: ${RULES.blocked.hint}`,
    `  → host-silent: ${RULES["host-silent"].hint}`,
  ]);
});

test("an offer says who passed, with which score, and what was overlooked", () => {
  const decision = Decision.fromPartial({
    at,
    kind: "parents",
    because: "asked",
    relaxation: "busy",
    candidates: 2,
    considered: [
      { peerId: "a-1", hostname: "a", score: 0.8123, role: "holder" },
      { peerId: "c-1", hostname: "c", score: 0.3, role: "part" },
    ],
    chosen: ["a-1"],
  });
  assert.deepEqual(decisionLines([decision]), [
    "  14:03:02.120  was given others to fetch from: 1 of 2 others",
    `      since there was nobody else, ${RELAXED.busy}`,
    "      passed: a (holder 0.81), c (0.30 not taken)",
  ]);
});

test("words of a newer scheduler are shown as they are", () => {
  const decision = Decision.fromPartial({
    at,
    kind: "source-denied",
    because: "moon-phase",
    rejections: [{ rule: "too-round", count: 1 }],
  });
  assert.deepEqual(decisionLines([decision]), [
    "  14:03:02.120  may not read the source now: moon-phase (moon-phase)",
    "      1 × too-round: too-round",
  ]);
});

const peer = (peerId: string, more: Partial<PeerExplanation>) => PeerExplanation.fromPartial({ peerId, ...more });

test("shown are this host, and of the others those that wait or failed; one that stands in line with its place", () => {
  const waiting = peer("w", { waiting: true, sourceDenied: "cluster-budget" });
  const peers = [waiting, peer("f", { state: "failed" }), peer("s", { state: "succeeded" }), peer("own", { state: "succeeded" })];
  const shown = peersToShow(ExplainTaskResponse.fromPartial({ peers }), "own", 4);
  assert.deepEqual(
    shown.map(({ peerId }) => peerId),
    ["own", "w", "f"],
  );
  assert.match(denialLine(waiting, 7) ?? "", /^It may not read the source now \(number 7 in line\): as many .* do\. Wait: .*\.$/);
});
