/**
 * Does `work` for each item in turn, `atOnce` of them at a time. The first failure stops the rest, as does the signal; resolves or throws why
 * once all that was begun has ended. `stop` aborts with that reason. Costs nothing for items whose turn has not come.
 */
export async function eachLimited<T>(
  items: readonly T[],
  options: { readonly atOnce: number; readonly signal: AbortSignal },
  work: (item: T, stop: AbortSignal, index: number) => Promise<void>,
): Promise<void> {
  const { atOnce, signal } = options;
  const stop = new AbortController();
  const onAbort = (): void => stop.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length && !stop.signal.aborted) {
      const index = next++;
      await work(items[index]!, stop.signal, index).catch((thrown: unknown) => stop.abort(thrown)); // just checked
    }
  };
  await Promise.all(Array.from({ length: Math.min(Math.max(1, atOnce), items.length) }, lane));
  signal.removeEventListener("abort", onAbort);
  stop.signal.throwIfAborted();
}
