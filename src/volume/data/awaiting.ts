/**
 * Thrown by what answers at once where it would have to wait: for a blob to come, or to be somewhere else, too. Nothing is half done then: after `until` the same
 * call is made again, and goes on.
 */
export class Awaiting extends Error {
  readonly until: Promise<unknown>;

  constructor(until: Promise<unknown>) {
    super("something is awaited");
    this.until = until;
    until.catch(() => undefined); // whoever calls may have left
  }
}

/** What `work` answers, or `otherwise` where it would have to wait. */
export function orIfAwaiting<T>(work: () => T, otherwise: (awaiting: Awaiting) => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof Awaiting) return otherwise(thrown);
    throw thrown;
  }
}
