import type { Clock } from "../../src/base/clock.ts";
import type { Random } from "../../src/base/random.ts";
import type { Engine } from "../../src/register/engine.ts";

/** How far away a register is. */
export interface Lateness {
  /** At most so long a call is under way, and its answer. 0: not at all. */
  maxMs: number;
  random: Random;
}

/**
 * An engine whose calls and answers are late, each by a time of its own: old configurations arrive after newer ones, answers are lost to whoever has given up, and changes are made that
 * nobody waits for any more.
 */
export function lateEngine(engine: Engine, lateness: Lateness, { clock }: { readonly clock: Clock }): Engine {
  const late = async <T>(call: () => Promise<T>): Promise<T> => {
    const { maxMs, random } = lateness;
    if (maxMs === 0) return call();
    const [thereMs, backMs] = random.below(2) === 0 ? [random.below(maxMs), 0] : [0, random.below(maxMs)];
    await clock.sleep(thereMs);
    const answer = await call();
    await clock.sleep(backMs);
    return answer;
  };
  const { signal } = new AbortController(); // whoever has given up does not call back what is on its way
  return {
    address: engine.address,
    read: (name) => late(() => engine.read(name, signal)),
    compareAndSet: (name, change) => late(() => engine.compareAndSet(name, change, signal)),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
