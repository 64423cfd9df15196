import type { Clock } from "../../../base/clock.ts";
import { AnaxError } from "../../../base/errors.ts";
import type { Log } from "../../../base/log.ts";
import type { Random } from "../../../base/random.ts";
import type { NativeSocket } from "../../../disk/native-socket.ts";
import { PeerService, type MeshHello, type MeshMessage } from "../../../wire/grpc/gen/anax/v1/peer.ts";
import type { BidiCall } from "../../../wire/grpc/handlers.ts";
import { serviceOf, type GrpcService } from "../../../wire/grpc/service.ts";
import { parseHostId, parsePeerId, parseTaskId, type PeerId, type TaskId } from "../../model/ids.ts";
import type { PieceStore } from "../../pieces/types.ts";
import type { PeerChannels } from "../channels.ts";
import type { HostFacts } from "../host.ts";
import { orAborted } from "../linked-signal.ts";
import type { PeerIds } from "../peer-ids.ts";
import type { RateLimits } from "../rates/types.ts";
import { BlockClient } from "./block-client.ts";
import type { BlockHandover } from "../transfer/piece-server.ts";
import { BlockServing, type Admission } from "./block-server.ts";
import type { MeshConfig } from "./config.ts";
import { distanceBetween } from "./distance.ts";
import type { MeshMetrics } from "./metrics.ts";
import type { Voucher } from "./proof.ts";
import { TaskMesh, type TaskMeshParts } from "./task-mesh.ts";
import type { MeshListener, MeshPart } from "./types.ts";
import type { UploadSlots } from "./upload-slots.ts";

export interface MeshParts {
  readonly config: MeshConfig;
  readonly store: PieceStore;
  readonly host: HostFacts;
  readonly peerIds: PeerIds;
  readonly channels: PeerChannels;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: MeshMetrics;
  /** Vouches for what this host read from a source. */
  readonly voucher: Voucher;
  /** How long a neighbour that asks for a task is held when the task has not begun here. */
  readonly waitMs: number;
  /** Time without a new piece after which a download is told. */
  readonly noProgressMs: number;
  readonly limits: RateLimits;
  readonly slots: UploadSlots;
  readonly native: NativeSocket | undefined;
}

/** Longest that the first message of a stream may take. */
const HELLO_MS = 5000;

/** Everything that this host shares with other hosts of ours, one `TaskMesh` for each task. */
export class Mesh implements AsyncDisposable {
  /** Serves other peers, beside the public services. */
  readonly service: GrpcService;
  /** Takes over a neighbour's connection from the piece server. */
  readonly handOver: BlockHandover;
  readonly #parts: MeshParts;
  readonly #client: BlockClient;
  readonly #tasks = new Map<TaskId, TaskMesh>();
  readonly #ending = new Set<Promise<void>>();
  /** Woken when a download joins its task. */
  readonly #joins = new Map<TaskId, Set<() => void>>();
  readonly #listening = new DisposableStack();
  #generation = 0;

  constructor(parts: MeshParts) {
    const { config, clock, host, store } = parts;
    this.#parts = parts;
    this.#client = new BlockClient({ config, clock, native: parts.native, hostId: () => host.id });
    this.service = serviceOf(PeerService, { mesh: (call) => this.#serve(call) });
    const admission: Admission = {
      // Any text finds a task or none.
      admit: async (request, hostId, signal) =>
        (await this.#shared(request.taskId as TaskId)?.admit(request, hostId, signal)) ?? "not-found",
      onNews: (taskId, update, hostId) => this.#tasks.get(taskId as TaskId)?.onNews(update, hostId), // likewise
    };
    const onSent = (bytes: number): void => parts.metrics.sentBytes.inc(bytes);
    this.handOver = (connection) => new BlockServing({ ...connection, admission, onSent });
    this.#listening.use(store.events.onPiece((stored, piece) => this.#tasks.get(stored.meta.id)?.held(stored, piece)));
    this.#listening.use(store.events.onDropped((stored, piece) => this.#tasks.get(stored.meta.id)?.dropped(stored, piece)));
    this.#listening.use(store.events.onWanted((stored, piece) => this.#tasks.get(stored.meta.id)?.want(stored, piece)));
    this.#listening.use(store.events.onRemoved((task) => this.#forget(task)));
  }

  /** A download takes part in its task's mesh. */
  join(taskId: TaskId, peerId: PeerId, listener: MeshListener): MeshPart {
    let joined: TaskMesh | undefined;
    // The mesh goes with the task when that is removed, as when its source has changed; the download goes on.
    const current = (): TaskMesh => {
      const mesh = this.#taskMesh(taskId, peerId);
      if (mesh !== joined) mesh.join(listener);
      return (joined = mesh);
    };
    current();
    for (const wake of this.#joins.get(taskId) ?? []) wake();
    return {
      introduce: (peers, readerKeys) => current().introduce(peers, readerKeys),
      learned: () => current().learned,
      open: (stored) => current().open(stored),
      fetch: () => current().fetch(),
      setReading: (reading) => current().setReading(reading),
      claim: (piece, claimed) => current().claim(piece, claimed),
      isThere: (piece) => current().isThere(piece),
      isRequested: (piece) => current().isRequested(piece),
      get neighbourCount() {
        return current().neighbourCount;
      },
      async [Symbol.asyncDispose]() {
        const last = joined;
        joined = undefined;
        await last?.leave();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening.dispose();
    for (const taskId of this.#tasks.keys()) this.#forget(taskId);
    await Promise.all(this.#ending);
    await this.#client[Symbol.asyncDispose]();
  }

  #taskMesh(taskId: TaskId, peerId: PeerId): TaskMesh {
    const known = this.#tasks.get(taskId);
    if (known !== undefined) return known;
    const { host } = this.#parts;
    const parts: TaskMeshParts = {
      ...this.#parts,
      client: this.#client,
      hostId: () => host.id,
      nextGeneration: () => (this.#generation = (this.#generation + 1) % 2 ** 32 || 1),
      hello: (task, peer) => helloMessage(task, peer, host),
    };
    const mesh = new TaskMesh(parts, { taskId, peerId, onIdle: () => this.#forget(taskId) });
    this.#tasks.set(taskId, mesh);
    this.#parts.metrics.tasks.set(this.#tasks.size);
    return mesh;
  }

  /** The mesh of a task that is here, made when a neighbour asks first. */
  #shared(taskId: TaskId): TaskMesh | undefined {
    const known = this.#tasks.get(taskId);
    if (known !== undefined) return known;
    const stored = this.#parts.store.find(taskId);
    if (stored === undefined) return undefined;
    const mesh = this.#taskMesh(taskId, this.#parts.peerIds.of(taskId));
    mesh.open(stored);
    return mesh;
  }

  #forget(taskId: TaskId): void {
    const mesh = this.#tasks.get(taskId);
    if (mesh === undefined) return;
    this.#tasks.delete(taskId);
    this.#parts.metrics.tasks.set(this.#tasks.size);
    const ending = mesh[Symbol.asyncDispose]().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  async #serve(call: BidiCall<MeshMessage, MeshMessage>): Promise<void> {
    const messages = call.requests[Symbol.asyncIterator]();
    const { hello, ip } = await this.#greeted(call, messages);
    const taskId = parseTaskId(hello.taskId);
    const mesh = await this.#begun(taskId, call.signal);
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const rest = { [Symbol.asyncIterator]: () => messages };
    const peer = {
      peerId: parsePeerId(hello.peerId),
      hostId: parseHostId(hello.hostId),
      distance: distanceBetween(this.#parts.host.message().network, hello),
      ip,
      transferPort: hello.transferPort,
    };
    const talk = mesh.accept(peer, { send: call.send, end: resolve }, rest);
    talk.catch(() => undefined); // told below
    if (call.draining.aborted) resolve();
    call.draining.addEventListener("abort", () => resolve(), { once: true });
    await Promise.race([talk, ended]);
  }

  async #greeted(call: BidiCall<MeshMessage, MeshMessage>, messages: AsyncIterator<MeshMessage>) {
    using late = this.#parts.clock.deadline(HELLO_MS, call.signal);
    const first = await orAborted(messages.next(), late.signal);
    const message = first.done === true ? undefined : first.value.message;
    if (message?.$case !== "hello") throw new AnaxError("input.invalid", { reason: "the first message is a hello" });
    const hello = message.value;
    if (!(hello.transferPort > 0 && hello.transferPort <= 65_535)) throw new AnaxError("input.invalid", { reason: "no such port" });
    // Blocks are fetched from where the stream comes from: nobody can point us at a stranger.
    return { hello, ip: addressOf(call.peer) };
  }

  /** The task here; a neighbour that was told of us may come before our own download has begun. Throws `task.not-found`. */
  async #begun(taskId: TaskId, signal: AbortSignal): Promise<TaskMesh> {
    const shared = this.#shared(taskId);
    if (shared !== undefined) return shared;
    using deadline = this.#parts.clock.deadline(this.#parts.waitMs, signal);
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#joins.get(taskId) ?? new Set<() => void>();
    this.#joins.set(taskId, waiting.add(resolve));
    await orAborted(promise, deadline.signal).catch(() => undefined); // what is there by then is looked at below
    waiting.delete(resolve);
    if (waiting.size === 0) this.#joins.delete(taskId);
    signal.throwIfAborted();
    const begun = this.#shared(taskId);
    if (begun === undefined) throw new AnaxError("task.not-found", { task: taskId });
    return begun;
  }
}

function helloMessage(taskId: TaskId, peerId: PeerId, host: HostFacts): MeshMessage {
  const { downloadPort, network } = host.message();
  const value: MeshHello = {
    taskId,
    peerId,
    hostId: host.id,
    transferPort: downloadPort,
    location: network?.location ?? "",
    idc: network?.idc ?? "",
  };
  return { message: { $case: "hello", value } };
}

/** "10.0.0.7:50123" or "[::1]:50123" without the port; a program on this machine is on loopback. */
function addressOf(peer: string): string {
  const end = peer.lastIndexOf(":");
  if (end === -1) return "127.0.0.1";
  return peer
    .slice(0, end)
    .replace(/^\[|\]$/g, "")
    .replace(/^::ffff:/, "");
}
