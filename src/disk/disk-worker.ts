import { parentPort } from "node:worker_threads";
import { realClock } from "../base/clock.ts";
import { invariant, systemCodeOf } from "../base/errors.ts";
import { DISK_ERRANDS, type DiskErrandName } from "./disk-errands.ts";
import type { DiskAnswer, DiskAnswers, DiskOrder } from "./disk-thread.ts";
import { sealTogether, type Seal } from "./seal-together.ts";
import { loadStreamedWrites } from "./streamed-writes.ts";

// The thread that runs errands for `DiskThread`: what comes together is answered together.

invariant(parentPort !== null, "runs as a worker");
const port = parentPort;
const streamed = await loadStreamedWrites();
let turn = Promise.resolve();

port.on("message", (orders: readonly DiskOrder[]) => {
  turn = turn.then(() => serve(orders));
});

async function serve(orders: readonly DiskOrder[]): Promise<void> {
  const startedMs = realClock.nowMs();
  const answers = await answersOf(orders);
  port.postMessage({ answers, tookMs: realClock.nowMs() - startedMs } satisfies DiskAnswers);
}

/** In their order, but that files which follow each other are made durable together. */
async function answersOf(orders: readonly DiskOrder[]): Promise<DiskAnswer[]> {
  const answers: DiskAnswer[] = [];
  while (answers.length < orders.length) {
    const seals = sealsFrom(orders, answers.length);
    if (seals.length > 0) answers.push(...(await answersOfSeals(seals)));
    else answers.push(answerOf(orders[answers.length]!)); // not behind the end
  }
  return answers;
}

function sealsFrom(orders: readonly DiskOrder[], from: number): readonly Seal[] {
  const seals: Seal[] = [];
  for (let place = from; orders[place]?.name === "seal"; place++) seals.push(orders[place]!.of as Seal);
  return seals;
}

async function answersOfSeals(seals: readonly Seal[]): Promise<DiskAnswer[]> {
  const failed = await sealTogether(seals, streamed);
  return seals.map((seal) => (failed.has(seal) ? answerOfError(failed.get(seal)) : { gives: undefined }));
}

function answerOf({ name, of }: DiskOrder): DiskAnswer {
  try {
    return { gives: (DISK_ERRANDS[name as Exclude<DiskErrandName, "seal">] as (of: unknown) => unknown)(of) };
  } catch (error) {
    return answerOfError(error);
  }
}

function answerOfError(error: unknown): DiskAnswer {
  const { syscall } = error as NodeJS.ErrnoException;
  return { code: systemCodeOf(error), syscall, reason: error instanceof Error ? error.message : String(error) };
}
