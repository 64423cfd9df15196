import { parentPort, receiveMessageOnPort } from "node:worker_threads";
import { realClock } from "../base/clock.ts";
import { invariant, systemCodeOf } from "../base/errors.ts";
import { DISK_ERRANDS } from "./disk-errands.ts";
import type { DiskAnswer, DiskAnswers, DiskOrder } from "./disk-thread.ts";
import { sealTogether, type Seal } from "./seal-together.ts";
import { loadStreamedWrites } from "./streamed-writes.ts";

// The thread that runs errands for `DiskThread`: what comes together is answered together.

invariant(parentPort !== null, "runs as a worker");
const port = parentPort;
/** Files that are made durable together, before what comes next: more wait longer than they save. */
const SEALS_MAX = 64;
const streamed = await loadStreamedWrites();

port.on("message", (first: readonly DiskOrder[]) => {
  const startedMs = realClock.nowMs();
  const messages = [first, ...furtherSeals(first)];
  const answers = answersOf(messages.flat());
  const tookMs = (realClock.nowMs() - startedMs) / answers.length;
  let from = 0;
  for (const { length } of messages) {
    port.postMessage({ answers: answers.slice(from, from + length), tookMs: tookMs * length } satisfies DiskAnswers);
    from += length;
  }
});

/** What came while others were made durable, as long as it may join. */
function furtherSeals(first: readonly DiskOrder[]): (readonly DiskOrder[])[] {
  const further: (readonly DiskOrder[])[] = [];
  for (let orders = first, count = first.length; count < SEALS_MAX && orders.at(-1)?.name === "seal"; count += orders.length) {
    const next: { readonly message: readonly DiskOrder[] } | undefined = receiveMessageOnPort(port);
    if (next === undefined) break;
    orders = next.message;
    further.push(orders);
  }
  return further;
}

/** In their order, but that files which follow each other are made durable together. */
function answersOf(orders: readonly DiskOrder[]): DiskAnswer[] {
  const answers: DiskAnswer[] = [];
  while (answers.length < orders.length) {
    const seals = sealsFrom(orders, answers.length);
    if (seals.length > 1) answers.push(...answersOfSeals(seals));
    else answers.push(answerOf(orders[answers.length]!)); // not behind the end
  }
  return answers;
}

function sealsFrom(orders: readonly DiskOrder[], from: number): readonly Seal[] {
  const seals: Seal[] = [];
  for (let place = from; seals.length < SEALS_MAX && orders[place]?.name === "seal"; place++) seals.push(orders[place]!.of as Seal);
  return seals;
}

function answersOfSeals(seals: readonly Seal[]): DiskAnswer[] {
  const failed = sealTogether(seals, streamed);
  return seals.map((seal) => (failed.has(seal) ? answerOfError(failed.get(seal)) : { gives: undefined }));
}

function answerOf({ name, of }: DiskOrder): DiskAnswer {
  try {
    return { gives: (DISK_ERRANDS[name] as (of: unknown) => unknown)(of) };
  } catch (error) {
    return answerOfError(error);
  }
}

function answerOfError(error: unknown): DiskAnswer {
  const { syscall } = error as NodeJS.ErrnoException;
  return { code: systemCodeOf(error), syscall, reason: error instanceof Error ? error.message : String(error) };
}
