import type { Clock } from "../base/clock.ts";
import { AnaxError } from "../base/errors.ts";
import { VALUE_BYTES_MAX, type Cell, type Change, type Register, type SetOutcome } from "./register.ts";

/** What an adapter does; deadlines, codes and limits are the same for all of them. */
export interface Engine extends AsyncDisposable {
  /** For messages; without credentials. */
  readonly address: string;
  read(name: string, signal: AbortSignal): Promise<Cell>;
  compareAndSet(name: string, change: Change, signal: AbortSignal): Promise<SetOutcome>;
}

export interface EngineOptions {
  readonly clock: Clock;
  /** Longest time for a call. */
  readonly timeoutMs: number;
}

/** Nothing has reached the engine: thrown by adapters, and never seen outside. */
export class NotSent extends Error {
  override name = "NotSent";
}

/** The engine has understood, and says no; nothing has changed. */
export class Refused extends Error {
  override name = "Refused";
}

export function registerOn(engine: Engine, { clock, timeoutMs }: EngineOptions): Register {
  const within = async <T>(
    code: "register.unreachable" | "register.unknown",
    signal: AbortSignal | undefined,
    work: Work<T>,
  ): Promise<T> => {
    signal?.throwIfAborted();
    using deadline = clock.deadline(timeoutMs, signal);
    try {
      return await untilAborted(work(deadline.signal), deadline.signal);
    } catch (cause) {
      if (cause instanceof AnaxError && cause.code.startsWith("register.")) throw cause;
      const { address } = engine;
      if (cause instanceof Refused) throw new AnaxError("register.refused", { address, reason: cause.message }, { cause });
      const reason = deadline.expired ? `no answer within ${timeoutMs} ms` : cause instanceof Error ? cause.message : String(cause);
      throw new AnaxError(cause instanceof NotSent ? "register.unreachable" : code, { address, reason }, { cause });
    }
  };
  return {
    read: (name, signal) => within("register.unreachable", signal, (ends) => engine.read(name, ends)),
    async compareAndSet(name, change, signal) {
      const bytes = Buffer.byteLength(change.value);
      if (bytes > VALUE_BYTES_MAX) throw new AnaxError("input.invalid", { cell: name, bytes, bytesMax: VALUE_BYTES_MAX });
      return within("register.unknown", signal, (ends) => engine.compareAndSet(name, change, ends));
    },
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

type Work<T> = (signal: AbortSignal) => Promise<T>;

/** An adapter that ends by the signal says how it stood; one whose library does not is left to itself, and what it says later nobody hears. */
async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => void setImmediate(() => reject(signal.reason as Error));
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  work.catch(() => undefined);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
    promise.catch(() => undefined);
  }
}
