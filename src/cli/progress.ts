import type { Clock } from "../base/clock.ts";
import { formatBytes, formatDuration } from "../base/units.ts";

export interface ProgressState {
  readonly totalBytes: number | undefined;
  readonly doneBytes: number;
  readonly fromPeersBytes: number;
  readonly fromSourceBytes: number;
  /** Nothing goes on before the daemon is there again. */
  readonly waitingForDaemon?: true;
}

export const NOTHING: ProgressState = { totalBytes: 0, doneBytes: 0, fromPeersBytes: 0, fromSourceBytes: 0 };

/** Shows how long work goes on: a bar on a terminal, JSON lines in a pipe. */
export interface Progress {
  update(state: ProgressState): void;
  /** Draws the last state and gives the terminal back. */
  stop(): void;
}

const JSON_INTERVAL_MS = 1000;

/** The bar is on standard error, so that standard output stays free for the content (`-O -`). */
export async function startProgress(kind: "bar" | "json" | "none", title: string, clock: Clock): Promise<Progress> {
  if (kind === "none") return { update: () => undefined, stop: () => undefined };
  return kind === "bar" ? startBar(title, clock) : startLines(title, clock, (line) => void process.stdout.write(line));
}

export const formatPayload = (state: ProgressState, elapsedMs: number): string => {
  const rate = elapsedMs > 0 ? (state.doneBytes / elapsedMs) * 1000 : 0;
  const leftMs = state.totalBytes === undefined || rate === 0 ? undefined : ((state.totalBytes - state.doneBytes) / rate) * 1000;
  const total = state.totalBytes === undefined ? "?" : formatBytes(state.totalBytes);
  const left = leftMs === undefined ? "" : ` | ${formatDuration(leftMs)} left`;
  if (state.waitingForDaemon) return `${formatBytes(state.doneBytes)}/${total} | waiting for the daemon to come back`;
  return `${formatBytes(state.doneBytes)}/${total} | ${formatBytes(rate)}/s${left} | peers ${formatBytes(state.fromPeersBytes)}, source ${formatBytes(state.fromSourceBytes)}`;
};

async function startBar(title: string, clock: Clock): Promise<Progress> {
  const startedMs = clock.nowMs();
  const bar = await openBar(title);
  return {
    update(state) {
      const done = state.totalBytes === 0 ? 1 : state.doneBytes;
      bar.update(done, state.totalBytes ?? state.doneBytes, formatPayload(state, clock.nowMs() - startedMs));
    },
    stop: () => bar.stop(),
  };
}

/** A bar on standard error with a line of text behind it. */
export interface Bar {
  update(done: number, total: number, line: string): void;
  stop(): void;
}

export async function openBar(title: string): Promise<Bar> {
  const { default: cliProgress } = await import("cli-progress");
  const bar = new cliProgress.SingleBar({
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: false,
    barsize: 24,
    linewrap: false,
    format: (options, params, payload: { line?: string }) =>
      `${title} [${cliProgress.Format.BarFormat(params.progress, options)}] ${Math.floor(params.progress * 100)}% | ${payload.line ?? ""}`,
  });
  bar.start(1, 0, {});
  return {
    update(done, total, line) {
      bar.setTotal(Math.max(1, total));
      bar.update(done, { line });
    },
    stop: () => bar.stop(),
  };
}

/** One JSON line a second at most, and the last state. */
export function startLines(title: string, clock: Clock, write: (line: string) => void): Progress {
  const startedMs = clock.nowMs();
  let shownMs = -JSON_INTERVAL_MS;
  let last: ProgressState | undefined;
  const show = (state: ProgressState): void => {
    const seconds = (clock.nowMs() - startedMs) / 1000;
    write(`${JSON.stringify({ event: "progress", title, ...state, seconds: Number(seconds.toFixed(3)) })}\n`);
    shownMs = clock.nowMs();
    last = undefined;
  };
  return {
    update(state) {
      if (clock.nowMs() - shownMs >= JSON_INTERVAL_MS) show(state);
      else last = state;
    },
    stop: () => last !== undefined && show(last),
  };
}
