import { randomUUID } from "node:crypto";
import type { Clock } from "../../base/clock.ts";
import { AnaxError } from "../../base/errors.ts";
import { TurnBatch } from "../../base/turn-batch.ts";
import type { BidiStream, GrpcChannel } from "../../wire/grpc/client.ts";
import {
  SchedulerService,
  type AttachRequest,
  type AttachResponse,
  type StoredTask as WireStored,
} from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { msOf } from "../../wire/grpc/time.ts";
import type { TaskId } from "../model/ids.ts";
import type { DaemonConfig } from "./config.ts";
import { HostNews } from "./host-news.ts";
import type { HostFacts } from "./host.ts";
import type { Inventory, RunningTasks } from "./inventory.ts";
import { linkedSignal, type LinkedSignal } from "./linked-signal.ts";
import { createProgress } from "./progress.ts";
import type { Talks } from "./talks.ts";

export interface AttachOptions {
  readonly channel: GrpcChannel;
  readonly host: HostFacts;
  readonly inventory: Inventory;
  readonly running: RunningTasks;
  readonly talks: Talks;
  /** Raw Ed25519 public key under which this host vouches for what it read from a source. */
  readonly signingKey?: Uint8Array | undefined;
  readonly config: Pick<DaemonConfig, "schedulerConnectMs">;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The scheduler knows this host; `tell` passes on what becomes of a task from now on. */
  readonly onAttached: (tell: (task: TaskId) => void) => void;
}

/** Tasks in one Hello: keeps a message far below gRPC's limit, however much is stored. */
const HELLO_TASKS_MAX = 500;
const HEARTBEAT_DEFAULT_MS = 1000;
const HEARTBEAT_MIN_MS = 50;
const MISSES_DEFAULT = 3;

/** New on each start of this process, so that a scheduler tells a restart from a reconnection. */
const INSTANCE_ID = randomUUID();

const NO_KEY = new Uint8Array();

type AttachStream = BidiStream<AttachRequest, AttachResponse>;

/** Holds a stream to a scheduler of ours until it breaks or falls silent; throws why. `rpc.unimplemented`: it is not one of ours. */
export async function attachTo(options: AttachOptions): Promise<never> {
  const { channel, clock, config, signal } = options;
  using scope = linkedSignal(signal);
  using stream = channel.bidi(SchedulerService.attach, { signal: scope.signal, connectTimeoutMs: config.schedulerConnectMs });
  using late = clock.timer(config.schedulerConnectMs * 2, () => scope.abort(silence("no welcome in time")));
  const responses = stream.responses[Symbol.asyncIterator]();
  const news = new HostNews(() => options.host.message());
  const greeted = greet(stream, options);
  greeted.catch(() => undefined); // the responses tell why
  const first = await responses.next();
  late[Symbol.dispose]();
  if (first.done === true || first.value.response?.$case !== "welcome") throw new AnaxError("rpc.internal", { reason: "no welcome" });
  await greeted;
  const { heartbeatInterval, heartbeatMissesMax, takesTalks, takesBatches } = first.value.response.value;
  const { talks } = options;
  const speech = new Speech(stream, takesBatches);
  if (takesTalks) talks.connect((talk) => speech.say({ $case: "talk", value: talk }));
  options.onAttached((task) => tell(speech, options.inventory, task));
  const pulse = startPulse({
    ...options,
    speech,
    news,
    scope,
    intervalMs: Math.max(HEARTBEAT_MIN_MS, heartbeatInterval === undefined ? HEARTBEAT_DEFAULT_MS : msOf(heartbeatInterval)),
    missesMax: heartbeatMissesMax || MISSES_DEFAULT,
  });
  try {
    for (let next = await responses.next(); next.done !== true; next = await responses.next()) {
      pulse.heard();
      const { response } = next.value;
      if (response?.$case === "answer") talks.hear(response.value);
      else if (response?.$case === "batch") for (const answer of response.value.answers) talks.hear(answer);
    }
  } finally {
    pulse[Symbol.dispose]();
    talks.disconnect(silence("the stream of this host has ended"));
  }
  throw new AnaxError("rpc.unavailable", { reason: "the scheduler ended the stream" });
}

async function greet(stream: AttachStream, { host, inventory, signingKey = NO_KEY }: AttachOptions): Promise<void> {
  let tasks: WireStored[] = [];
  const hello = (more: boolean) =>
    stream.send({
      request: { $case: "hello", value: { host: host.message(), tasks, more, instanceId: INSTANCE_ID, signingKey, takesBatches: true } },
    });
  for (const task of inventory.list()) {
    if (tasks.length === HELLO_TASKS_MAX) {
      await hello(true);
      tasks = [];
    }
    tasks.push(task);
  }
  await hello(false);
}

type Said = NonNullable<AttachRequest["request"]>;

/** Requests in one batch, and bytes of the bitmap in one of them: both keep a message far below gRPC's limit. */
const BATCH_MAX = 64;
const BITMAP_BYTES_MAX = 4096;

/** What this host says once it is welcome. Who hears it on the other side is told by the answers, so that nobody waits for a message to be sent. */
class Speech {
  readonly #stream: AttachStream;
  readonly #batch: TurnBatch<Said> | undefined;

  constructor(stream: AttachStream, takesBatches: boolean) {
    this.#stream = stream;
    if (takesBatches) this.#batch = new TurnBatch({ itemsMax: BATCH_MAX, pass: (all) => this.#send(batchOf(all)) });
  }

  /** Together with what else is said now. */
  say(said: Said): void {
    if (this.#batch === undefined) this.#send(said);
    else this.#batch.add(said);
  }

  /** By itself, after what was said before. */
  sayAlone(said: Said): void {
    this.#batch?.flush();
    this.#send(said);
  }

  #send(request: Said): void {
    this.#stream.send({ request }).catch(() => undefined); // its reader hears of it, and the next Hello says it all anyway
  }
}

function batchOf([first, ...more]: readonly Said[]): Said {
  if (first !== undefined && more.length === 0) return first;
  return { $case: "batch", value: { requests: [first, ...more].map((request) => ({ request })) } };
}

function tell(speech: Speech, inventory: Inventory, task: TaskId): void {
  const stored = inventory.find(task);
  if (stored === undefined) speech.say({ $case: "dropped", value: { taskId: task, peerId: inventory.peerIdOf(task) ?? "" } });
  else if (stored.finishedPieces.length > BITMAP_BYTES_MAX) speech.sayAlone({ $case: "stored", value: stored });
  else speech.say({ $case: "stored", value: stored });
}

/** Heartbeats out, and the alarm when nothing comes back. */
function startPulse(options: {
  readonly speech: Speech;
  readonly host: HostFacts;
  readonly news: HostNews;
  readonly inventory: Inventory;
  readonly running: RunningTasks;
  readonly clock: Clock;
  readonly scope: LinkedSignal;
  readonly intervalMs: number;
  readonly missesMax: number;
}): Disposable & { heard(): void } {
  const { speech, host, news, inventory, running, clock, scope, intervalMs, missesMax } = options;
  const progress = createProgress(inventory, running);
  let heardMs = clock.nowMs();
  let sequence = 0;
  let timer: Disposable;
  const beat = (): void => {
    // Twice the scheduler's own patience: it may be busy, and giving it up costs more than a late notice.
    if (clock.nowMs() - heardMs > intervalMs * (missesMax + 1) * 2) return scope.abort(silence("heartbeats are not answered"));
    sequence++;
    const value = {
      host: news.next(),
      sequence,
      ...host.uploads(),
      progress: progress(),
    };
    speech.sayAlone({ $case: "heartbeat", value });
    timer = clock.timer(intervalMs, beat);
  };
  timer = clock.timer(intervalMs, beat);
  return {
    heard: () => void (heardMs = clock.nowMs()),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  };
}

const silence = (reason: string): AnaxError => new AnaxError("rpc.unavailable", { reason });
