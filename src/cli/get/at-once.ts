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
  readonly onProgress: (state: ProgressState) => void;
}

/** What `get` does, if that takes a moment only; else undefined, and the download goes on for a while without an output. Throws as `download`. */
export async function getAtOnce(daemon: LocalDaemon, { url, options, directory, onProgress }: GetOrder): Promise<GetSummary | undefined> {
  const stop = new AbortController();
  const order: Order = {
    url,
    options: { ...options, output: resolve(directory, options.output) },
    signal: stop.signal,
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
  const signal = AbortSignal.timeout(HELD_MS);
  const held = answers(daemon, downloadOf(order.url, order.options, "keep", undefined), { ...order, signal });
  await held.next().catch(() => undefined); // it says so to whoever asks anew
  void readToEnd(held).catch(() => undefined);
}

async function readToEnd(responses: AsyncIterable<unknown>): Promise<void> {
  for await (const response of responses) void response;
}
