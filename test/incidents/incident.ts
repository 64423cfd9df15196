/** What went wrong once at somebody's, as a program that makes it happen and sees how it ends. In those about nodes, B comes and asks for what A has. */
export interface Incident {
  readonly name: string;
  /** What is really done to whom. */
  readonly fault: string;
  /** Default: a quarter of an hour. */
  readonly limitMs?: number;
  run(scope: AsyncDisposableStack): Promise<Outcome>;
}

export interface Outcome {
  /** From the fault, or from the question after it, until everything was as it should be. */
  readonly recoverSeconds?: number;
  /** What the origin was asked for again, in bytes of bodies. */
  readonly originBytes?: number;
  /** What else is worth a look. */
  readonly note?: string;
}

/** This machine cannot host the fault; that is no success. */
export class CannotHost extends Error {}

export interface Result extends Outcome {
  readonly incident: Incident;
  readonly verdict: "passed" | "failed" | "skipped";
  readonly reason?: string;
}

const LIMIT_MS = 900_000;

/** Runs one to its end; everything it started is gone when this resolves. */
export async function happen(incident: Incident): Promise<Result> {
  const scope = new AsyncDisposableStack();
  const { promise: late, reject } = Promise.withResolvers<never>();
  const { limitMs = LIMIT_MS } = incident;
  const timer = setTimeout(() => reject(new Error(`not over after ${limitMs / 1000} s`)), limitMs);
  try {
    return { incident, verdict: "passed", ...(await Promise.race([incident.run(scope), late])) };
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    return { incident, verdict: thrown instanceof CannotHost ? "skipped" : "failed", reason };
  } finally {
    clearTimeout(timer);
    await scope.disposeAsync();
  }
}
