import { resolve } from "node:path";
import { realClock } from "../../base/clock.ts";
import type { LocalDaemon } from "../connect.ts";
import type { ProgressState } from "../progress.ts";
import { answers, download, type GetSummary, type Order } from "./file.ts";
import { downloadOf, type GetOptions } from "./request.ts";

/** Longer downloads have progress to show, and are cancelled with a word. */
const AT_ONCE_MS = 1000;
/** So long a download that was not done goes on for the command that will ask for it anew. */
const HELD_MS = 5000;

/** A command line, and where it was given. */
export interface GetOrder {
  readonly url: string;
  readonly options: GetOptions;
  readonly directory: string;
  /** Aborts when nobody waits for the answer any more. */
  readonly left: AbortSignal;
  readonly onProgress: (state: ProgressState) => void;
}

/** What `get` does, if that takes a moment only; else undefined, and the download goes on for a while without an output. Throws as `download`. */
export async function getAtOnce(
  daemon: LocalDaemon,
  { url, options, directory, left, onProgress }: GetOrder,
): Promise<GetSummary | undefined> {
  const stop = new AbortController();
  const order: Order = {
    url,
    options: { ...options, output: resolve(directory, options.output) },
    signal: AbortSignal.any([stop.signal, left]),
    onProgress,
  };
  using _late = realClock.timer(AT_ONCE_MS, () => void hold(daemon, order).finally(() => stop.abort()));
  try {
    return { ...(await download(daemon, order)), output: options.output };
  } catch (thrown) {
    if (stop.signal.aborted) return undefined;
    throw thrown;
  }
}

/** Resolves when the daemon knows that somebody else wants the content, too: then it goes on when the first has left. */
async function hold(daemon: LocalDaemon, order: Order): Promise<void> {
  const end = realClock.deadline(HELD_MS);
  const held = answers(daemon, downloadOf(order.url, order.options, "keep", undefined), { ...order, signal: end.signal });
  await held.next().catch(() => undefined); // it says so to whoever asks anew
  void readToEnd(held, end).catch(() => undefined);
}

async function readToEnd(responses: AsyncIterable<unknown>, end: Disposable): Promise<void> {
  using _ = end;
  for await (const response of responses) void response;
}
