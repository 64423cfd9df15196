import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../base/random.ts";
import { VirtualClock } from "../../base/virtual-clock.ts";
import type { PeerId, TaskId } from "../model/ids.ts";
import type { Announcement, Decision } from "./announcement.ts";
import { Conversation } from "./conversation.ts";

/** A scheduler that says what a test lets it say. */
class Says {
  readonly #queue: Decision[] = [];
  #wake = (): void => undefined;

  say(decision: Decision): void {
    this.#queue.push(decision);
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Decision> {
    for (;;) {
      const decision = this.#queue.shift();
      if (decision === undefined) await new Promise<void>((resolve) => (this.#wake = resolve));
      else yield decision;
    }
  }
}

test("a scheduler that says to wait on is not silent, and one that stops saying so is", async () => {
  const clock = new VirtualClock();
  const says = new Says();
  const lost: string[] = [];
  const heard: string[] = [];
  const announcement: Announcement = {
    scheduler: "test",
    ours: true,
    send: () => undefined,
    decisions: says,
    close: () => undefined,
    [Symbol.dispose]: () => undefined,
  };
  const conversation = new Conversation({
    schedulers: { announce: () => Promise.resolve(announcement), changed: () => undefined },
    taskId: "1".repeat(64) as TaskId,
    peerId: "p" as PeerId,
    clock,
    random: createRandom(1),
    config: { schedulerReturnMs: 1000, decisionMs: 60_000 },
    signal: new AbortController().signal,
    sourceReading: () => undefined,
    introduce: () => Promise.resolve([]),
    onDecision: ({ kind }) => heard.push(kind),
    onLost: (why) => lost.push(why),
    onRefused: () => undefined,
    tell: () => undefined,
  });
  await conversation.open(1);
  for (let n = 0; n < 5; n++) {
    says.say({ kind: "wait", reason: "cluster-budget" });
    await clock.advance(50_000);
  }
  assert.deepEqual([heard.length, lost], [5, []]);
  await clock.advance(20_000);
  assert.deepEqual(lost, ["silent"]);
});
