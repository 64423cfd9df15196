// What one scheduler process can answer over gRPC, in units of its processor time: registrations that are answered with neighbours, inside
// their host's stream (as our daemons do) and each in a stream of its own (as Dragonfly's do), and heartbeats with progress; and what it costs
// when all hosts with all their downloads leave at once. Clients are in this process and stay out of the account.
// Flags: --hosts 1000 --tasks 10 --beats 5. Prints a table for people on standard error and one line of JSON.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { realClock } from "../../src/base/clock.ts";
import { openChannel, type BidiStream, type GrpcChannel } from "../../src/wire/grpc/client.ts";
import type { GrpcAddress } from "../../src/wire/grpc/address.ts";
import {
  SchedulerService as OwnService,
  type AttachRequest,
  type AttachResponse,
  type TaskProgress,
} from "../../src/wire/grpc/gen/anax/v1/scheduler.ts";
import { Download, Host } from "../../src/wire/grpc/gen/common/v2/common.ts";
import { SchedulerService, type AnnouncePeerRequest } from "../../src/wire/grpc/gen/scheduler/v2/scheduler.ts";
import { cpuSecondsOf, startScript } from "../kit/process.ts";
import { quantileOf } from "./decision-times.ts";

const { values: flags } = parseArgs({
  options: {
    hosts: { type: "string", default: "1000" },
    tasks: { type: "string", default: "10" },
    beats: { type: "string", default: "5" },
  },
});
const [hosts, tasks, beats] = [Number(flags.hosts), Number(flags.tasks), Number(flags.beats)];
const CHANNELS = 20;
const IN_FLIGHT = 64;
const PIECES = 512;
/** Downloads that a heartbeat tells of. */
const RUNNING = 2;
/** It rests when it took less than a tenth of a processor so many times in a row. */
const RESTS = 3;
const REST_MS = 1000;
const RESTING_SECONDS = 0.1;
const REST_TURNS_MAX = 300;

await using server = await startScript(join(import.meta.dirname, "scheduler-server.ts"), []);
await using scope = new AsyncDisposableStack();
const channels = Array.from({ length: CHANNELS }, () => scope.use(openChannel(server.ready as GrpcAddress, { clock: realClock })));
const { signal } = new AbortController();

const attached = await measured(hosts, (host) => attach(channelOf(host), host));
const streams = attached.results;
const inside = await measured(hosts * tasks, (n) => registerInside(n % hosts, Math.floor(n / hosts)));
const apart = await measured(hosts * 2, (n) => registerApart(channelOf(n), n % hosts, tasks + Math.floor(n / hosts)));
const beaten = await measured(hosts * beats, (n) => beat(n % hosts, Math.floor(n / hosts)));
const leaveCpuSeconds = await left();
const result = {
  bench: "scheduler/service",
  hosts,
  tasks,
  registrationsPerCpuSecond: Math.round(inside.perCpuSecond),
  registrationMs: { p50: quantileOf(inside.ms, 0.5), p99: quantileOf(inside.ms, 0.99) },
  ownStreamRegistrationsPerCpuSecond: Math.round(apart.perCpuSecond),
  heartbeatsPerCpuSecond: Math.round(beaten.perCpuSecond),
  attachmentsPerCpuSecond: Math.round(attached.perCpuSecond),
  leaveCpuSeconds,
};
console.error(
  `${result.registrationsPerCpuSecond} registrations (${result.ownStreamRegistrationsPerCpuSecond} with a stream for each),` +
    ` ${result.heartbeatsPerCpuSecond} heartbeats and ${result.attachmentsPerCpuSecond} attachments for each second of processor time;` +
    ` a registration took ${result.registrationMs.p50.toFixed(1)} ms, p99 ${result.registrationMs.p99.toFixed(1)} ms` +
    ` with ${IN_FLIGHT} at a time on a shared machine; that all left took ${leaveCpuSeconds.toFixed(1)} s of it`,
);
console.log(JSON.stringify(result));

function channelOf(n: number): GrpcChannel {
  return channels[n % CHANNELS]!; // there are as many
}

async function measured<T>(count: number, work: (n: number) => Promise<T>) {
  const results: T[] = [];
  const ms: number[] = [];
  let next = 0;
  const cpuBefore = cpuSecondsOf(server.pid);
  const lane = async (): Promise<void> => {
    while (next < count) {
      const n = next++;
      const startMs = performance.now();
      results[n] = await work(n);
      ms.push(performance.now() - startMs);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
  return { results, ms, perCpuSecond: count / (cpuSecondsOf(server.pid) - cpuBefore) };
}

/** Seconds of the scheduler's processor time until it rests, once all are gone at once. */
async function left(): Promise<number> {
  const before = cpuSecondsOf(server.pid);
  await scope.disposeAsync();
  for (let last = before, quiet = 0, turn = 0; turn < REST_TURNS_MAX; turn++) {
    await sleep(REST_MS);
    const now = cpuSecondsOf(server.pid);
    quiet = now - last < RESTING_SECONDS ? quiet + 1 : 0;
    last = now;
    if (quiet === RESTS) return now - before;
  }
  throw new Error("the scheduler does not come to rest");
}

interface Attachment {
  readonly stream: BidiStream<AttachRequest, AttachResponse>;
  readonly responses: AsyncIterator<AttachResponse>;
}

async function attach(channel: GrpcChannel, host: number): Promise<Attachment> {
  const stream = channel.bidi(OwnService.attach, { signal });
  const responses = stream.responses[Symbol.asyncIterator]();
  const signingKey = new Uint8Array(32).fill(host);
  const hello = { host: hostOf(host), tasks: [], more: false, instanceId: "1", signingKey, takesBatches: false };
  await stream.send({ request: { $case: "hello", value: hello } });
  await responses.next();
  return { stream, responses };
}

function registration(host: number, task: number): AnnouncePeerRequest {
  const ids = { hostId: hostOf(host).id, taskId: taskOf(task), peerId: peerOf(host, task) };
  const download = Download.fromPartial({ url: `http://origin.test/${task}` });
  return { ...ids, request: { $case: "registerPeerRequest", value: { download } } };
}

async function registerInside(host: number, task: number): Promise<void> {
  const { stream, responses } = streams[host]!; // attached before
  await stream.send({ request: { $case: "talk", value: { id: task + 1, request: registration(host, task) } } });
  await responses.next();
}

async function registerApart(channel: GrpcChannel, host: number, task: number): Promise<void> {
  const stream = channel.bidi(SchedulerService.announcePeer, { signal });
  await stream.send(registration(host, task));
  await stream.responses[Symbol.asyncIterator]().next();
}

async function beat(host: number, sequence: number): Promise<void> {
  const { stream, responses } = streams[host]!; // attached before
  const progress: TaskProgress[] = Array.from({ length: RUNNING }, (_, task) => {
    const finishedPieces = new Uint8Array(PIECES / 8).fill((1 << (sequence + 1)) - 1);
    return { taskId: taskOf(task), peerId: peerOf(host, task), contentLength: PIECES << 20, pieceLength: 1 << 20, finishedPieces };
  });
  const value = { host: undefined, sequence, uploadsInFlight: 1, uploadSlots: 4, progress };
  await stream.send({ request: { $case: "heartbeat", value } });
  if (sequence % 3 === 1) await responses.next();
}

function hostOf(host: number): Host {
  const ip = `10.0.${host >> 8}.${host & 255}`;
  const network = {
    tcpConnectionCount: 0,
    uploadTcpConnectionCount: 0,
    maxRxBandwidth: 0,
    maxTxBandwidth: 0,
    location: `r|z|rack${host % 25}`,
  };
  return Host.fromPartial({ id: `${ip}-node${host}`, hostname: `node${host}`, ip, port: 4000, downloadPort: 4005, network });
}

function taskOf(task: number): string {
  return task.toString(16).padStart(64, "0");
}

function peerOf(host: number, task: number): string {
  return `${hostOf(host).id}-0b7e8b9a-5a26-4f7e-8d0c-9c2b${String(task).padStart(8, "0")}`;
}
