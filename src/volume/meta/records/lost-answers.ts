import type { View } from "./view.ts";

/** What is kept for requests that are not repeated after all. */
const KEPT_MAX = 1024;

interface Unanswered {
  /** Which verb with what, for which request. */
  readonly call: string;
  readonly result: unknown;
}

/**
 * Commits of a session whose answer did not come, and what the verbs would have answered, so that a verb that is called again for the same request answers as it
 * did when it was made the first time. Every commit of the session compares and replaces the version of its marker: of those that are open one at most was
 * made, then the marker has its stamp, and none can be any more once a later commit was.
 */
export class LostAnswers {
  readonly #marker: string;
  /** By stamp. */
  readonly #open = new Map<string, Unanswered>();
  /** Results by call. */
  readonly #made = new Map<string, unknown>();

  constructor(marker: string) {
    this.#marker = marker;
  }

  /** The answer to that commit is lost. */
  lost(stamp: string, unanswered: Unanswered): void {
    this.#open.set(stamp, unanswered);
    keepNewest(this.#open);
  }

  /** A later commit was made. */
  committed(): void {
    this.#open.clear();
  }

  /** Within each run of a transaction: what the call answered when it was made before. Throws `Miss`. */
  answerTo(call: () => string, view: View): { readonly result: unknown } | undefined {
    if (this.#open.size > 0) {
      view.expect([{ group: this.#marker, key: "" }]);
      const made = this.#open.get(view.versionOf(this.#marker));
      if (made !== undefined) {
        this.#open.clear();
        this.#made.set(made.call, made.result);
        keepNewest(this.#made);
      }
    }
    if (this.#made.size === 0) return undefined;
    const wanted = call();
    return this.#made.has(wanted) ? { result: this.#made.get(wanted) } : undefined;
  }

  /** It has been answered. */
  answered(call: string): void {
    this.#made.delete(call);
  }
}

function keepNewest(map: Map<string, unknown>): void {
  if (map.size > KEPT_MAX) map.delete(map.keys().next().value!); // it has one
}
