export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  abort(reason: Error): void;
}

/** A signal that aborts with `parent`, or by itself. Disposing lets go of the parent, so that a long-lived one collects no listeners. */
export function linkedSignal(parent: AbortSignal): LinkedSignal {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(parent.reason);
  if (parent.aborted) onAbort();
  else parent.addEventListener("abort", onAbort, { once: true });
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    [Symbol.dispose]: () => parent.removeEventListener("abort", onAbort),
  };
}

/** Settles with `promise`, or rejects with the signal's reason if it aborts first; the promise's own end is then nobody's. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    else signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
