import type { Fields } from "./state.ts";

/** The same trouble of the same task or host is news again after this. */
const AGAIN_MS = 10 * 60_000;
/** Tasks and hosts that a cause is remembered for; beyond, the one told of longest ago may be told of anew. */
const SUBJECTS_MAX = 4096;
/** Of one cause, so many are told between two summaries: when a rack fails, a thousand tasks say the same. */
const PER_CAUSE_MAX = 10;
/** How often what was not told is summed up. */
export const SUMMARY_MS = 60_000;

export interface Warning {
  readonly event: string;
  readonly fields: Fields;
}

export interface Repeated {
  readonly event: string;
  readonly cause: string;
  readonly repeats: number;
}

interface Tally {
  readonly event: string;
  readonly cause: string;
  told: number;
  repeats: number;
}

/** Lets each warning through once for each cause and task or host, and few of each cause; counts the rest. */
export class Warnings {
  readonly #toldMs = new Map<string, number>();
  readonly #tallies = new Map<string, Tally>();
  #summedMs = -Infinity;

  /** False where it is to be counted only. */
  isNews(warning: Warning, nowMs: number): boolean {
    const { event, fields } = warning;
    const cause = causeOf(fields);
    const tally = this.#tallyOf(event, cause);
    const key = `${event} ${cause} ${fields["taskId"] ?? fields["hostId"] ?? ""}`;
    const toldMs = this.#toldMs.get(key);
    if (tally.told >= PER_CAUSE_MAX || (toldMs !== undefined && nowMs - toldMs < AGAIN_MS)) {
      tally.repeats++;
      return false;
    }
    tally.told++;
    this.#toldMs.delete(key); // put last, so that the map stays in order of age
    this.#toldMs.set(key, nowMs);
    if (this.#toldMs.size > SUBJECTS_MAX) this.#toldMs.delete(this.#toldMs.keys().next().value!); // it is not empty
    return true;
  }

  /** What was counted only since the last summary; nothing before it is time for one. */
  summary(nowMs: number): readonly Repeated[] {
    if (nowMs - this.#summedMs < SUMMARY_MS) return [];
    this.#summedMs = nowMs;
    const repeated = [...this.#tallies.values()].filter(({ repeats }) => repeats > 0);
    this.#tallies.clear();
    return repeated;
  }

  /** Events and causes are words of closed lists, so there are few. */
  #tallyOf(event: string, cause: string): Tally {
    const key = `${event} ${cause}`;
    const known = this.#tallies.get(key);
    if (known !== undefined) return known;
    const tally = { event, cause, told: 0, repeats: 0 };
    this.#tallies.set(key, tally);
    return tally;
  }
}

/** Free texts, such as `reason`, are no causes: they would be as many as there are tasks. */
const causeOf = (fields: Fields): string => String(fields["cause"] ?? fields["because"] ?? fields["code"] ?? fields["status"] ?? "");
