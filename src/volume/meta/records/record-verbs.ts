import type { Clock } from "../../../base/clock.ts";
import { Changes } from "../rules/changes.ts";
import type { Engine } from "../rules/engine.ts";
import { Quotas } from "../rules/quotas.ts";
import { NO_REQUEST } from "../verbs.ts";
import { verbsOn, type EngineVerbs } from "../rules/verbs-on.ts";
import { markerGroup } from "./keys.ts";
import { LostAnswers } from "./lost-answers.ts";
import { recordTables } from "./record-tables.ts";
import { fenceOf, RecordTurn } from "./record-turn.ts";
import { runHere, transactionOf, type SyncRecordStore } from "./transaction.ts";
import { View } from "./view.ts";

/** What was looked at so lately is not asked for again by verbs that change nothing, unless they have settled since: as with other engines. */
const TURN_MS = 10;

export interface RecordVerbsOptions {
  readonly store: SyncRecordStore & AsyncDisposable;
  readonly sessionId: number;
  readonly clock: Clock;
  /** Something was committed that other sessions may wait for. */
  readonly onChanges?: () => void;
}

/**
 * The verbs over an engine elsewhere. Each one is a transaction of its own, and done when it answers; it blocks the thread meanwhile, at most as long as the
 * store waits.
 */
export function openRecordVerbs({ store, sessionId, clock, onChanges = () => undefined }: RecordVerbsOptions): EngineVerbs {
  const view = new View();
  let settledMs = 0;
  const tables = recordTables(view, { id: sessionId, wallMs: () => clock.wallMs() });
  let shared = false;
  const turn = new RecordTurn(view, sessionId, {
    settled: () => (settledMs = clock.nowMs()),
    shared: (others) => (shared = others),
  });
  const usage = new Quotas(tables, turn);
  const changes = new Changes();
  const engine: Engine = { ...tables, sessionId, clock, group: turn, usage, changes, opens: new Map() };

  const marker = markerGroup(sessionId);
  const lostAnswers = new LostAnswers(marker);
  let requestId = NO_REQUEST;

  const inTransaction = <T>(call: () => string, work: () => T, estimates = false): T => {
    let told = false;
    let repeated = false;
    let committing: { readonly stamp: string; readonly result: T } | undefined;
    const notAnswered = (): void => {
      if (committing !== undefined && requestId !== NO_REQUEST)
        lostAnswers.lost(committing.stamp, { call: call(), result: committing.result });
      committing = undefined;
    };
    const steps = transactionOf({
      view,
      clock,
      trustedMs: shared && !estimates ? Number.POSITIVE_INFINITY : Math.max(settledMs, clock.nowMs() - TURN_MS),
      begin() {
        notAnswered(); // not made when it was asked after, but it may be on its way
        turn.begin();
        usage.forget();
        changes.forget();
      },
      work() {
        const before = lostAnswers.answerTo(call, view);
        repeated = before !== undefined;
        return before === undefined ? work() : (before.result as T); // of the same verb
      },
      finish() {
        usage.write();
        const set = changes.set();
        turn.finish(set);
        told = (set?.unlocked.length ?? 0) > 0;
      },
      onCommit: (stamp, result) => (committing = { stamp, result }),
      marker,
    });
    let result: ReturnType<typeof runHere<T>>;
    try {
      result = runHere(steps, store);
    } catch (error) {
      turn.doubted();
      notAnswered();
      throw error;
    }
    turn.committed();
    if (committing !== undefined) lostAnswers.committed();
    if (repeated) lostAnswers.answered(call());
    if (told || repeated) onChanges();
    return result;
  };

  const volumeUuid = inTransaction(
    () => "",
    () => fenceOf(view).uuid,
  );
  let verbCount = 0;
  const verbs = verbsOn(engine, volumeUuid, (verb, estimates) => {
    const number = ++verbCount;
    return (a, b, c, d, e) =>
      inTransaction(
        () => JSON.stringify([requestId, number, a, b, c, d, e]),
        () => verb(a, b, c, d, e),
        estimates,
      );
  });
  verbs.leases.renew();
  return {
    ...verbs,
    asRequest: (id) => void (requestId = id),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
