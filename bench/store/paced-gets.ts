import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { createHistogram } from "node:perf_hooks";
import { setImmediate as nextTurn } from "node:timers/promises";
import { encode, linesIn } from "./feed.ts";
import { stringKey } from "./fills.ts";

/** Milliseconds from when a request was to be sent, whether it could be or not, to its reply. */
export interface Paced {
  readonly requests: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** The longest that this client itself was late to send: no server's fault. */
  readonly lateMs: number;
}

export interface PacedOptions {
  readonly port: number;
  readonly perSecond: number;
  readonly connections: number;
  /** Of `stringKey`, all of them there, with values that have no line feed. */
  readonly keys: number;
  readonly signal: AbortSignal;
}

/** Requests of one connection without a reply at most, a power of two: a server that is a minute behind is no server. */
const WAITING_MAX = 1 << 16;
/** `$32` and the value. */
const LINES_PER_REPLY = 2;

/** Sends GETs at a fixed rate, whatever the server does, until the signal; then waits for the replies. It takes a core. */
export async function pacedGets({ port, perSecond, connections, keys, signal }: PacedOptions): Promise<Paced> {
  const histogram = createHistogram({ figures: 3 });
  let [sent, answered, lateMs] = [0, 0, 0];
  let failure: Error | undefined;
  const lanes = Array.from({ length: connections }, () =>
    lane(
      port,
      (ms) => {
        answered++;
        histogram.record(Math.max(1, Math.round(ms * 1000)));
      },
      (error) => (failure ??= error),
    ),
  );
  try {
    await Promise.all(lanes.map(({ socket }) => once(socket, "connect")));
    const beganMs = performance.now();
    let lastMs = beganMs;
    while (!signal.aborted || answered < sent) {
      if (failure !== undefined) throw failure;
      const nowMs = performance.now();
      lateMs = Math.max(lateMs, nowMs - lastMs);
      lastMs = nowMs;
      const due = signal.aborted ? sent : Math.floor(((nowMs - beganMs) * perSecond) / 1000);
      for (; sent < due; sent++)
        lanes[sent % connections]!.add(
          encode(["GET", stringKey(Math.floor(Math.random() * keys))]),
          beganMs + ((sent + 1) * 1000) / perSecond,
        );
      for (const each of lanes) each.send();
      await nextTurn();
    }
  } finally {
    for (const { socket } of lanes) socket.destroy();
  }
  const at = (percent: number): number => histogram.percentile(percent) / 1000;
  return { requests: sent, p50Ms: at(50), p99Ms: at(99), p999Ms: at(99.9), maxMs: histogram.max / 1000, lateMs: Number(lateMs.toFixed(3)) };
}

interface Lane {
  readonly socket: Socket;
  add(request: string, dueMs: number): void;
  send(): void;
}

function lane(port: number, took: (ms: number) => void, failed: (error: Error) => void): Lane {
  const socket = createConnection({ host: "127.0.0.1", port, noDelay: true });
  const dueMs = new Float64Array(WAITING_MAX);
  let [added, answered, lines] = [0, 0, 0];
  let text = "";
  socket.on("error", failed);
  socket.on("close", () => failed(new Error("the server closed the connection")));
  socket.on("data", (bytes: Buffer) => {
    const nowMs = performance.now();
    if (bytes[0] === 0x2d) return failed(new Error(bytes.toString()));
    for (lines += linesIn(bytes); lines >= LINES_PER_REPLY; lines -= LINES_PER_REPLY) took(nowMs - dueMs[answered++ % WAITING_MAX]!);
  });
  return {
    socket,
    add: (request, ms) => {
      if (added - answered === WAITING_MAX) return failed(new Error(`the server is ${WAITING_MAX} replies behind on one connection`));
      dueMs[added++ % WAITING_MAX] = ms;
      text += request;
    },
    send: () => {
      if (text === "") return;
      socket.write(text, "latin1");
      text = "";
    },
  };
}
