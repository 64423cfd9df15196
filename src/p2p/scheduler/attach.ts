import { AnaxError } from "../../base/errors.ts";
import { TurnBatch } from "../../base/turn-batch.ts";
import type { AttachRequest, AttachResponse, DownloadAnswer, Hello } from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import type { BidiCall } from "../../wire/grpc/handlers.ts";
import { durationOf } from "../../wire/grpc/time.ts";
import { parsePeerId, parseTaskId, type HostId } from "../model/ids.ts";
import { hostFactsOf, progressFactsOf, signingKeyOf, storedFactsOf } from "./api.ts";
import type { StoredFacts } from "./events.ts";
import type { OpenStream, SchedulerRunner } from "./runner.ts";
import { converse } from "./stream.ts";
import { Talks } from "./talks.ts";

const INSTANCE_CHARS_MAX = 256;
/** Heartbeats that one acknowledgement stands for: a host is patient for many, and with ten thousand of them each message counts. */
const ACK_EVERY = 3;
/** Downloads that one heartbeat tells of. */
const PROGRESS_TASKS_MAX = 64;

/** An inventory on its way: a host may have more tasks than one message holds. */
interface Arrival {
  readonly hello: Hello;
  readonly inventory: StoredFacts[];
}

interface AttachedHost {
  readonly id: HostId;
  readonly talks: Talks;
}

/**
 * A host of ours on its stream `anax.v1.Scheduler/Attach`: first all that it has, then signs of life and changes. Its end takes the host out
 * of service.
 */
export async function attach(runner: SchedulerRunner, call: BidiCall<AttachRequest, AttachResponse>, schedulerId: string): Promise<void> {
  const { stream, run } = converse(call, runner.newStream());
  let arrival: Arrival | undefined;
  let host: AttachedHost | undefined;
  try {
    await run(({ request }) => {
      if (request === undefined) throw new AnaxError("input.invalid", { reason: "the request says nothing" });
      if (host !== undefined) return report(runner, { host, stream, request });
      if (request.$case !== "hello")
        throw new AnaxError("input.invalid", { reason: "the first request is a Hello", request: request.$case });
      arrival = gather(arrival, request.value, runner.config.inventoryTasksMax);
      if (request.value.more) return;
      const id = admit(runner, stream, arrival);
      host = { id, talks: new Talks(runner, id, answersTo(stream, arrival.hello.takesBatches)) };
      stream.send({ response: { $case: "welcome", value: welcomeOf(runner, schedulerId) } });
    });
  } finally {
    // A scheduler that stops ends its streams itself: it must not take that for lost hosts, and send others to the source.
    if (host !== undefined && !call.draining.aborted) {
      host.talks.leave();
      const { id } = host;
      queueMicrotask(() => runner.detach(id, stream)); // behind the ends of its downloads, which may keep what they have
    }
  }
}

function gather(arrival: Arrival | undefined, hello: Hello, tasksMax: number): Arrival {
  const inventory = arrival?.inventory ?? [];
  if (inventory.length + hello.tasks.length > tasksMax) throw new AnaxError("limit.exceeded", { what: "tasks of one host", max: tasksMax });
  for (const stored of hello.tasks) inventory.push(storedFactsOf(stored));
  return { hello: arrival?.hello ?? hello, inventory };
}

function admit(runner: SchedulerRunner, stream: OpenStream<AttachResponse>, { hello, inventory }: Arrival): HostId {
  const host = hostFactsOf(hello.host);
  if (hello.instanceId === "" || hello.instanceId.length > INSTANCE_CHARS_MAX)
    throw new AnaxError("input.invalid", { reason: "no usable instance id" });
  runner.attach(host.id, stream);
  const signingKey = signingKeyOf(hello.signingKey);
  runner.tell({ kind: "hostAttached", host, sessionId: stream.id, instanceId: hello.instanceId, signingKey, inventory });
  return host.id;
}

/** Answers in one batch: keeps a message far below gRPC's limit, however many peers each of them names. */
const BATCH_MAX = 64;

function answersTo(stream: OpenStream<AttachResponse>, takesBatches: boolean): (answer: DownloadAnswer) => void {
  const sendOne = (answer: DownloadAnswer): void => stream.send({ response: { $case: "answer", value: answer } });
  if (!takesBatches) return sendOne;
  const pass = (answers: readonly DownloadAnswer[]): void => {
    const [only] = answers;
    if (only !== undefined && answers.length === 1) sendOne(only);
    else stream.send({ response: { $case: "batch", value: { answers: [...answers] } } });
  };
  const batch = new TurnBatch<DownloadAnswer>({ itemsMax: BATCH_MAX, pass });
  return (answer) => batch.add(answer);
}

interface Report {
  readonly host: AttachedHost;
  readonly stream: OpenStream<AttachResponse>;
  readonly request: NonNullable<AttachRequest["request"]>;
}

function report(runner: SchedulerRunner, { host: attached, stream, request }: Report): void {
  const { id: hostId, talks } = attached;
  switch (request.$case) {
    case "talk":
      return talks.take(request.value);
    case "batch":
      for (const { request: one } of request.value.requests) {
        if (one === undefined || one.$case === "batch") throw new AnaxError("input.invalid", { reason: "a batch of what is none" });
        report(runner, { host: attached, stream, request: one });
      }
      return;
    case "hello":
      throw new AnaxError("input.invalid", { reason: "this stream has said Hello already" });
    case "heartbeat": {
      const { host, sequence, uploadsInFlight, uploadSlots } = request.value;
      const progress = request.value.progress.slice(0, PROGRESS_TASKS_MAX).map(progressFactsOf);
      const facts = host === undefined ? undefined : hostFactsOf(host);
      if (facts !== undefined && facts.id !== hostId) throw new AnaxError("input.invalid", { reason: "the host id is not the stream's" });
      runner.tell({ kind: "heartbeat", hostId, sessionId: stream.id, host: facts, uploadsInFlight, uploadSlots, progress });
      if (sequence % ACK_EVERY === 1) stream.send({ response: { $case: "ack", value: { sequence } } });
      return;
    }
    case "stored":
      return runner.tell({ kind: "stored", hostId, stored: storedFactsOf(request.value) });
    case "dropped": {
      const taskId = parseTaskId(request.value.taskId);
      const peerId = request.value.peerId === "" ? undefined : parsePeerId(request.value.peerId);
      return runner.tell({ kind: "dropped", hostId, taskId, peerId });
    }
  }
}

const welcomeOf = ({ config }: SchedulerRunner, schedulerId: string) => ({
  schedulerId,
  heartbeatInterval: durationOf(config.heartbeatIntervalMs),
  heartbeatMissesMax: config.heartbeatMissesMax,
  takesTalks: true,
  takesBatches: true,
});
