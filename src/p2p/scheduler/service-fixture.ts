import { realClock } from "../../base/clock.ts";
import { silentLog } from "../../base/log.ts";
import { createRegistry } from "../../base/metrics.ts";
import { serve, unbounded, type Served } from "../../wire/grpc/grpc-fixture.ts";
import type { BidiStream, GrpcChannel } from "../../wire/grpc/client.ts";
import {
  SchedulerService as OwnService,
  type AttachRequest,
  type AttachResponse,
  type DownloadAnswer,
} from "../../wire/grpc/gen/anax/v1/scheduler.ts";
import { Download, Host, Piece } from "../../wire/grpc/gen/common/v2/common.ts";
import { SchedulerService, type AnnouncePeerRequest, type AnnouncePeerResponse } from "../../wire/grpc/gen/scheduler/v2/scheduler.ts";
import { SchedulerConfig } from "./config.ts";
import { createScheduler } from "./start.ts";

export const TASK_ID = "0".repeat(64);
export const MIB = 1024 * 1024;

/** A scheduler on a free port. It does not wait for hosts to come back, since there are none. */
export async function serveScheduler(settings: object = {}): Promise<Served> {
  const config = SchedulerConfig.parse({
    settleMs: "0ms",
    hostGraceMs: "0ms",
    tickIntervalMs: "20ms",
    pushIntervalMs: "10ms",
    ...settings,
  });
  const registry = createRegistry({ runtime: false });
  const scheduler = createScheduler({ config, clock: realClock, log: silentLog, registry, schedulerId: "scheduler-1", version: "test" });
  const served = await serve(scheduler.services);
  const close = async (): Promise<void> => {
    await scheduler[Symbol.asyncDispose]();
    await served[Symbol.asyncDispose]();
  };
  return { ...served, [Symbol.asyncDispose]: close };
}

export const aHost = (name: string, changes: Partial<Host> = {}): Host =>
  Host.fromPartial({ id: `127.0.0.1-${name}`, hostname: name, ip: "127.0.0.1", port: 65_000, downloadPort: 65_001, ...changes });

export const aDownload = (changes: Partial<Download> = {}): Download =>
  Download.fromPartial({ url: "http://origin.test/file", ...changes });

export const announce = (channel: GrpcChannel, host: Host): Promise<object> =>
  channel.unary(SchedulerService.announceHost, { host, interval: { seconds: 300, nanos: 0 } }, { timeoutMs: 5000 });

type Report = NonNullable<AnnouncePeerRequest["request"]>;
export type Answer = NonNullable<AnnouncePeerResponse["response"]>;

/** The client's side of one download. */
export class Dialogue implements Disposable {
  readonly peerId: string;
  readonly #hostId: string;
  readonly #channel: GrpcChannel;
  readonly #stream: BidiStream<AnnouncePeerRequest, AnnouncePeerResponse>;
  readonly #answers: AsyncIterator<AnnouncePeerResponse>;

  constructor(channel: GrpcChannel, host: Host, name = "peer") {
    this.#hostId = host.id;
    this.peerId = `${host.id}-${name}`;
    this.#channel = channel;
    this.#stream = channel.bidi(SchedulerService.announcePeer, { signal: unbounded() });
    this.#answers = this.#stream.responses[Symbol.asyncIterator]();
  }

  async report(request: Report, taskId = TASK_ID): Promise<void> {
    await this.#stream.send({ hostId: this.#hostId, taskId, peerId: this.peerId, request });
  }

  async register(download: Download = aDownload()): Promise<void> {
    await this.report({ $case: "registerPeerRequest", value: { download } });
  }

  async sourcePiece(number: number): Promise<void> {
    const piece = Piece.fromPartial({ number, offset: number * 4 * MIB, length: 4 * MIB });
    await this.report({ $case: "downloadPieceBackToSourceFinishedRequest", value: { piece } });
  }

  async peerPiece(number: number, parentId: string): Promise<void> {
    const piece = Piece.fromPartial({ number, parentId, offset: number * 4 * MIB, length: 4 * MIB });
    await this.report({ $case: "downloadPieceFinishedRequest", value: { piece } });
  }

  /** Resolves once the scheduler knows of `count` pieces here: what is sent on one stream may arrive after what is sent later on another. */
  async heard(count: number): Promise<void> {
    const request = { hostId: this.#hostId, taskId: TASK_ID, peerId: this.peerId };
    for (let known = -1; known !== count;) {
      const peer = await this.#channel.unary(SchedulerService.statPeer, request, { timeoutMs: 5000 });
      known = [...(peer.finishedPieces ?? [])].reduce((sum, byte) => sum + byte.toString(2).replaceAll("0", "").length, 0);
    }
  }

  /** The scheduler's next word; undefined when it has closed the stream without an error. */
  async next(): Promise<Answer | undefined> {
    const { done, value } = await this.#answers.next();
    return done === true ? undefined : value.response;
  }

  [Symbol.dispose](): void {
    this.#stream[Symbol.dispose]();
  }
}

export type Attachment = BidiStream<AttachRequest, AttachResponse> & { next(): Promise<AttachResponse["response"]> };

/** One of our hosts on its stream, welcomed. */
export async function attachHost(
  channel: GrpcChannel,
  host: Host,
  tasks: readonly object[] = [],
  takesBatches = false,
): Promise<Attachment> {
  const stream = channel.bidi(OwnService.attach, { signal: unbounded() });
  const answers = stream.responses[Symbol.asyncIterator]();
  const next = async (): Promise<AttachResponse["response"]> => {
    const { done, value } = await answers.next();
    return done === true ? undefined : value.response;
  };
  await stream.send({
    request: {
      $case: "hello",
      value: { host, tasks: tasks as never, more: false, instanceId: "instance-1", signingKey: new Uint8Array(), takesBatches },
    },
  });
  await next();
  return { ...stream, next };
}

/** Downloads that talk inside the stream of their host. */
export class Talker {
  readonly #attachment: Attachment;
  readonly #host: Host;

  constructor(attachment: Attachment, host: Host) {
    this.#attachment = attachment;
    this.#host = host;
  }

  peerId(id: number | string): string {
    return `${this.#host.id}-peer${id}`;
  }

  talk(id: number, request: Report, peer: number | string = id): AttachRequest {
    const said = { hostId: this.#host.id, taskId: TASK_ID, peerId: this.peerId(peer), request };
    return { request: { $case: "talk", value: { id, request: said } } };
  }

  async say(id: number, request: Report, peer: number | string = id): Promise<void> {
    await this.#attachment.send(this.talk(id, request, peer));
  }

  async register(id: number, peer: number | string = id): Promise<void> {
    await this.say(id, { $case: "registerPeerRequest", value: { download: aDownload() } }, peer);
  }

  async next(): Promise<DownloadAnswer | undefined> {
    const response = await this.#attachment.next();
    return response?.$case === "answer" ? response.value : undefined;
  }
}
