import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRoom, UNKNOWN_LINK, type LinkState } from "./make-room.ts";

const MB = 1e6;

interface World {
  readonly linkBytesPerSecond: number;
  /** What others would send if they could, at a second. */
  readonly others: (second: number) => number;
  /** Their connections beside each one of ours, which is how a full link is shared. */
  readonly othersPerOurs?: number;
  readonly wanted?: (second: number) => number;
  readonly known?: number;
  readonly from?: LinkState;
}

interface Second {
  readonly background: number;
  readonly others: number;
  readonly capacity: number;
}

/** A link that is shared by connections when it is full, sampled once a second. */
function live(world: World, seconds: number): { readonly history: readonly Second[]; readonly state: LinkState } {
  let state = world.from ?? UNKNOWN_LINK;
  const history: Second[] = [];
  for (let second = 0; second < seconds; second++) {
    const wanted = Math.min(world.wanted?.(second) ?? Infinity, state.allowance);
    const theirs = world.others(second);
    const link = world.linkBytesPerSecond;
    const part = 1 / (1 + (world.othersPerOurs ?? 1 / 64));
    const background = Math.min(wanted, Math.max(link - theirs, link * part));
    const others = Math.min(theirs, link - background);
    state = makeRoom(state, { elapsedMs: 1000, linkBytes: background + others, backgroundBytes: background }, world.known);
    history.push({ background, others, capacity: state.capacity });
  }
  return { history, state };
}

const meanOf = (history: readonly Second[], of: "background" | "others"): number =>
  history.reduce((sum, second) => sum + second[of], 0) / history.length;

test("alone on a link, background traffic finds out what it carries and uses nearly all of it", () => {
  for (const link of [2 * MB, 100 * MB, 5000 * MB]) {
    const { history, state } = live(
      { linkBytesPerSecond: link, others: () => 0.01 * MB, wanted: (second) => (second < 5 ? 0 : Infinity) },
      120,
    );
    assert.ok(Math.abs(state.capacity - link) < 0.02 * link, `${state.capacity} of ${link}`);
    const mean = meanOf(history.slice(40), "background");
    assert.ok(mean > 0.88 * link, `${mean} of ${link}`);
  }
});

test("others get what they want of a link that many connections of ours had filled", () => {
  const before = live({ linkBytesPerSecond: 100 * MB, others: () => 0 }, 60);
  for (const wanted of [20 * MB, 60 * MB, Infinity]) {
    const { history } = live({ linkBytesPerSecond: 100 * MB, others: () => wanted, from: before.state }, 120);
    const others = meanOf(history.slice(20), "others");
    assert.ok(others > 0.9 * Math.min(wanted, 95 * MB), `${others} of ${wanted}`);
    const used = meanOf(history.slice(20), "background") + others;
    assert.ok(used > 85 * MB, `the link is used: ${used}`);
  }
});

test("background traffic is never starved, and comes back when the others leave", () => {
  const before = live({ linkBytesPerSecond: 100 * MB, others: () => 0 }, 60);
  const { history } = live({ linkBytesPerSecond: 100 * MB, others: (second) => (second < 60 ? Infinity : 0), from: before.state }, 80);
  assert.ok(history.slice(0, 60).every(({ background }) => background > 0));
  assert.ok(history[67]!.background > 80 * MB, `${history[67]!.background}`);
});

test("traffic that was there first is not pushed aside while the link is still unknown", () => {
  const { history } = live({ linkBytesPerSecond: 100 * MB, others: () => 70 * MB, wanted: (second) => (second < 10 ? 0 : Infinity) }, 120);
  assert.ok(meanOf(history.slice(10), "others") > 62 * MB, `${meanOf(history.slice(10), "others")}`);
});

test("a link that carries less than it did is found out in time", () => {
  const before = live({ linkBytesPerSecond: 100 * MB, others: () => 0 }, 60);
  const { state } = live({ linkBytesPerSecond: 25 * MB, others: () => 0, from: before.state }, 1500);
  assert.ok(state.capacity < 30 * MB, `${state.capacity}`);
});

test("while there is no background traffic nothing is forgotten", () => {
  const before = live({ linkBytesPerSecond: 100 * MB, others: () => 0 }, 60);
  const { state } = live({ linkBytesPerSecond: 100 * MB, others: () => MB, wanted: () => 0, from: before.state }, 86_400);
  assert.ok(state.capacity > 90 * MB && state.allowance > 80 * MB);
});

test("traffic that goes another way than over the link is left alone", () => {
  let state = UNKNOWN_LINK;
  for (let second = 0; second < 30; second++)
    state = makeRoom(state, { elapsedMs: 1000, linkBytes: 0.1 * MB, backgroundBytes: 500 * MB }, undefined);
  assert.equal(state.allowance, Infinity);
});

test("a capacity that somebody named is not doubted", () => {
  const { history, state } = live({ linkBytesPerSecond: 100 * MB, others: () => 0, known: 40 * MB }, 100);
  assert.equal(state.capacity, 40 * MB);
  assert.ok(history.slice(1).every(({ background }) => background <= 36 * MB));
});
